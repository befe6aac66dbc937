"""DRY ("don't repeat yourself"): a token that would go on with a repetition becomes less likely, the longer it is.

Source: P. E. Weidmann, DRY, a modern repetition penalty, 2024 (text-generation-webui, pull request 5677).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

_LONGEST = 50
"""Tokens of a repetition that count, as in the author's implementation."""


class RepeatedSequences:
    """The tokens of a conversation, and which of them would repeat what was said.

    When the last n tokens stand somewhere before too, and n is at least `allowed_length`, then the token that followed
    there loses `multiplier * base ** (n - allowed_length)`; of several places the longest counts.

    Args:
        breaks: whether a token is one that no repetition reaches across, and that is never held back itself.
    """

    def __init__(self, multiplier: float, base: float, allowed_length: int, breaks: Callable[[int], bool]) -> None:
        self._multiplier, self._base, self._least = multiplier, base, allowed_length
        self._breaks = breaks
        self._tokens: list[int] = []  # a negative number of its own for each that breaks: it equals no other
        self._ends: dict[tuple[int, ...], list[int]] = {}  # where the sequences of the least length end

    def read(self, tokens: Iterable[int]) -> None:
        """The conversation goes on with these."""
        for token in tokens:
            self._tokens.append(~len(self._tokens) if self._breaks(token) else token)
            self._ends.setdefault(self._latest(), []).append(len(self._tokens))

    def penalties(self) -> dict[int, float]:
        """What the logits of the tokens that would go on with a repetition lose."""
        longest: dict[int, int] = {}
        for end in reversed(self._ends.get(self._latest(), ())):
            if end == len(self._tokens):
                continue
            following = self._tokens[end]
            if following >= 0 and longest.get(following, 0) < _LONGEST:
                longest[following] = max(longest.get(following, 0), self._common_length(end))
        return {
            token: self._multiplier * self._base ** (length - self._least)
            for token, length in longest.items()
            if length >= self._least
        }

    def _latest(self) -> tuple[int, ...]:
        return tuple(self._tokens[-self._least :])

    def _common_length(self, end: int) -> int:
        """How many of the last tokens stand before `end` too."""
        tokens, last, length = self._tokens, len(self._tokens), 0
        while length < min(end, _LONGEST) and tokens[end - length - 1] == tokens[last - length - 1]:
            length += 1
        return length
