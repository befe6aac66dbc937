"""Deciding about changes: each accepted or rejected, all at once, and back again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from localchat.writing.changes import Change, applied

Decision = Literal["accepted", "rejected"]


class Review:
    """The changes to one text and what was decided about them. Undecided ones are not made.

    Args:
        original: the text that the changes are to.
        changes: in order and apart from each other.
    """

    def __init__(self, original: str, changes: Sequence[Change]) -> None:
        self.original = original
        self.changes = tuple(changes)
        self._decided: list[Decision | None] = [None] * len(changes)
        self._before: list[tuple[Decision | None, ...]] = []

    def decision(self, number: int) -> Decision | None:
        return self._decided[number]

    @property
    def undecided(self) -> list[int]:
        """Numbers of the changes that wait for a decision."""
        return [number for number, decision in enumerate(self._decided) if decision is None]

    def decide(self, decision: Decision | None, numbers: Iterable[int] | None = None) -> None:
        """Decide about these changes, all of them by default; None takes decisions back. One step for `undo`."""
        self._before.append(tuple(self._decided))
        for number in range(len(self.changes)) if numbers is None else numbers:
            self._decided[number] = decision

    def decide_rest(self, decision: Decision) -> None:
        """Decide about all that wait for it."""
        self.decide(decision, self.undecided)

    def undo(self) -> bool:
        """Take the last step back; false when there is none."""
        if not self._before:
            return False
        self._decided = list(self._before.pop())
        return True

    @property
    def accepted(self) -> tuple[Change, ...]:
        return tuple(c for c, decision in zip(self.changes, self._decided, strict=True) if decision == "accepted")

    @property
    def text(self) -> str:
        """The original with what was accepted."""
        return applied(self.original, self.accepted)
