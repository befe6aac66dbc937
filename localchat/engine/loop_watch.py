"""Cutting a reply back to where it began to go round in circles."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from localchat.engine.loop_guard import LoopGuard
from localchat.events import TextCut
from localchat.text.thinking import Part


class LoopWatch:
    """A `LoopGuard` that knows what of the reply was told at each of its tokens."""

    def __init__(self, bytes_of: Callable[[int], bytes]) -> None:
        self._guard = LoopGuard(bytes_of)
        self._told = [(0, 0)]  # characters of the answer and of the thinking before each token

    def push(self, token: int, parts: Iterable[Part]) -> tuple[int, TextCut] | None:
        """The reply went on with this token, which completed these parts.

        Returns:
            None, or, when it turns out to be a loop, how many tokens stay, and what is taken back of the text.
        """
        answer, thinking = self._told[-1]
        for part in parts:
            if part.thinking:
                thinking += len(part.text)
            else:
                answer += len(part.text)
        self._told.append((answer, thinking))
        kept = self._guard.push(token)
        if kept is None:
            return None
        answer_then, thinking_then = self._told[kept]
        return kept, TextCut(answer - answer_then, thinking - thinking_then)
