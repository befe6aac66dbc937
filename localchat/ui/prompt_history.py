"""Going back to what was asked before, and forth again to the draft that was being written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class PromptHistory:
    """A walk through earlier questions, the latest first. `index` -1 is the draft that the walk began with."""

    prompts: Sequence[str]
    draft: str
    index: int = -1

    @property
    def shown(self) -> str:
        return self.draft if self.index < 0 else self.prompts[self.index]

    def move(self, step: int) -> bool:
        """Go `step` questions back (forth, when negative); False at either end."""
        index = self.index + step
        while 0 <= index < len(self.prompts) and self.prompts[index] == self.draft:
            index += step  # what was sent as it stands in the composer is no news
        if not -1 <= index < len(self.prompts):
            return False
        self.index = index
        return True
