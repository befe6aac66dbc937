"""Fetching as a child process of the app: its events, its errors, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from localchat.errors import DownloadFailed, LocalChatError, StorageFailed
from localchat.hub.pull_events import PullDone, PullEvent, PullFailed, PullProgress, event_from_json, to_json
from localchat.hub.pull_job import PullJob, ending_is_interrupting
from localchat.hub.transfer_errors import TransferCut

EVENTS: list[PullEvent] = [
    PullProgress("resolve"),
    PullProgress("download", 10, 100, 5.0, 18.0, "进程 81 is already fetching it"),
    PullFailed("DownloadFailed", "The model could not be fetched: no network (x).", "Check the connection."),
    PullDone("tiny"),
]


def job(tmp_path: Path, script: str) -> PullJob:
    """A job whose child runs `script` instead of localchat."""
    path = tmp_path / "child.py"
    path.write_text(f"import sys, time, os, signal\n{script}", encoding="utf-8")
    return PullJob("tiny", command=(sys.executable, str(path)))


def lines(*events: PullEvent) -> str:
    return "".join(f"print({to_json(event)!r}, flush=True)\n" for event in events)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_survive_the_pipe(event: PullEvent) -> None:
    assert "\n" not in to_json(event)
    assert event_from_json(to_json(event)) == event


@pytest.mark.parametrize(
    "line",
    ["", "hello", "[]", "3", "{}", '{"event": "progress"}', '{"event": "progress", "stage": "lunch"}', '{"event": []}'],
)
def test_other_lines_are_no_events(line: str) -> None:
    with pytest.raises(ValueError, match="not an event"):
        event_from_json(line)


def test_an_error_keeps_its_kind_its_sentence_and_its_hint() -> None:
    failed = PullFailed.of(StorageFailed("The disk is full.", "Free some space."))
    assert failed == PullFailed("StorageFailed", "The disk is full.", "Free some space.")
    assert type(failed.error()) is StorageFailed
    assert str(failed.error()) == "The disk is full. Free some space."


def test_an_error_that_only_we_know_travels_as_the_kind_that_all_know() -> None:
    assert PullFailed.of(TransferCut("Cut.")).kind == "DownloadFailed"


@pytest.mark.parametrize("kind", ["NoSuchKind", "annotations", ""])
def test_an_error_of_unknown_kind_is_still_an_expected_error(kind: str) -> None:
    assert type(PullFailed(kind, "Something.").error()) is LocalChatError


async def test_progress_comes_as_it_is_written_and_ends_with_the_name(tmp_path: Path) -> None:
    work = job(tmp_path, lines(EVENTS[0]) + "print('a remark of some library')\n" + lines(EVENTS[1], EVENTS[3]))
    assert [event async for event in work.events()] == [EVENTS[0], EVENTS[1], EVENTS[3]]


async def test_the_child_is_told_to_pull_with_json(tmp_path: Path) -> None:
    work = job(tmp_path, "assert sys.argv[1:] == ['pull', 'tiny', '--json']\n" + lines(PullDone("tiny")))
    assert [event async for event in work.events()] == [PullDone("tiny")]


async def test_an_error_of_the_child_is_raised_here(tmp_path: Path) -> None:
    work = job(tmp_path, lines(EVENTS[1], EVENTS[2]) + "sys.exit(1)")
    with pytest.raises(DownloadFailed, match="no network") as failed:
        [event async for event in work.events()]
    assert failed.value.hint == "Check the connection."


@pytest.mark.parametrize("end", ["raise RuntimeError('boom')", "os.kill(os.getpid(), signal.SIGKILL)", "pass"])
async def test_a_child_that_ends_without_a_word_is_an_error(tmp_path: Path, end: str) -> None:
    with pytest.raises(
        DownloadFailed, match=r"Fetching tiny ended without result .*" + ("boom" if "boom" in end else "")
    ):
        [event async for event in job(tmp_path, lines(EVENTS[0]) + end).events()]


async def test_a_child_that_talks_much_on_stderr_does_not_block(tmp_path: Path) -> None:
    work = job(tmp_path, "sys.stderr.write('x' * 5_000_000)\n" + lines(PullDone("tiny")))
    assert [event async for event in work.events()] == [PullDone("tiny")]


@pytest.mark.parametrize("stubborn", [False, True])
async def test_cancelling_ends_the_child_and_the_events(
    tmp_path: Path, stubborn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localchat.hub.pull_job._GRACE_S", 0.2)
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if stubborn else ""
    pid_file = tmp_path / "pid"
    work = job(
        tmp_path, f"{deaf}open({str(pid_file)!r}, 'w').write(str(os.getpid()))\n{lines(EVENTS[0])}time.sleep(600)"
    )
    seen = []
    async for event in work.events():
        seen.append(event)
        await work.cancel()
    assert seen == [EVENTS[0]]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
    await work.cancel()


async def test_cancelling_from_another_task_ends_the_wait(tmp_path: Path) -> None:
    work = job(tmp_path, lines(EVENTS[0]) + "time.sleep(600)")
    stream = work.events()
    assert await anext(stream) == EVENTS[0]
    waiting = asyncio.ensure_future(anext(stream, None))
    await asyncio.sleep(0.05)
    await work.cancel()
    assert await waiting is None


async def test_a_job_cancelled_before_it_began_starts_nothing(tmp_path: Path) -> None:
    work = job(tmp_path, f"open({str(tmp_path / 'started')!r}, 'w')")
    await work.cancel()
    assert [event async for event in work.events()] == []
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_being_told_to_end_unwinds_like_ctrl_c_and_only_while_it_is_asked_for(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), ending_is_interrupting():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
