"""How many threads compute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from localchat.model.device import configure_threads, physical_cores


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_the_user_decides_with_omp_num_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert configure_threads() == torch.get_num_threads() == 1


@pytest.mark.parametrize("nonsense", ["", "0", "many", "-2"])
def test_otherwise_it_is_the_physical_cores(nonsense: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", nonsense)
    assert configure_threads() == torch.get_num_threads() == physical_cores()


def test_there_are_never_more_than_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.cpu_count", lambda logical: 64)  # noqa: ARG005
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert physical_cores() == 3


def test_an_unknown_number_of_cores_is_that_of_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.cpu_count", lambda logical: None)  # noqa: ARG005
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert physical_cores() == 2
