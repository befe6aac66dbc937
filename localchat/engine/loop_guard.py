"""Noticing that a reply goes round in circles, while it is written, and where that began.

A reply is a loop when its end is periodic for long enough: token for token, or but for numbers that rise by the same
step each time ("1. … 2. …"). How long is enough was chosen on real loops and on texts that repeat themselves for a
reason (`tests/engine/measure_loop_guard.py`): a chorus, a table, a log, a matrix of zeros. Hence some texts get more
patience: code, those without a single letter, and counters with few words between them.
"""

from __future__ import annotations

from collections.abc import Callable

_ENOUGH, _IN_CODE = 96, 288
"""Tokens that repeat what stands a period before them."""

_COUNTING, _COUNTING_SHORTLY, _COUNTING_IN_CODE = 160, 288, 960
"""Where numbers rise: with words between them, with few, and in code."""

_WITHOUT_LETTERS = 4
"""As many times as many, where nothing rises; a text that only counts is no loop."""

_SHORT = 12
"""Tokens of a period with few words between its numbers."""

_ROUNDS, _COUNTING_ROUNDS = 2, 3
"""Whole periods after the first, at least."""

_SEEN_BEFORE = 4
"""Tokens in a row that stood before: from there on a period is tried."""

_BEFORE = 2
"""Tokens before a repetition that may go with it: its first word is often another token than the first time, when it
stood at the beginning of a line."""

_ENDS = tuple(
    tuple(mark.encode() for mark in marks)
    for marks in (("\n",), (".", "!", "?", "。", "！", "？", "…", "”", '"'), (",", ";", "，", "；", "、"))
)
"""Where a text is best cut, and where next best."""

_NUMBER = -1


class LoopGuard:
    """Watches one reply.

    Args:
        bytes_of: what a token stands for.
    """

    def __init__(self, bytes_of: Callable[[int], bytes]) -> None:
        self._bytes_of = bytes_of
        self._pieces: list[bytes] = []
        self._exact, self._counting = _Cycle(), _Cycle()
        self._in_code = False

    def push(self, token: int) -> int | None:
        """The reply goes on with this token.

        Returns:
            None, or, when it turns out to be a loop, how many of its tokens come before the repetition.
        """
        piece = self._bytes_of(token)
        self._pieces.append(piece)
        if b"`" in piece:
            self._in_code = b"".join(self._pieces).count(b"```") % 2 == 1
        self._exact.push(token, 0, len(self._pieces) - 1)
        self._count(token, piece)
        return self._exact_loop() if self._exact.run >= _ENOUGH else self._counting_loop()

    def _exact_loop(self) -> int | None:
        cycle = self._exact
        enough = max(_IN_CODE if self._in_code else _ENOUGH, _ROUNDS * cycle.period)
        if cycle.run < enough or (cycle.run < enough * _WITHOUT_LETTERS and not self._has_letters(cycle)):
            return None
        return self._beginning(cycle, cycle.run)

    def _counting_loop(self) -> int | None:
        cycle = self._counting
        enough = _COUNTING if cycle.period > _SHORT else _COUNTING_SHORTLY
        enough = max(_COUNTING_IN_CODE if self._in_code else enough, _COUNTING_ROUNDS * cycle.period)
        if cycle.run < enough or (run := cycle.steady_run()) < enough or not self._has_letters(cycle):
            return None
        return self._beginning(cycle, run)

    def _count(self, token: int, piece: bytes) -> None:
        """Follow the same text with its numbers taken for one."""
        digits = piece.strip()
        if not digits.isdigit():
            self._counting.push(token, 0, len(self._pieces) - 1)
        elif piece[:1].isdigit() and self._counting.symbols[-1:] == [_NUMBER]:
            self._counting.values[-1] = self._counting.values[-1] * 10 ** len(digits) + int(digits)
        else:
            self._counting.push(_NUMBER, int(digits), len(self._pieces) - 1)

    def _has_letters(self, cycle: _Cycle) -> bool:
        """Whether there are any in a period."""
        text = b"".join(self._pieces[cycle.places[-cycle.period] :]).decode("utf-8", "ignore")
        return any(character.isalpha() for character in text)

    def _beginning(self, cycle: _Cycle, run: int) -> int:
        """The first round stays, up to the next place where a text is well cut."""
        first = len(cycle.symbols) - run
        earliest = first - min(_BEFORE, cycle.period // 4, first - 1)
        places = [
            place for place in cycle.places[earliest : first + cycle.period] if not self._is_inside_character(place)
        ]
        for ends in _ENDS:
            for place in places:
                if self._pieces[place - 1].rstrip(b" ").endswith(ends):
                    return place
        return places[0] if places else cycle.places[first]

    def _is_inside_character(self, place: int) -> bool:
        return self._pieces[place][:1] != b"" and self._pieces[place][0] & 0xC0 == 0x80


class _Cycle:
    """The period that a sequence of symbols ends with.

    Attributes:
        values: the number that a symbol stands for, 0 for others.
        places: index of the token with which a symbol begins.
        period: the distance that is tried now; 0 is none.
        run: how many of the last symbols stand so far before, too.
    """

    def __init__(self) -> None:
        self.symbols: list[int] = []
        self.values: list[int] = []
        self.places: list[int] = []
        self.period = 0
        self.run = 0
        self._latest: dict[tuple[int, ...], int] = {}  # where the same few symbols ended last

    def push(self, symbol: int, value: int, place: int) -> None:
        index = len(self.symbols)
        self.symbols.append(symbol)
        self.values.append(value)
        self.places.append(place)
        few = tuple(self.symbols[-_SEEN_BEFORE:])
        if self.period and symbol == self.symbols[index - self.period]:
            self.run += 1
        else:
            before = self._latest.get(few)
            self.period = index - before if before is not None else 0
            self.run = self._same_so_far() if self.period else 0
        self._latest[few] = index

    def steady_run(self) -> int:
        """As `run`, as far as the numbers rise by the same steps from period to period."""
        values, period = self.values, self.period
        last, count = len(values) - 1, 0
        while count < self.run:
            index, same = last - count, last - count % period
            if values[index] - values[index - period] != values[same] - values[same - period]:
                break
            count += 1
        return count

    def _same_so_far(self) -> int:
        symbols, period = self.symbols, self.period
        last, count = len(symbols) - 1, 0
        while count <= last - period and symbols[last - count] == symbols[last - count - period]:
            count += 1
        return count
