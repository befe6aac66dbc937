"""Key sequences that terminals send and Textual 8 does not know.

Without these, Alt+Enter in a terminal without the kitty protocol reads as Escape and Enter, which would send a half
written message.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, cast

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS


class ExtraKeys(StrEnum):
    ALT_ENTER = "alt+enter"


def teach_terminal_keys() -> None:
    """Add them to Textual's table; calling it again changes nothing."""
    table = cast("dict[str, Any]", ANSI_SEQUENCES_KEYS)
    table["\x1b\r"] = (ExtraKeys.ALT_ENTER,)
    table["\x1b\n"] = (ExtraKeys.ALT_ENTER,)
