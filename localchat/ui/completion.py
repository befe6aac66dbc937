"""What could complete the text before the cursor: plain data for the list above the composer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Completion:
    """One way to go on.

    Attributes:
        text: what takes the place of what was typed.
        label: what the list shows of it.
        detail: a few words about it.
        is_final: nothing remains to be chosen after it, so Enter acts at once.
    """

    text: str
    label: str
    detail: str = ""
    is_final: bool = True


@dataclass(frozen=True, slots=True)
class Offer:
    """Completions for what stands before the cursor.

    Attributes:
        start: column in the cursor's line from which text is replaced.
        typed: that text.
        is_file: they are paths; a final one is attached rather than written.
        expects: Enter takes the first one even though nothing was chosen.
    """

    start: int
    typed: str
    completions: Sequence[Completion]
    is_file: bool = False
    expects: bool = True
