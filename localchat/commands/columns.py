"""Columns of plain text: a Chinese character takes two places of a terminal, which `str.format` does not know."""

from __future__ import annotations

from rich.cells import cell_len


def padded(text: str, width: int, *, right: bool = False) -> str:
    """`text` with the spaces that it needs to fill `width` places, at its right end or, when `right`, at its left."""
    space = " " * (width - cell_len(text))
    return space + text if right else text + space
