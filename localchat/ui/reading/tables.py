"""Tables that fit: as wide as their cells need, else with cells in several rows, else as lists of names and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from textual.content import Content

from localchat.ui.ink import FAINT
from localchat.ui.reading.blocks import Block
from localchat.ui.reading.lines import BLANK, Line, wrap

Alignment = Literal["left", "center", "right"]

GAP = 3
"""Cells between two columns."""

NARROWEST_COLUMN = 8
"""A table whose columns would be narrower is shown as names and values."""

_RULE = "$foreground 25%"


@dataclass(slots=True)
class Table(Block):
    """A header and rows of as many cells."""

    header: list[Content]
    rows: list[list[Content]]
    alignments: list[Alignment]

    def lay_out(self, width: int) -> Sequence[Line]:
        widths = column_widths(self._natural_widths(), width - GAP * (len(self.header) - 1))
        return self._names_and_values(width) if widths is None else self._grid(widths)

    def _natural_widths(self) -> list[int]:
        columns = [[row[index] for row in (self.header, *self.rows)] for index in range(len(self.header))]
        return [max(line.cell_length for cell in column for line in cell.split("\n") or [cell]) for column in columns]

    def _grid(self, widths: Sequence[int]) -> list[Line]:
        header = self._row([cell.stylize_before("bold") for cell in self.header], widths)
        total = sum(widths) + GAP * (len(widths) - 1)
        rule = Line(Content.styled("─" * total, _RULE), decoration=total)
        rows = [self._row(row, widths) for row in self.rows]
        apart = any(len(row) > 1 for row in rows)
        lines = [*header, rule]
        for index, row in enumerate(rows):
            lines += [BLANK] if apart and index else []
            lines += row
        return lines

    def _row(self, cells: Sequence[Content], widths: Sequence[int]) -> list[Line]:
        columns = [[line.content for line in wrap(cell, width)] for cell, width in zip(cells, widths, strict=True)]
        lines: list[Line] = []
        for index in range(max(map(len, columns))):
            parts = [
                _aligned(column[index] if index < len(column) else Content(), width, alignment)
                for column, width, alignment in zip(columns, widths, self.alignments, strict=True)
            ]
            lines.append(Line(Content(" " * GAP).join(parts).rstrip()))
        return lines

    def _names_and_values(self, width: int) -> list[Line]:
        """Every row as a small list, for tables with more columns than the window has room for."""
        lines: list[Line] = []
        for index, row in enumerate(self.rows):
            lines += [BLANK] if index else []
            for name, value in zip(self.header, row, strict=True):
                named = Content.assemble(name.stylize_before(FAINT), (": ", FAINT), value) if name else value
                first, *rest = wrap(named, width - 2)
                lines += [first, *(line.indented(Content("  ")) for line in rest)]
        return lines


def column_widths(natural: Sequence[int], room: int) -> list[int] | None:
    """Cells for every column, together at most `room`: columns that need less than a fair share get what they need,
    the others share the rest. None when that would make a column too narrow to read."""
    if sum(natural) <= room:
        return list(natural)
    widths = [0] * len(natural)
    left, columns = room, sorted(range(len(natural)), key=lambda column: natural[column])
    for place, column in enumerate(columns):
        fair = left // (len(columns) - place)
        widths[column] = min(natural[column], fair)
        if widths[column] < min(natural[column], NARROWEST_COLUMN):
            return None
        left -= widths[column]
    return widths


def _aligned(content: Content, width: int, alignment: Alignment) -> Content:
    spare = max(0, width - content.cell_length)
    left = {"left": 0, "center": spare // 2, "right": spare}[alignment]
    return content.pad(left, spare - left)
