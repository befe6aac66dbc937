"""One row of laid-out text, and the breaking of paragraphs into rows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from rich.cells import cell_len
from textual.content import Content

_WIDE = "\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6"
_OPENING = "（《〈「『【〔〖“‘［｛"
_CLOSING = "）》〉」』】〕〗”’］｝，。、；：？！…—·,.;:?!%)"
_ATOM = re.compile(
    rf"[{_OPENING}]*(?:(?![{_OPENING}])[{_WIDE}]|(?:(?![{_OPENING}])[^\s{_WIDE}])+)[{_CLOSING}]*[^\S\n]*"
    rf"|[{_OPENING}]+|[^\S\n]+"
)
"""What is never broken: a word, or one wide character with the marks that may not begin or end a row."""

_EMOJI_STYLE = "\ufe0f"  # makes the character before it wide


@dataclass(frozen=True, slots=True)
class Line:
    """One row.

    Attributes:
        decoration: characters at its left that are no part of the text (a bar, a bullet's indent).
        joint: what stands between the row before and this one in the text: a break, or what a wrap took away.
        fill: style of the whole row, from edge to edge.
    """

    content: Content
    decoration: int = 0
    joint: str = "\n"
    fill: str = ""

    def indented(self, prefix: Content, *, is_text: bool = False) -> Line:
        """The same row to the right of `prefix`, which is decoration unless it is text."""
        decoration = self.decoration if is_text else self.decoration + len(prefix)
        return replace(self, content=prefix + self.content, decoration=decoration)

    def looks_like(self, other: Line) -> bool:
        """Whether nobody could tell the two apart."""
        return self.content.is_same(other.content) and (self.decoration, self.joint, self.fill) == (
            other.decoration,
            other.joint,
            other.fill,
        )


BLANK = Line(Content())


def wrap(content: Content, width: int) -> list[Line]:
    """The rows of a paragraph, whose own line breaks are kept.

    Breaks after white space and between wide characters, so that Chinese fills its rows; punctuation does not begin a
    row. A word longer than a row is cut.
    """
    rows: list[Line] = []
    for paragraph in content.split("\n", allow_blank=True):
        cuts = _cuts(paragraph.plain, max(2, width))
        joint = "\n"
        for part in paragraph.divide(cuts) if cuts else [paragraph]:
            stripped = part.rstrip()
            rows.append(Line(stripped, joint=joint))
            joint = part.plain[len(stripped.plain) :]
    return rows


def _cuts(text: str, width: int) -> list[int]:
    """Where `text`, which has no line breaks, is cut so that no row is wider than `width` cells."""
    if len(text) * 2 <= width or cell_len(text) <= width:
        return []
    cuts: list[int] = []
    used = 0
    for match in _ATOM.finditer(text):
        atom = match.group()
        size = cell_len(atom)
        if used + cell_len(atom.rstrip()) > width:
            if used:
                cuts.append(match.start())
            used = 0
            if size > width:
                folded, used = _fold(atom, width)
                cuts += [match.start() + offset for offset in folded]
                continue
        used += size
    return cuts


def _fold(text: str, width: int, *, hangs: bool = True) -> tuple[list[int], int]:
    """Where a piece without gaps is cut, and the cells of its last row. White space at the end of a row may hang over,
    where it is not shown."""
    cuts: list[int] = []
    used = 0
    for index, character in enumerate(text):
        size = 1 if character == _EMOJI_STYLE else cell_len(character)
        if used + size > width and not (hangs and character.isspace()):
            cuts.append(index)
            used = 0
        used += size
    return cuts, used


def fold(content: Content, width: int) -> list[Line]:
    """The rows of a line of code: cut wherever it is too wide."""
    cuts, _ = _fold(content.plain, max(2, width), hangs=False)
    rows: list[Line] = []
    for part in content.divide(cuts) if cuts else [content]:
        rows.append(Line(part, joint="" if rows else "\n"))
    return rows


def text_of(lines: Iterable[Line]) -> str:
    """The text that rows were made of."""
    parts: list[str] = []
    for line in lines:
        parts += [line.joint if parts else "", line.content.plain[line.decoration :]]
    return "".join(parts)
