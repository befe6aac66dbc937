"""Speed and time left of a transfer, smoothed so that the figures can be read.

Bytes that were there before this run count as done, but not as speed: a resumed transfer starts where it is and
claims nothing it has not measured.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

_HALF_LIFE_S = 3.0  # what was measured this long ago counts half
_SHORTEST_S = 0.25  # speeds over shorter spans say more about buffers than about the network


class TransferRate:
    """Feed it the bytes done so far; read speed and time left.

    Args:
        start_bytes: what was there when the transfer began.
        total_bytes: of the whole; 0 when unknown.
    """

    def __init__(self, start_bytes: int, total_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total_bytes = total_bytes
        self.done_bytes = start_bytes
        self._clock = clock
        self._mark_time = clock()
        self._mark_bytes = start_bytes
        self._seconds = 0.0  # both decay with age, so that their quotient is a weighted mean speed
        self._bytes = 0.0

    def update(self, done_bytes: int) -> None:
        """So many bytes are there now. Fewer than before (a restart) begin a new measurement, not a negative speed."""
        now = self._clock()
        if done_bytes < self.done_bytes:
            self._mark_time, self._mark_bytes = now, done_bytes
        self.done_bytes = done_bytes
        span = now - self._mark_time
        if span < _SHORTEST_S:
            return
        keep = math.exp2(-span / _HALF_LIFE_S)
        self._seconds = self._seconds * keep + span
        self._bytes = self._bytes * keep + (done_bytes - self._mark_bytes)
        self._mark_time, self._mark_bytes = now, done_bytes

    @property
    def bytes_per_second(self) -> float | None:
        """None until enough was seen to say."""
        return self._bytes / self._seconds if self._seconds else None

    @property
    def seconds_left(self) -> float | None:
        """None while the total or the speed is unknown, or nothing moves."""
        speed = self.bytes_per_second
        if not speed or not self.total_bytes:
            return None
        return max(0, self.total_bytes - self.done_bytes) / speed
