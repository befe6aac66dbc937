"""A text with the changes to it where they stand: what goes is struck through, what comes underlined.

Rows far from every change are left out of a long text, and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from textual.content import Content

from localchat.translation import plural
from localchat.ui.ink import ACCENT, FAINT, MUTED
from localchat.ui.reading.lines import Line, wrap
from localchat.ui.visible_text import visible_text
from localchat.writing.changes import Change
from localchat.writing.pieces import Piece
from localchat.writing.review import Decision, Review

GOES, COMES = "$text-error strike", "$text-success underline"
GOES_HERE, COMES_HERE = "$text-error on $error-muted bold strike", "$text-success on $success-muted bold underline"
"""The same for the change that is asked about."""

BREAK = "↵"
"""Stands for the end of a line that goes or comes."""

GUTTER = 2
SIGNS: dict[Decision | None, tuple[str, str]] = {
    "accepted": ("✓", "$text-success"),
    "rejected": ("✗", FAINT),
    None: ("·", MUTED),
}
"""Before a row with changes: what was decided about the first of them."""

HERE = ("▸", f"{ACCENT} bold")

WHOLE = 60
"""Lines up to which a text is shown whole."""

AROUND = 3
"""Lines that are shown on either side of one with a change in a longer text."""


@dataclass
class _Paragraph:
    """A line of the text with the changes that begin in it: their numbers, and where in it."""

    parts: list[tuple[str, str]] = field(default_factory=list)
    changes: list[tuple[int, int]] = field(default_factory=list)
    is_near: bool = False

    @property
    def length(self) -> int:
        return sum(len(text) for text, _style in self.parts)


@dataclass(frozen=True, slots=True)
class Picture:
    """Rows to draw, and in which of them each change begins."""

    rows: Sequence[Content]
    row_of: dict[int, int]
    last_row: int
    """Of what is being worked on, or of the text."""


Known = dict[tuple[tuple[str, str], ...], Sequence[Line]]
"""Rows of lines that were laid out before, at the same width."""


def picture(
    review: Review, current: int | None, width: int, known: Known, piece: Piece | None = None, written: str = ""
) -> Picture:
    """Draw a review.

    Args:
        current: the change that is asked about; None while they are still being made.
        width: in cells.
        known: what was laid out before; what is laid out now is added.
        piece: what is being worked on.
        written: what was written for it so far.
    """
    paragraphs = _Paragraphs()
    at = 0
    for number, change in enumerate(review.changes):
        if piece is not None and change.start >= piece.end and at <= piece.start:
            at = _draw_piece(paragraphs, review.original, at, piece, written)
        paragraphs.write(review.original[at : change.start])
        _draw_change(paragraphs, change, number, review.decision(number), number == current)
        at = change.end
    if piece is not None and at <= piece.start:
        at = _draw_piece(paragraphs, review.original, at, piece, written)
    paragraphs.write(review.original[at:])
    return _laid_out(paragraphs.all, review, current, width, known)


def _draw_piece(paragraphs: _Paragraphs, original: str, at: int, piece: Piece, written: str) -> int:
    paragraphs.write(original[at : piece.start])
    paragraphs.write(written, COMES)
    paragraphs.write("▍", ACCENT)
    paragraphs.write(original[piece.start : piece.end], FAINT)
    return piece.end


def _draw_change(
    paragraphs: _Paragraphs, change: Change, number: int, decision: Decision | None, is_current: bool
) -> None:
    paragraphs.mark(number)
    goes, comes = (GOES_HERE, COMES_HERE) if is_current else (GOES, COMES)
    shows = [(change.old, goes), (change.new, comes)]
    if decision == "accepted" and change.new:
        shows = shows[1:]
    elif decision == "rejected":
        shows = [(change.old, "bold underline" if is_current else MUTED)] if change.old else shows[1:]
    for text, style in shows:
        struck = text.replace("\n", f"{BREAK}\n") if style != MUTED else text
        paragraphs.write(struck, style)


class _Paragraphs:
    """The lines of a text, as it is written from its beginning to its end."""

    def __init__(self) -> None:
        self.all = [_Paragraph()]

    def write(self, text: str, style: str = "") -> None:
        for place, part in enumerate(visible_text(text).split("\n")):
            if place:
                self.all.append(_Paragraph())
            if style:
                self.near()
            if part:
                self.all[-1].parts.append((part.replace("\t", "    "), style))

    def near(self) -> None:
        self.all[-1].is_near = True

    def mark(self, number: int) -> None:
        self.near()
        self.all[-1].changes.append((number, self.all[-1].length))


def _laid_out(paragraphs: list[_Paragraph], review: Review, current: int | None, width: int, known: Known) -> Picture:
    rows: list[Content] = []
    row_of: dict[int, int] = {}
    last_row: int | None = None
    blank = " " * GUTTER
    for paragraph in _without_the_distant(paragraphs):
        if isinstance(paragraph, int):
            sentence = plural("⋯ {count} line as it was", "⋯ {count} lines as they were", paragraph)
            rows.append(Content.assemble(blank, (sentence.format(count=paragraph), FAINT)))
            continue
        parts = tuple(paragraph.parts)
        if (lines := known.get(parts)) is None:
            lines = known[parts] = wrap(Content.assemble(*parts), max(8, width - GUTTER))
        places = _places(lines, paragraph.changes)
        for place, line in enumerate(lines):
            here = [number for number, row in places.items() if row == place]
            row_of |= dict.fromkeys(here, len(rows))
            rows.append(Content.assemble(_sign(review, here, current), line.content))
        if paragraph.is_near:
            last_row = len(rows) - 1
    return Picture(rows, row_of, len(rows) - 1 if last_row is None else last_row)


def _without_the_distant(paragraphs: list[_Paragraph]) -> Iterator[_Paragraph | int]:
    """The lines; in a long text, a number in place of each run of lines that are far from every change."""
    if len(paragraphs) <= WHOLE:
        yield from paragraphs
        return
    near = [False] * len(paragraphs)
    for index, paragraph in enumerate(paragraphs):
        if paragraph.is_near:
            first, last = max(0, index - AROUND), index + AROUND + 1
            near[first:last] = [True] * len(near[first:last])
    left_out = 0
    for paragraph, is_near in zip(paragraphs, near, strict=True):
        if is_near:
            if left_out:
                yield left_out
            left_out = 0
            yield paragraph
        else:
            left_out += 1
    if left_out:
        yield left_out


def _places(lines: Sequence[Line], changes: Sequence[tuple[int, int]]) -> dict[int, int]:
    """In which row of a line each of its changes begins."""
    found: dict[int, int] = {}
    end = 0
    for row, line in enumerate(lines):
        end += len(line.content) + (len(lines[row + 1].joint) if row + 1 < len(lines) else 1)
        for number, offset in changes:
            if number not in found and offset < end:
                found[number] = row
    return found | {number: len(lines) - 1 for number, _offset in changes if number not in found}


def _sign(review: Review, here: Sequence[int], current: int | None) -> Content:
    """What stands before a row."""
    if current in here:
        sign, style = HERE
    elif here:
        waiting = next((number for number in here if review.decision(number) is None), here[0])
        sign, style = SIGNS[review.decision(waiting)]
    else:
        return Content(" " * GUTTER)
    return Content.styled(sign.ljust(GUTTER), style)
