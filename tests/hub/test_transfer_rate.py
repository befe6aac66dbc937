"""Speed and time left: smooth, and honest about what this run did."""

from __future__ import annotations

import pytest

from localchat.hub.transfer_rate import TransferRate


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run(rate: TransferRate, clock: Clock, seconds: float, bytes_per_second: float) -> None:
    for _ in range(round(seconds * 10)):
        clock.now += 0.1
        rate.update(rate.done_bytes + round(bytes_per_second / 10))


def test_nothing_is_claimed_before_anything_is_measured() -> None:
    rate = TransferRate(0, 1000, Clock())
    assert (rate.bytes_per_second, rate.seconds_left) == (None, None)


def test_a_steady_transfer_has_its_speed_and_its_time_left() -> None:
    clock = Clock()
    rate = TransferRate(0, 1000, clock)
    run(rate, clock, 5, 100)
    assert rate.bytes_per_second == pytest.approx(100)
    assert rate.seconds_left == pytest.approx(5)


def test_bytes_of_an_earlier_run_are_done_but_are_no_speed() -> None:
    clock = Clock()
    rate = TransferRate(900_000, 1_000_000, clock)
    run(rate, clock, 2, 10_000)
    assert rate.done_bytes == 920_000
    assert rate.bytes_per_second == pytest.approx(10_000)


def test_the_speed_follows_a_change_within_seconds_and_without_jumping() -> None:
    clock = Clock()
    rate = TransferRate(0, 0, clock)
    run(rate, clock, 20, 1000)
    run(rate, clock, 1, 100)
    assert rate.bytes_per_second is not None and 600 < rate.bytes_per_second < 950
    run(rate, clock, 30, 100)
    assert rate.bytes_per_second == pytest.approx(100, rel=0.05)


def test_a_stalled_transfer_slows_down_and_never_ends_early() -> None:
    clock = Clock()
    rate = TransferRate(0, 1000, clock)
    run(rate, clock, 2, 100)
    before = rate.seconds_left
    run(rate, clock, 5, 0)
    assert before is not None and rate.seconds_left is not None and rate.seconds_left > 2 * before


def test_a_restart_from_zero_is_never_a_negative_speed() -> None:
    clock = Clock()
    rate = TransferRate(0, 1000, clock)
    run(rate, clock, 5, 100)
    clock.now += 1
    rate.update(0)
    run(rate, clock, 5, 100)
    assert rate.bytes_per_second == pytest.approx(100)


def test_without_a_total_no_time_is_claimed() -> None:
    clock = Clock()
    rate = TransferRate(0, 0, clock)
    run(rate, clock, 2, 100)
    assert rate.seconds_left is None
