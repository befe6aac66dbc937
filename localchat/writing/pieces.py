"""A text in pieces that a small model does well: its paragraphs, without their marks, and nothing that is no prose.

What lies between the pieces (line ends, list marks, code blocks, tables) is never given to the model and never changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$")
_MARKS = re.compile(r"[ \t\u3000]*(?:(?:[-*+•>]|#{1,6}|\d{1,3}[.)])[ \t]+|\d{1,3}、)*")
_ITEM = re.compile(r"[ \t\u3000]*(?:(?:[-*+•>]|#{1,6}|\d{1,3}[.)])[ \t]|\d{1,3}、)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_SENTENCE = re.compile(r".+?(?:[。！？；…]+[”’」』）]*|[.!?]+[\"'”’)]*(?=\s)|$)\s*", re.DOTALL)
_ENDS = ("。", "！", "？", "”", "」", ".", "!", "?", ":", "：")
_BREAK = re.compile(r"[ \t]*(?:\r\n|\r|\n)[ \t]*")
_WRAPPED_FROM, _WRAPPED_TO = 40, 110
"""Cells: where people let their editors break lines."""
BYTES_PER_TOKEN = 4
"""Of UTF-8, about, in Chinese as in English."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text.

    Attributes:
        start, end: where it stands, in characters of the whole.
        text: what the model is given: the part without the line breaks of an editor.
    """

    start: int
    end: int
    text: str


def about_tokens(text: str) -> int:
    """How many tokens a text has, roughly and quickly."""
    return len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN + 1


def paragraphs(text: str, most_tokens: int) -> Iterator[Piece]:
    """The paragraphs of prose in order; those with more than `most_tokens` in parts that end with a sentence."""
    for block in _blocks(text):
        if _is_wrapped(text, block):
            spans = [(block[0][0], block[-1][1])]
        else:
            spans = [
                span for line, span in ((text[s:e], (s, e)) for s, e in block) if not line.lstrip().startswith("|")
            ]
        for start, end in spans:
            start += _marks(text, start, end)
            if any(char.isalpha() for char in text[start:end]):
                yield from _parts(text, start, end, most_tokens)


def large_pieces(text: str, most_tokens: int) -> Iterator[Piece]:
    """Several paragraphs at once, with everything between them."""
    first, last, tokens = -1, 0, 0
    for piece in paragraphs(text, most_tokens):
        size = about_tokens(piece.text)
        if first >= 0 and tokens + size > most_tokens:
            yield Piece(first, last, text[first:last])
            first, tokens = -1, 0
        first, last, tokens = piece.start if first < 0 else first, piece.end, tokens + size
    if first >= 0:
        yield Piece(first, last, text[first:last])


def last_piece(text: str, most_tokens: int) -> Piece | None:
    """The end of a text, from the beginning of a paragraph or sentence on."""
    found: Piece | None = None
    for piece in reversed(list(paragraphs(text, max(1, most_tokens // 4)))):
        end = found.end if found else piece.end
        if found and about_tokens(text[piece.start : end]) > most_tokens:
            break
        found = Piece(piece.start, end, text[piece.start : end])
    return found


def up_to_a_sentence(text: str) -> str:
    """A text without the sentence at its end that was not finished; all of it when it has only that."""
    finished = [found.end() for found in _SENTENCE.finditer(text) if found[0].rstrip().endswith(_ENDS)]
    return text[: finished[-1]].rstrip() if finished else text


def _blocks(text: str) -> Iterator[list[tuple[int, int]]]:
    """Lines (without their ends) that stand together, code and front matter left out."""
    block: list[tuple[int, int]] = []
    fence = ""
    for number, line in enumerate(_LINE.finditer(text)):
        content = line[0].rstrip()
        if fence:
            fence = "" if _closes(content, fence) else fence
        elif number == 0 and content == "---" and re.search(r"^(---|\.\.\.)\s*$", text[line.end() :], re.MULTILINE):
            fence = "---"
        elif opening := _FENCE.match(content):
            fence = opening[1]
        elif content:
            block.append((line.start(), line.start() + len(content)))
            continue
        if block:
            yield block
        block = []
    if block:
        yield block


def _closes(line: str, fence: str) -> bool:
    return line.strip() in ("---", "...") if fence == "---" else line.strip().startswith(fence)


def _is_wrapped(text: str, block: list[tuple[int, int]]) -> bool:
    """Whether an editor broke the lines: all but the last have about the width of a page, and none is an item."""
    lines = [text[start:end] for start, end in block]
    widths = [cell_len(line) for line in lines[:-1]]
    return (
        len(lines) > 1
        and all(_WRAPPED_FROM <= width <= _WRAPPED_TO for width in widths)
        and not any(_ITEM.match(line) for line in lines[1:])
        and not all(line.endswith(_ENDS) for line in lines[:-1])
    )


def _marks(text: str, start: int, end: int) -> int:
    """How many characters of indentation, list marks and the like a line begins with."""
    marks = _MARKS.match(text, start, end)
    return len(marks[0]) if marks else 0


def _parts(text: str, start: int, end: int, most_tokens: int) -> Iterator[Piece]:
    if about_tokens(text[start:end]) <= most_tokens:
        yield _piece(text, start, end)
        return
    first, last = start, start
    for sentence in _sentences(text, start, end, most_tokens):
        if last > first and about_tokens(text[first : sentence[1]]) > most_tokens:
            yield _piece(text, first, last)
            first = sentence[0]
        last = sentence[1]
    yield _piece(text, first, last)


def _sentences(text: str, start: int, end: int, most_tokens: int) -> Iterator[tuple[int, int]]:
    """Sentences; one that is itself too long is cut where it has to be."""
    longest = most_tokens * BYTES_PER_TOKEN // 4
    for sentence in _SENTENCE.finditer(text, start, end):
        for at in range(sentence.start(), sentence.end(), longest):
            yield at, min(at + longest, sentence.end())


def _piece(text: str, start: int, end: int) -> Piece:
    """The part between `start` and `end` without white space around it."""
    part = text[start:end]
    start, end = start + len(part) - len(part.lstrip()), start + len(part.rstrip())
    return Piece(start, end, unwrapped(text[start:end]))


def unwrapped(text: str) -> str:
    """Lines joined: by a space, and in Chinese by nothing."""

    def joined(match: re.Match[str]) -> str:
        before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        return "" if before > "\u2e7f" or after > "\u2e7f" else " "

    return _BREAK.sub(joined, text)
