"""A text as an editor shows it, whatever its bytes held: lines without what steers terminals, each ended by "\\n".

lines = DocumentLines("one\\r\\ntwo\\x1b\\n")
lines.shown                      # "one\\ntwo\\n"
lines.edit("one!\\ntwo\\n")        # lines.text is now "one!\\r\\ntwo\\x1b\\n"
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from localchat.ui.visible_text import visible_text

_LINE = re.compile("([^\r\n\v\f\x85\u2028\u2029]*)(\r\n|[\r\n\v\f\x85\u2028\u2029]|$)")

_Line = tuple[str, str]
"""What a line holds, and how it ends: "" is the end of the text."""


class DocumentLines:
    """What is not edited keeps every character, and an edited line the way it ended."""

    def __init__(self, text: str) -> None:
        self._lines: list[_Line] = list(_lines(text))
        self._shown = [visible_text(content) for content, _end in self._lines]
        ends = Counter(end for _content, end in self._lines if end)
        self._newline = ends.most_common(1)[0][0] if ends else "\n"

    @property
    def text(self) -> str:
        """Every character of it."""
        return "".join(content + end for content, end in self._lines)

    @property
    def shown(self) -> str:
        return "\n".join(self._shown)

    def edit(self, shown: str) -> None:
        """What is shown became this."""
        before, after = self._shown, shown.split("\n")
        first = _common(before, after)
        rest = _common(before[first:][::-1], after[first:][::-1])
        last, other_last = len(before) - rest, len(after) - rest
        lines = self._lines
        made = list(self._made(lines[first:last], before[first:last], after[first:other_last]))
        self._lines = [*lines[:first], *made, *lines[last:]]
        self._mend_ends(self._lines, first, first + len(made))
        self._shown = after

    def _made(self, lines: list[_Line], before: Sequence[str], after: Sequence[str]) -> Iterator[_Line]:
        """The lines of a part that was edited."""
        matcher = SequenceMatcher(None, before, after)  # empty lines are no landmarks: see `changes_by_line`
        for kind, i, j, k, m in matcher.get_opcodes():
            if kind == "equal":
                yield from lines[i:j]
                continue
            for place, content in enumerate(after[k:m], i):
                if place < j:
                    yield _edited(lines[place][0], before[place], content), lines[place][1]
                else:
                    yield content, self._newline

    def _mend_ends(self, lines: list[_Line], first: int, last: int) -> None:
        """Let the last line, and no other, end the text, and no two ends that meet be read as one: among the lines from
        `first` to before `last`, which are new, and those beside them."""
        for index in range(max(0, first - 1), min(last + 1, len(lines))):
            content, end = lines[index]
            if index == len(lines) - 1:
                end = ""
            else:
                end = end or self._newline
                if index and lines[index - 1][1] == "\r" and not content and end[0] == "\n":
                    end = "\r"
            lines[index] = content, end


def _lines(text: str) -> Iterator[_Line]:
    for match in _LINE.finditer(text):
        yield match[1], match[2]
        if not match[2]:
            return


def _edited(content: str, shown: str, now: str) -> str:
    """A line whose shown characters became others; what is not shown stays where those around it do."""
    if content == shown:
        return now
    places = [place for place, char in enumerate(content) if visible_text(char)]
    first = _common(shown, now)
    rest = _common(shown[first:][::-1], now[first:][::-1])
    before = content[: places[first]] if first < len(places) else content
    after = content[places[len(places) - rest - 1] + 1 :] if rest < len(places) - first else content[len(before) :]
    return before + now[first : len(now) - rest] + after


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    """How many items both begin with."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count
