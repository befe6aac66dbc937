"""Which device computes, and with how many threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from localchat.errors import InvalidSetting, LocalChatError
from localchat.model.device import configure_threads, physical_cores, pick_device, within_memory


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


def have(monkeypatch: pytest.MonkeyPatch, *devices: str) -> None:
    monkeypatch.delenv("LOCALCHAT_DEVICE", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: "cuda" in devices)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: "mps" in devices)


@pytest.mark.parametrize(
    ("devices", "taken"), [((), "cpu"), (("cuda",), "cuda"), (("mps",), "mps"), (("cuda", "mps"), "cuda")]
)
def test_the_fastest_device_is_taken(devices: tuple[str, ...], taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, *devices)
    assert pick_device() == torch.device(taken)
    monkeypatch.setenv("LOCALCHAT_DEVICE", "")
    assert pick_device() == torch.device(taken)


@pytest.mark.parametrize("asked", ["cpu", "mps", "cuda"])
def test_the_environment_asks_for_a_device(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, "cuda", "mps")
    monkeypatch.setenv("LOCALCHAT_DEVICE", asked)
    assert pick_device() == torch.device(asked)


@pytest.mark.parametrize("asked", ["cuda", "mps"])
def test_asking_for_a_device_that_is_not_there_says_so(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch)
    monkeypatch.setenv("LOCALCHAT_DEVICE", asked)
    with pytest.raises(InvalidSetting, match=f"asks for {asked}, but .* Set LOCALCHAT_DEVICE=cpu"):
        pick_device()


def test_asking_for_no_device_at_all_says_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, "cuda")
    monkeypatch.setenv("LOCALCHAT_DEVICE", "gpu")
    with pytest.raises(InvalidSetting, match=r"is 'gpu'\. It may be cpu, cuda or mps"):
        pick_device()


def test_a_model_too_large_for_a_device_says_what_to_do() -> None:
    with (
        pytest.raises(LocalChatError, match=r"of the cuda device\. Set LOCALCHAT_DEVICE=cpu"),
        within_memory(torch.device("cuda")),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def test_other_failures_of_a_device_pass_through() -> None:
    with pytest.raises(RuntimeError, match="illegal"), within_memory(torch.device("cuda")):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
