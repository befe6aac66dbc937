"""A store in a fresh folder, and a clock that tests move by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localchat.history.store import HistoryStore


class Clock:
    """Seconds since 1970, one more each time it is asked."""

    def __init__(self) -> None:
        self.seconds = 1_750_000_000.0

    def __call__(self) -> float:
        self.seconds += 1
        return self.seconds

    def pass_days(self, days: float) -> None:
        self.seconds += days * 86400


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def history_path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "history.db"


@pytest.fixture
def store(history_path: Path, clock: Clock) -> Iterator[HistoryStore]:
    with HistoryStore(history_path, now=clock) as opened:
        yield opened
