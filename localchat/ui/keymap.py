"""The user's own keys: the table [keys] of the settings, checked, and as Textual takes them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from textual.binding import Binding, BindingType
from textual.keys import REPLACED_KEYS, Keys, _character_to_key

from localchat.config import Config
from localchat.errors import InvalidSetting
from localchat.known_settings import KEYS_TABLE
from localchat.translation import _

MODIFIERS = frozenset({"ctrl", "shift", "alt", "super", "meta", "hyper"})
INDISTINCT: Mapping[str, str] = {"ctrl+m": "Enter", "ctrl+i": "Tab"}
"""Keys that terminals cannot tell from others."""

ENTER_BREAKS: Mapping[str, str] = {"composer.send": "ctrl+j", "composer.line_break": "enter,shift+enter,alt+enter"}

_NAMED = frozenset(key.value.split("+")[-1] for key in Keys) | REPLACED_KEYS.keys() | {f"f{n}" for n in range(1, 25)}


def default_keys() -> dict[str, str]:
    """The keys of every action that has a name, as they are without the user's own."""
    from localchat.ui.app import LocalChatApp
    from localchat.ui.screens.chat import ChatScreen
    from localchat.ui.widgets.chat_list import ChatList
    from localchat.ui.widgets.composer import Composer
    from localchat.ui.widgets.document_area import DocumentArea
    from localchat.ui.widgets.message_view import MessageView
    from localchat.ui.widgets.review_view import ReviewView
    from localchat.ui.widgets.sidebar import SearchBox

    owners: tuple[list[BindingType], ...] = (
        LocalChatApp.BINDINGS, ChatScreen.BINDINGS, Composer.BINDINGS, MessageView.BINDINGS, ChatList.BINDINGS,
        SearchBox.BINDINGS, DocumentArea.BINDINGS, ReviewView.BINDINGS,
    )  # fmt: skip
    bindings = [binding for owner in owners for binding in owner if isinstance(binding, Binding)]
    return {binding.id: binding.key for binding in bindings if binding.id is not None}


def read_keymap(config: Config) -> tuple[dict[str, str], list[InvalidSetting]]:
    """What Textual is to be given, and what was wrong; a wrong entry leaves its action the keys that it had."""
    keymap = {} if config.enter_sends else dict(ENTER_BREAKS)
    known = {**default_keys(), **keymap}
    troubles: list[InvalidSetting] = []
    good: dict[str, str] = {}
    for action, keys in config.keys.items():
        try:
            good[action] = _checked(action, keys, known, config.sources.get(action, ""))
        except InvalidSetting as error:
            troubles.append(error)
    for action, keys in list(good.items()):
        if (other := _rival(action, keys, {**known, **good})) is not None:
            sentence = _("{key} is {found}, which {other} has too.").format(
                key=f"{KEYS_TABLE}.{action}", found=repr(keys), other=other
            )
            troubles.append(InvalidSetting(sentence, _("Give one of them another key.")))
            del good[action]
        elif _place(action) == "screen":
            troubles += _lost_on_composer(action, keys, {**known, **good})
    return keymap | good, troubles


def _lost_on_composer(action: str, keys: str, all_keys: Mapping[str, str]) -> list[InvalidSetting]:
    """A warning for each key that the composer takes for itself: for most of the time it has the focus."""
    theirs = composer_keys(all_keys)
    return [
        InvalidSetting(
            _("{key} has {found}, which the field that you write in takes for itself.").format(
                key=f"{KEYS_TABLE}.{action}", found=repr(key)
            ),
            _("It works only while the focus is elsewhere; choose another key, such as one with Alt."),
        )
        for key in keys.split(",")
        if key in theirs or _writes(key)
    ]


def composer_keys(all_keys: Mapping[str, str]) -> set[str]:
    """What moves, deletes and sends in the composer, with the user's own keys."""
    from localchat.ui.widgets.draft_area import DraftArea

    edits = [binding.key for binding in Binding.make_bindings(DraftArea.BINDINGS)]
    return {*edits, *(key for id, keys in all_keys.items() if _place(id) == "composer" for key in keys.split(","))}


def _checked(action: str, keys: str, known: Mapping[str, str], source: str) -> str:
    if action not in known:
        import difflib

        close = difflib.get_close_matches(action, known, n=1)
        hint = _("Did you mean {name}?").format(name=close[0]) if close else _("The help lists the names of all keys.")
        where = _("{key} in {source} is not an action.").format(key=f"{KEYS_TABLE}.{action}", source=source)
        raise InvalidSetting(where, hint)
    for key in keys.split(","):
        if (problem := problem_with(key.strip())) is not None:
            sentence = _("{key} is {found} in {source}: {problem}").format(
                key=f"{KEYS_TABLE}.{action}", found=repr(keys), source=source, problem=problem
            )
            raise InvalidSetting(sentence, _("Correct it or take it out."))
    return ",".join(key.strip() for key in keys.split(","))


def problem_with(key: str) -> str | None:
    """Why this is not a key that can be bound, as a sentence; None when it can."""
    if key in INDISTINCT:
        return _("terminals cannot tell it from {key}.").format(key=INDISTINCT[key])
    *modifiers, last = key.split("+")
    if not set(modifiers) <= MODIFIERS or len(set(modifiers)) < len(modifiers) or not _is_name(last):
        return _("there is no such key; write it like ctrl+t, alt+up or f5.")
    return None


def _writes(key: str) -> bool:
    """Whether this key, pressed alone, is a letter or sign in a text."""
    return len(key) == 1 or key == "space" or key in REPLACED_KEYS or (key not in _NAMED and _is_name(key))


def _is_name(name: str) -> bool:
    if len(name) == 1:
        return name.isprintable() and not name.isspace()
    if name in _NAMED:
        return True
    try:
        return _character_to_key(unicodedata.lookup(name.replace("_", " "))) == name
    except KeyError:
        return False


def _rival(action: str, keys: str, all_keys: Mapping[str, str]) -> str | None:
    """Another action that has one of these keys at the same place of the screen; the place is the first of its name."""
    mine = set(keys.split(","))
    for other, theirs in all_keys.items():
        if other != action and _place(other) == _place(action) and mine & set(theirs.split(",")):
            return other
    return None


def _place(action: str) -> str:
    first = action.partition(".")[0]
    return first if first in ("composer", "focused", "list", "search", "review") else "screen"
