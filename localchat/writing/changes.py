"""Two versions of a text as changes that can be made one by one.

found = changes("The cat sat.", "The dog sat.")      # [Change(4, 7, "cat", "dog")]
applied("The cat sat.", found)                       # "The dog sat."
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import accumulate

from localchat.writing.tokens import is_word, tokens

LONGEST_COMPARED = 20_000
"""Characters of two parts that differ up to which their words are compared."""


@dataclass(frozen=True, slots=True)
class Change:
    """`old`, which stands between `start` and `end` of the original (in characters), becomes `new`."""

    start: int
    end: int
    old: str
    new: str

    def moved(self, by: int) -> Change:
        return replace(self, start=self.start + by, end=self.end + by)


def changes(old: str, new: str) -> list[Change]:
    """What makes `new` of `old`: in order, apart from each other, by word in English and by character in Chinese."""
    before, after = tokens(old), tokens(new)
    starts = [0]
    for token in before:
        starts.append(starts[-1] + len(token))
    found = []
    for first, last, other_first, other_last in _merged(before, after, _differences(before, after)):
        text = "".join(before[first:last])
        found.append(Change(starts[first], starts[last], text, "".join(after[other_first:other_last])))
    return found


def changes_by_line(old: str, new: str) -> list[Change]:
    """The same for texts of any length: lines are compared first, and words only where those differ."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    starts = list(accumulate(map(len, before), initial=0))
    found: list[Change] = []
    # Lines that come again and again, such as empty ones, are no landmarks: comparing each with each takes minutes.
    for tag, i, j, k, m in SequenceMatcher(None, before, after).get_opcodes():
        if tag == "equal":
            continue
        part, other = "".join(before[i:j]), "".join(after[k:m])
        if len(part) + len(other) > LONGEST_COMPARED:
            found.append(Change(starts[i], starts[j], part, other))
        else:
            found += [change.moved(starts[i]) for change in changes(part, other)]
    return found


def applied(original: str, wanted: Iterable[Change]) -> str:
    """The original with these of its changes made; they are in order."""
    parts, at = [], 0
    for change in wanted:
        parts += [original[at : change.start], change.new]
        at = change.end
    return "".join([*parts, original[at:]])


def with_line_breaks_of(original: str, new: str) -> str:
    """`new` with the white space of the original wherever the words around it are the same.

    A model is given a paragraph as one line. What it gives back is broken into lines again as the original was.
    """
    before, after = tokens(original), tokens(new)
    keys = [_key(token) for token in before], [_key(token) for token in after]
    if keys[0].count(" ") == before.count(" "):  # nothing to give back
        return new
    result = list(after)
    matcher = SequenceMatcher(None, *keys, autojunk=False)
    for block in matcher.get_matching_blocks():
        result[block.b : block.b + block.size] = before[block.a : block.a + block.size]
    return "".join(result)


def likeness(old: str, new: str) -> float:
    """How much of the words of two texts is the same and in the same order: 0 to 1."""
    before, after = ([token for token in tokens(text) if is_word(token)] for text in (old, new))
    return SequenceMatcher(None, before, after, autojunk=False).ratio()


def _key(token: str) -> str:
    return " " if token.isspace() and token.count("\n") < 2 else token


_Span = tuple[int, int, int, int]
"""Tokens from..to of the old text, from..to of the new one."""


def _differences(before: Sequence[str], after: Sequence[str]) -> list[_Span]:
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return [(i, j, k, m) for tag, i, j, k, m in matcher.get_opcodes() if tag != "equal"]


def _merged(before: Sequence[str], after: Sequence[str], spans: list[_Span]) -> list[_Span]:
    """Neighbours with less between them than they change themselves become one: scattered words that two sentences
    happen to share help nobody to read the difference."""
    merged: list[_Span] = []
    for span in spans:
        while merged and _belong_together(before, after, merged[-1], span):
            last = merged.pop()
            span = (last[0], span[1], last[2], span[3])
        merged.append(span)
    return merged


def _belong_together(before: Sequence[str], after: Sequence[str], left: _Span, right: _Span) -> bool:
    between = _weight(before[left[1] : right[0]])
    if between == 0:
        corrections = [_is_correction(before, after, span) for span in (left, right)]
        return not (_is_swap(left) and _is_swap(right) and any(corrections))
    sizes = (max(_weight(before[span[0] : span[1]]), _weight(after[span[2] : span[3]])) for span in (left, right))
    return between < min(sizes)


def _is_swap(span: _Span) -> bool:
    """One token for another."""
    return span[1] - span[0] == 1 == span[3] - span[2]


def _is_correction(before: Sequence[str], after: Sequence[str], span: _Span) -> bool:
    """One word for another that is spelt nearly as it."""
    return _is_swap(span) and SequenceMatcher(None, before[span[0]], after[span[2]], autojunk=False).ratio() > 0.5


def _weight(part: Sequence[str]) -> int:
    """Characters of words."""
    return sum(len(token) for token in part if is_word(token))
