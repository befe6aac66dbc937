"""Keys as terminals without newer protocols send them."""

from __future__ import annotations

from textual import events
from textual._xterm_parser import XTermParser

from localchat.ui.actions import ACTIONS
from localchat.ui.terminal_keys import teach_terminal_keys


def typed(sequence: str) -> list[events.Key]:
    teach_terminal_keys()
    return [event for event in XTermParser().feed(sequence) if isinstance(event, events.Key)]


def test_alt_with_the_letter_of_an_action_arrives_as_that_key_and_writes_nothing() -> None:
    keys = [key for action in ACTIONS for key in action.keys.split(",") if key.startswith("alt+") and len(key) == 5]
    assert len(keys) > 5
    for key in keys:
        (event,) = typed(f"\x1b{key[-1]}")
        assert (event.key, event.is_printable) == (key, False)


def test_letters_and_escape_sequences_are_what_they_were() -> None:
    assert [(event.key, event.character) for event in typed("ab你")] == [("a", "a"), ("b", "b"), ("你", "你")]
    assert [event.key for event in typed("\x1b[A\x1b[1;3C\x1bb")] == ["up", "alt+right", "ctrl+left"]
