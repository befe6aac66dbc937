"""The tokens of a reply as text on a page: where each stands, and how the page breaks into rows.

A token that is part of a character stands on the character that it helps to complete, and so does one that is part of
what a reader takes for one character, such as an emoji with its joined parts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from localchat.recording import TokenExplained
from localchat.ui.graphemes import boundaries
from localchat.ui.reading.lines import wrap
from localchat.ui.visible_text import visible_text

BREAK = "↵"
END = "■"
BROKEN = "\ufffd"
_TAB = "    "


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the page: `text[start:end]`, which ends before a line break."""

    start: int
    end: int


class TokenText:
    """The tokens of a reply on a page.

    Attributes:
        text: what is written on it, with a sign for every line break and for the end.
        spans: where each token stands: the beginning and the end of a piece of the text.
    """

    def __init__(self, tokens: Sequence[TokenExplained]) -> None:
        pieces = [_visible(token) for token in tokens]
        self.text = "".join(pieces)
        self.spans = self._shared_characters(pieces)
        self._ends = [end for _start, end in self.spans]

    def _shared_characters(self, pieces: Sequence[str]) -> list[tuple[int, int]]:
        """Spans that begin and end between characters, those without a character of their own on the next one."""
        between, ends = sorted({*_between_characters(self.text)}), []
        place = 0
        for piece in pieces:
            place += len(piece)
            ends.append(between[bisect_right(between, place) - 1])
        if ends and ends[-1] < len(self.text):
            ends[-1] = len(self.text)
        if pieces and not pieces[-1]:  # a character that never became whole
            self.text += BROKEN
            ends[-1] = len(self.text)
        spans: list[tuple[int, int]] = []
        following = (len(self.text), len(self.text))
        for index in range(len(ends) - 1, -1, -1):
            start = ends[index - 1] if index else 0
            if start < ends[index]:
                following = (start, ends[index])
            spans.append(following)
        return spans[::-1]

    def at(self, offset: int) -> int:
        """The first of the tokens that stand at this place of the text."""
        return min(bisect_right(self._ends, offset), len(self.spans) - 1)

    def sharing(self, index: int) -> range:
        """The tokens that stand where this one does."""
        span = self.spans[index]
        first, last = index, index + 1
        while first > 0 and self.spans[first - 1] == span:
            first -= 1
        while last < len(self.spans) and self.spans[last] == span:
            last += 1
        return range(first, last)

    def rows(self, width: int) -> list[Row]:
        """The rows of a page so wide."""
        rows: list[Row] = []
        place = 0
        for line in wrap(Content(self.text), width):
            if rows:
                place += len(line.joint)
                # What a wrap took away hangs over the edge; tokens that are white space are found there.
                rows[-1] = Row(rows[-1].start, place - line.joint.count("\n"))
            rows.append(Row(place, place + len(line.content.plain)))
            place += len(line.content.plain)
        return rows


def row_of(rows: Sequence[Row], offset: int) -> int:
    """Index of the row that this place of the text is in."""
    return max(0, bisect_right([row.start for row in rows], offset) - 1)


def _visible(token: TokenExplained) -> str:
    if token.origin == "end":
        return END
    return visible_text(token.text).replace("\t", _TAB).replace("\n", f"{BREAK}\n")


def _between_characters(text: str) -> list[int]:
    """Every place of the text that is not within what a reader takes for one character."""
    places: list[int] = []
    start = 0
    for line in text.split("\n"):
        places += [start + place for place in boundaries(line)]
        start += len(line) + 1
    return places
