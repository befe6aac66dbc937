"""Key sequences that terminals send and Textual 8 does not know, or takes for something else.

Without these, Alt+Enter in a terminal without the kitty protocol reads as Escape and Enter, which would send a half
written message, and Alt with a letter writes that letter. Alt+B and Alt+F stay what Textual makes of them, which is
moving by words, as shells do.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any, cast

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS


@dataclass(frozen=True, slots=True)
class ExtraKey:
    """Stands where Textual's table has members of its own enumeration."""

    value: str


def teach_terminal_keys() -> None:
    """Add them to Textual's table; calling it again changes nothing."""
    table = cast("dict[str, Any]", ANSI_SEQUENCES_KEYS)
    table["\x1b\r"] = table["\x1b\n"] = (ExtraKey("alt+enter"),)
    for letter in ascii_lowercase:
        table.setdefault(f"\x1b{letter}", (ExtraKey(f"alt+{letter}"),))
