"""The blocks of a page, and how each is laid out. Plain data: no widget, no theme, only names of styles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual.content import Content

from localchat.ui.ink import FAINT, MUTED
from localchat.ui.reading.lines import BLANK, Line, wrap

NARROWEST = 8
"""Cells below which nesting no longer indents."""


class Block(ABC):
    """Something that takes whole rows."""

    @abstractmethod
    def lay_out(self, width: int) -> Sequence[Line]:
        """Its rows, none wider than `width` cells."""

    def gap_after(self, before: Block) -> int:
        """Empty rows between `before` and this one."""
        del before
        return 1


def stack(blocks: Sequence[Block], width: int) -> list[Line]:
    """The rows of blocks, one under the other."""
    rows: list[Line] = []
    for index, block in enumerate(blocks):
        if index:
            rows += [BLANK] * block.gap_after(blocks[index - 1])
        rows += block.lay_out(width)
    return rows


@dataclass(slots=True)
class Paragraph(Block):
    """Text."""

    content: Content

    def lay_out(self, width: int) -> Sequence[Line]:
        return wrap(self.content, width)


@dataclass(slots=True)
class Heading(Block):
    """Text above what it names. The first two levels stand out, the others are bold words."""

    level: int
    content: Content

    def lay_out(self, width: int) -> Sequence[Line]:
        style = "bold $primary" if self.level <= 2 else "bold"
        return wrap(self.content.stylize_before(style), width)


@dataclass(slots=True)
class Rule(Block):
    """A line across."""

    def lay_out(self, width: int) -> Sequence[Line]:
        line = Content.styled("─" * width, "$foreground 25%")
        return [Line(line, decoration=width)]


@dataclass(slots=True)
class Quote(Block):
    """What others said, right of a bar."""

    blocks: list[Block]

    def lay_out(self, width: int) -> Sequence[Line]:
        bar = Content.styled("▌ ", "$primary 40%") if width > NARROWEST else Content()
        rows = stack(self.blocks, width - len(bar))
        return [
            Line(row.content.stylize_before(MUTED), row.decoration, row.joint, row.fill).indented(bar) for row in rows
        ]


@dataclass(slots=True)
class ListItem(Block):
    """One entry of a list: its mark, and what stands right of it.

    Attributes:
        group: entries of one list share this; they stand close together.
    """

    mark: str
    blocks: list[Block]
    group: int

    def lay_out(self, width: int) -> Sequence[Line]:
        mark = Content.styled(f"{self.mark} ", FAINT)
        indent = cell_len(mark.plain)
        if width - indent < NARROWEST:
            return [Line(mark.rstrip()), *_close(self.blocks, width)]
        first, *rest = _close(self.blocks, width - indent) or [BLANK]
        blank = Content(" " * indent)
        return [first.indented(mark, is_text=True), *(row.indented(blank) for row in rest)]

    def gap_after(self, before: Block) -> int:
        return 0 if isinstance(before, ListItem) and before.group == self.group else 1


def _close(blocks: Sequence[Block], width: int) -> list[Line]:
    """The rows of what is inside a list's entry: a list in it follows its sentence without a gap."""
    rows: list[Line] = []
    for index, block in enumerate(blocks):
        before = blocks[index - 1] if index else None
        if before is not None and not (isinstance(block, ListItem) and isinstance(before, Paragraph)):
            rows += [BLANK] * block.gap_after(before)
        rows += block.lay_out(width)
    return rows
