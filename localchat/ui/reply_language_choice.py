"""The language that replies are held to: what can be chosen, and the choice of one chat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localchat.errors import InvalidSetting
from localchat.translation import LANGUAGES, _, mark
from localchat.ui.completion import Completion

if TYPE_CHECKING:
    from localchat.ui.session import ChatSession

_CHOICES = {
    "zh": mark("Replies are in Chinese"),
    "en": mark("Replies are in English"),
    "any": mark("The model chooses the language"),
    "auto": mark("As usual"),
}
"""By what is written after /language."""

_IN_THIS_CHAT = {
    "zh": mark("In this chat, replies are in Chinese; code and names are free."),
    "en": mark("In this chat, replies are in English; code is free."),
    "any": mark("In this chat, the model chooses the language."),
}


def reply_language_choices() -> list[tuple[str, str]]:
    """Words, and the values of the setting that they stand for."""
    return [(_("Left to the model"), ""), *((LANGUAGES[code], code) for code in ("zh", "en"))]


def own_reply_language_choices(usual: str) -> list[tuple[str, str]]:
    """The same for a chat of its own, where the settings say `usual`."""
    words = {code: words for words, code in reply_language_choices()}
    return [
        (_("As in the settings: {value}").format(value=words.get(usual, words[""])), ""),
        *((words[code], code) for code in ("zh", "en")),
        (words[""], "any"),
    ]


def reply_language_completions(typed: str) -> list[Completion]:
    """What could complete the argument of /language."""
    return [Completion(name, name, _(words)) for name, words in _CHOICES.items() if name.startswith(typed.casefold())]


def choose_reply_language(session: ChatSession, choice: str) -> str:
    """Let the open chat have this: "zh", "en", "any" or "auto". Returns the sentence that says what holds now.

    Raises:
        InvalidSetting: it is something else. HistoryUnavailable: it cannot be kept.
    """
    named = {name.casefold(): code for code, name in LANGUAGES.items()}
    meant = named.get(choice.casefold(), choice.casefold())
    if meant not in _CHOICES:
        raise InvalidSetting(_("After /language comes zh, en, any or auto."))
    session.set_own(session.own.changed(reply_language=None if meant == "auto" else meant))
    return reply_language_in_words(session)


def reply_language_in_words(session: ChatSession) -> str:
    """One sentence about the open chat."""
    own = session.own.reply_language
    return _("The language of replies is left to the settings.") if own is None else _(_IN_THIS_CHAT[own])
