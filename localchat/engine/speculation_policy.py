"""When guessed tokens are worth reading, and how many: by what reading several at once takes on this machine, and by
how often such guesses were right.

With `excess(n)` the time that n guessed tokens add to a step, in steps of one token, and p1, p2, … the chances that a
guess is right if those before it are, n guesses give `1 + p1 + p1 p2 + …` tokens in `1 + excess(n)` steps: the n counts
for which that is most. Chances are estimates, though. So what wrong guesses have cost and right ones have saved is
written down, and a step is guessed only if what it may cost leaves the reply less than a hundredth behind.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence

MOST = 15
"""Tokens that are guessed at once, at most. Beyond 16 with the one before, a token more costs no less than that."""

_RECENT = 9  # measurements of a kind that count
_TYPICAL = (0.0, 0.12, 0.25, 0.4, 0.65, 0.85, 1.0, 1.15, 1.7, 1.9, 2.1, 2.2, 2.3, 2.35, 2.4, 2.45)
"""What guessed tokens add to a step before anything is measured: int4 and int8, AVX-512, a little above the medians."""
_DOUBTS = 2  # measurements that the typical time counts as, so that one disturbance says nothing

_WORTH = 1.03  # tokens for the time of one: below it, the guess is not worth the trouble
_AT_FIRST, _SHARE = 0.4, 0.008  # steps that a reply may be behind for wrong guesses: at first, and for every token
_WEIGHT = 8  # guesses that a chance counts as before any was made


class Costs:
    """What reading several tokens at once takes, as one model measured it lately."""

    def __init__(self) -> None:
        self._one: deque[float] = deque(maxlen=_RECENT)
        self._seconds_of_one = 0.0
        self._ratios: list[deque[float]] = [deque(maxlen=_RECENT) for _ in _TYPICAL]
        self._excess = list(_TYPICAL)

    @property
    def known(self) -> bool:
        """Whether one token has been read, which all else is compared with."""
        return self._seconds_of_one > 0

    def took(self, count: int, seconds: float) -> None:
        """Reading `count` tokens did."""
        if count == 1:
            self._one.append(seconds)
            self._seconds_of_one = statistics.median(self._one)
        elif self.known:
            drafted = count - 1
            ratios = self._ratios[drafted]
            ratios.append(seconds / self._seconds_of_one - 1)
            self._excess[drafted] = statistics.median([*ratios, *[_TYPICAL[drafted]] * _DOUBTS])

    def excess(self, drafted: int) -> float:
        """What `drafted` tokens add to the time of a step, in steps of one token."""
        return self._excess[drafted]

    def steps(self, seconds: float) -> float:
        """A time in steps of one token."""
        return seconds / self._seconds_of_one


class Chances:
    """How likely guesses of different kinds are right, in one reply.

    Args:
        expected: by kind, before any guess was made.
    """

    def __init__(self, expected: Sequence[float]) -> None:
        self._right = [chance * _WEIGHT for chance in expected]
        self._made = [float(_WEIGHT)] * len(expected)

    def of(self, kind: int) -> float:
        return self._right[kind] / self._made[kind]

    def saw(self, kind: int, was_right: bool) -> None:
        """What became of a guess."""
        self._made[kind] += 1
        self._right[kind] += was_right


class Ledger:
    """What guesses cost and saved in one reply, in steps of one token."""

    def __init__(self) -> None:
        self._balance = 0.0
        self._tokens = 0

    @property
    def credit(self) -> float:
        """Steps that a guess may cost if all of it is wrong."""
        return self._balance + _AT_FIRST + _SHARE * self._tokens

    def spent(self, steps: float) -> None:
        self._balance -= steps

    def wrote(self, was_guessed: bool) -> None:
        """One token more; if it was guessed it took no step of its own."""
        self._tokens += 1
        self._balance += was_guessed


def best_length(chances: Sequence[float], costs: Costs, credit: float, each: float = 0.0) -> int:
    """How many guesses are worth making and reading; 0 where none is.

    Args:
        chances: that each is right if those before it are.
        each: what making one takes, in steps of one token.
    """
    best, most = 0, _WORTH
    tokens, chance = 1.0, 1.0
    for count, right in enumerate(chances, 1):
        chance *= right
        tokens += chance
        excess = costs.excess(count) + count * each
        if excess > credit:
            break
        if tokens / (1 + excess) > most:
            best, most = count, tokens / (1 + excess)
    return best
