"""Whether the model thinks before it answers: what can be chosen, and the choice of one chat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localchat.errors import InvalidSetting
from localchat.translation import _, mark
from localchat.ui.completion import Completion

if TYPE_CHECKING:
    from localchat.ui.session import ChatSession

_CHOICES = {"on": mark("The model thinks first"), "off": mark("The model answers at once"), "auto": mark("As usual")}
"""By what is written after /think."""

_IN_THIS_CHAT = {
    "on": mark("In this chat, the model thinks before it answers."),
    "off": mark("In this chat, the model answers without thinking first."),
}
_UNTIL_LOADED = {
    "on": mark("In this chat, a model that can be told thinks before it answers."),
    "off": mark("In this chat, a model that can be told answers without thinking first."),
}


def thinking_choices() -> list[tuple[str, str]]:
    """Words, and the values of the setting that they stand for."""
    return [(_("Left to the model"), ""), (_("On"), "on"), (_("Off"), "off")]


def thinking_completions(typed: str) -> list[Completion]:
    """What could complete the argument of /think."""
    return [Completion(name, name, _(words)) for name, words in _CHOICES.items() if name.startswith(typed.casefold())]


def choose_thinking(session: ChatSession, choice: str) -> str:
    """Let the open chat have this: "on", "off" or "auto". Returns the sentence that says what holds now.

    Raises:
        InvalidSetting: it is something else. HistoryUnavailable: it cannot be kept.
    """
    meant = {**{name: name for name in _CHOICES}, _("On").casefold(): "on", _("Off").casefold(): "off"}.get(
        choice.casefold()
    )
    if meant is None:
        raise InvalidSetting(_("After /think comes on, off or auto."))
    session.set_own(session.own.changed(thinking=None if meant == "auto" else meant))
    return thinking_in_words(session)


def thinking_in_words(session: ChatSession) -> str:
    """One sentence about the open chat."""
    own = session.own.thinking
    if own is None:
        return _("Thinking is left to the settings and to the model.")
    model = session.engine_state.model
    if model is None:
        return _(_UNTIL_LOADED[own])
    if not model.thinking_switch:
        sentence = _("{model} cannot be told whether to think. The choice is kept for models that can.")
        return sentence.format(model=session.model_title(session.engine_state.model_name))
    return _(_IN_THIS_CHAT[own])
