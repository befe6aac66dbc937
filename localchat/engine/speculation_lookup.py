"""What may come next, looked up where the text had the same tokens before: in the conversation with the files that it
was given, and in the reply itself.

The places of a pair of tokens are kept in a chain, the latest first, as programs that compress text do (LZ77). Of the
places where the latest pair stood before, the one counts with most of the same tokens before it. It is then followed
for as long as the text goes on as it did there.

A text that is written anew with small changes leaves such a place for a word or two and comes back. So right after a
change the text is taken to go on behind the token that was changed, and then where its next token stands.

Source: Saxena, Prompt Lookup Decoding, 2023, which looks for n-grams alike.
"""

from __future__ import annotations

from collections.abc import Sequence

LONGEST = 16
"""Tokens before a place that are compared, at most: more of them make the next one no likelier."""

_PLACES = 24  # of a pair that are looked at
_KNOWN_WELL = 4  # tokens that were the same before a place, so that the text may come back to it
_PATIENCE = 8  # tokens during which that may be
_NEAR = 12  # tokens behind the place among which it may be


class Lookup:
    """The tokens of one conversation, and where those that came last stood before.

    Args:
        tokens: what is there already.

    Attributes:
        tokens: all of them, with those that were accepted.
        matched: how many tokens before the place that is followed are those that came last, at most `LONGEST`; 0 right
            after a change; -1 where there is no such place.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self.matched = -1
        self._place = 0  # of what may come next
        self._left, self._patience = 0, 0  # the place that the text may come back to
        self.tokens: list[int] = []
        self._latest: dict[tuple[int, int], int] = {}  # the place after a pair
        self._before: list[int] = []  # by the place after a pair, less one: the one before with the same pair, or 0
        for token in tokens:
            self._append(token)

    @property
    def next(self) -> int:
        """The token that may come next, where something is known."""
        return self.tokens[self._place]

    def guess(self, count: int) -> list[int]:
        """The `count` tokens that may come next; none where nothing is known."""
        if self.matched < 0:
            return []
        guessed = self.tokens[self._place : self._place + count]
        while len(guessed) < count:  # the text repeats itself: what comes next stands among what is guessed
            period = len(self.tokens) - self._place
            guessed.append(guessed[-period])
        return guessed

    def accept(self, token: int) -> None:
        """The text goes on with `token`."""
        followed = self.matched >= 0 and self.tokens[self._place] == token
        self._append(token)
        if followed:
            self._place, self.matched = self._place + 1, min(self.matched + 1, LONGEST)
            if self.matched < 2:
                self._look_up(self.matched)
            return
        changed = self.matched >= _KNOWN_WELL
        if changed:
            self._left, self._patience = self._place, _PATIENCE
        self.matched = -1
        if not self._look_up(1) and self._patience:
            self._come_back(token, changed)

    def _append(self, token: int) -> None:
        tokens = self.tokens
        pair = (tokens[-1] if tokens else -1, token)
        tokens.append(token)
        self._before.append(self._latest.get(pair, 0))
        self._latest[pair] = len(tokens)

    def _look_up(self, least: int) -> bool:
        """Follow the place where the most of the latest tokens stood before, if they are more than `least`."""
        tokens, end = self.tokens, len(self.tokens)
        place, best = self._before[-1], least
        for _ in range(_PLACES):
            if not place or best == LONGEST:
                break
            same = 2
            while same < min(place, LONGEST) and tokens[place - 1 - same] == tokens[end - 1 - same]:
                same += 1
            if same > best:
                best, self._place = same, place
            place = self._before[place - 1]
        if best > least:
            self.matched = best
        return best > least

    def _come_back(self, token: int, changed: bool) -> None:
        """To where `token` stands close behind the place that was left, or to the next token right after the change."""
        self._patience -= 1
        near = self.tokens[self._left : min(self._left + _NEAR, len(self.tokens) - 1)]
        if token in near:
            self.matched, self._place = 1, self._left + near.index(token) + 1
        elif changed:
            self.matched, self._place = 0, self._left + 1
