"""The parts of a reply in which a model thinks before it answers: how its template marks them, and how they are read.

Nothing here goes by the name of a model. The marks are found in the template's own text and among the control tokens:
a pair of tags whose name speaks of thinking (`<think>` and `</think>`, `[THINK]`, `<|START_THINKING|>`), or channels
(`<|channel|>analysis<|message|>` and `<|channel|>final<|message|>`). Whether a reply begins inside such a part is read
from the end of the prompt, for many templates open it themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

_NAME = r"(?:\w+[:_])?(?:think|thinking|thought|thoughts|reasoning|reason)"
_CLOSING_TAG = re.compile(
    rf"(?P<left><\|?|\[|◁)/(?P<name>{_NAME})(?P<right>\|?>|\]|▷)"
    rf"|<\|(?P<end>END|end|End)_(?P<of>of_|OF_)?(?P<word>{_NAME})\|>",
    re.IGNORECASE,
)
_NAMED_CHANNEL = re.compile(r"<\|channel\|>(\w+)<\|message\|>")
_SHORT_CHANNEL = re.compile(r"<\|channel>(thought|thinking|think|analysis)\b")
_BEGIN = {"END": "START", "end": "begin", "End": "Begin"}


@dataclass(frozen=True, slots=True)
class ThinkingMarks:
    """What stands around thinking.

    Attributes:
        opening, closing: around it.
        headers: beginnings of the headers that stand before every part of the reply, in templates with channels. A part
            is thinking unless its channel is `answer`.
        header_end: ends such a header.
    """

    opening: str
    closing: str
    headers: tuple[str, ...] = ()
    header_end: str = ""
    answer: str = ""

    def names(self, control: Iterable[str]) -> frozenset[str]:
        """Those control tokens that marks are made of."""
        marks = (self.opening, self.closing, *self.headers, self.header_end)
        return frozenset(name for name in control if any(name and name in mark for mark in marks))

    def is_open_after(self, prompt: str) -> bool:
        """Whether a reply to this prompt begins with thinking."""
        return not self.headers and prompt.rstrip().endswith(self.opening)

    def around(self, thinking: str) -> str:
        """Thinking as the model writes it."""
        return f"{self.opening}\n{thinking}\n{self.closing}\n\n"


def find_marks(*sources: str) -> ThinkingMarks | None:
    """The marks that these texts know: a template, the names of control tokens. None when there are none."""
    for source in sources:
        if "final" in (channels := set(_NAMED_CHANNEL.findall(source))) and len(channels) > 1:
            opening = "<|channel|>analysis<|message|>"
            return ThinkingMarks(opening, "<|end|>", ("<|channel|>", "<|start|>"), "<|message|>", "final")
        if (channel := _SHORT_CHANNEL.search(source)) is not None:
            return ThinkingMarks(channel.group(), "<channel|>")
        if (tag := _CLOSING_TAG.search(source)) is not None:
            return ThinkingMarks(_opening_of(tag), tag.group())
    return None


def _opening_of(closing: re.Match[str]) -> str:
    parts = closing.groupdict()
    if parts["name"] is not None:
        return f"{parts['left']}{parts['name']}{parts['right']}"
    return f"<|{_BEGIN.get(parts['end'], 'START')}_{parts['of'] or ''}{parts['word']}|>"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a reply: what the model thinks, or what it answers."""

    text: str
    thinking: bool


class _Place(Enum):
    BEFORE = "before"  # a mark may come, or the answer
    THINKING = "thinking"
    ANSWER = "answer"


class ThinkingReader:
    """Reads one reply, in which marks appear as text, piece by piece. Constant work for a piece.

    Thinking is looked for where a part begins, not within an answer: a model may well write about `<think>`.

    Args:
        opened: the prompt has opened thinking.
        goes_on: the answer had begun before this.
    """

    def __init__(self, marks: ThinkingMarks, *, opened: bool = False, goes_on: bool = False) -> None:
        self._marks = marks
        self._place = _Place.THINKING if opened else _Place.ANSWER if goes_on else _Place.BEFORE
        self._held = ""
        self._trims = opened  # white space at the beginning of a part is no part of it

    @property
    def thinking(self) -> bool:
        """Whether the model is thinking now."""
        return self._place is _Place.THINKING

    @property
    def answering(self) -> bool:
        """Whether the answer has begun, or the header that announces it is complete."""
        return self._place is _Place.ANSWER

    @property
    def waits(self) -> bool:
        """Whether thinking or the answer may begin here."""
        return self._place is _Place.BEFORE and not self._held.strip()

    def push(self, text: str) -> list[Part]:
        """The parts that this completes, none of them empty."""
        self._held += text
        parts: list[Part] = []
        while self._step(parts):
            pass
        return parts

    def flush(self) -> list[Part]:
        """What was held back because it might have become a mark."""
        held, self._held = self._held, ""
        if self._place is _Place.BEFORE and held.startswith(self._marks.headers or "\0"):
            return []  # half a header
        text = held.strip() if self._place is _Place.BEFORE else held
        return [Part(text, self.thinking)] if text.strip() or (text and not self._trims) else []

    def _step(self, parts: list[Part]) -> bool:
        """Go on by one part or piece; whether there may be more to do."""
        if self._place is _Place.BEFORE:
            return self._enter()
        ends = self._place is _Place.THINKING or bool(self._marks.headers)
        found = self._held.find(self._marks.closing) if ends else -1
        if found >= 0:
            self._give(parts, self._held[:found].rstrip())
            self._held = self._held[found + len(self._marks.closing) :]
            self._place = _Place.BEFORE
            return True
        keep = _beginning_of(self._marks.closing, self._held) if ends else 0
        if self._place is _Place.THINKING and not keep:  # white space before the closing mark is no part of it
            keep = len(self._held) - len(self._held.rstrip())
        elif keep and self._place is _Place.THINKING:
            body = self._held[: len(self._held) - keep]
            keep += len(body) - len(body.rstrip())
        ready = self._held[: len(self._held) - keep]
        self._held = self._held[len(ready) :]
        self._give(parts, ready)
        return False

    def _give(self, parts: list[Part], text: str) -> None:
        if self._trims:
            text = text.lstrip()
        if text:
            self._trims = False
            parts.append(Part(text, self.thinking))

    def _enter(self) -> bool:
        """Find out what begins here; whether that is known now."""
        marks, held = self._marks, self._held.lstrip()
        if not held:
            return False
        if any(held.startswith(header) for header in marks.headers):
            header, end, rest = held.partition(marks.header_end)
            if not end:
                return False
            channel = header.rpartition(marks.headers[0])[2].split()
            is_answer = bool(channel) and channel[0] == marks.answer
            self._begin(_Place.ANSWER if is_answer else _Place.THINKING, rest)
            return True
        if not marks.headers and held.startswith(marks.opening):
            self._begin(_Place.THINKING, held[len(marks.opening) :])
            return True
        if any(mark.startswith(held) for mark in (marks.headers or (marks.opening,))):
            return False
        self._begin(_Place.ANSWER, held)
        return True

    def _begin(self, place: _Place, rest: str) -> None:
        self._place, self._held, self._trims = place, rest, True


def _beginning_of(mark: str, text: str) -> int:
    """Length of the longest end of `text` that is a beginning of `mark`."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if mark.startswith(text[len(text) - length :]):
            return length
    return 0
