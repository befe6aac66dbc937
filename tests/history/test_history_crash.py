"""kill -9 at any moment: the history opens, is sound, and lacks at most what had not been saved."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from localchat.history import owners
from localchat.history.store import HistoryStore

from . import window


@pytest.mark.parametrize("seed", range(6))
def test_a_window_killed_while_a_reply_grows_loses_at_most_the_last_piece(history_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    writer = window.start("grow", history_path)
    window.go(writer)
    reply = window.read_line(writer)
    saved = 0
    for _ in range(rng.randrange(200)):
        saved = int(window.read_line(writer))
    window.end(writer, kill=True)
    with HistoryStore(history_path) as store:
        message = store.message(reply)
        assert message.status == "interrupted"
        assert len(message.content) >= saved
        assert message.content == window.ANSWER[: len(message.content)]
        assert store.branch(message.conversation_id)[0].content == "Count!"
        assert store.problems() == []
        answer = store.begin_reply(message.conversation_id, message.parent_id, "m")  # and one can go on
        store.finish(answer, "again")


@pytest.mark.parametrize("seed", range(3))
def test_a_window_killed_while_it_makes_the_file_leaves_one_that_opens(tmp_path: Path, seed: int) -> None:
    opener = window.start("open-many", tmp_path)
    window.go(opener)
    for _ in range(1 + random.Random(seed).randrange(12)):
        window.read_line(opener)
    window.end(opener, kill=True)
    made = sorted(tmp_path.glob("*.db"))
    assert made
    for path in made:
        with HistoryStore(path) as store:
            store.create_conversation()
            assert store.problems() == []


def test_a_reply_that_a_live_window_writes_is_left_alone_until_it_dies(history_path: Path) -> None:
    writer = window.start("hold", history_path)
    window.go(writer)
    reply = window.read_line(writer)
    with HistoryStore(history_path) as store:
        version = store.version()
        assert (store.message(reply).status, store.message(reply).content) == ("writing", "half")
        assert store.recover() == 0
        assert not store.changed_since(version)
        window.end(writer, kill=True)
        assert store.recover() == 1
        assert (store.message(reply).status, store.message(reply).content) == ("interrupted", "half")
        assert store.changed_since(version)  # so that windows that show it draw it again


def test_a_window_that_was_thought_dead_still_finishes_its_reply(
    history_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = window.start("hold", history_path)
    window.go(writer)
    reply = window.read_line(writer)
    with HistoryStore(history_path) as store:
        with monkeypatch.context() as patch:
            patch.setattr(owners, "is_alive", lambda *_: False)
            assert store.recover() == 1
        window.go(writer)
        assert window.end(writer) == 0
        assert (store.message(reply).status, store.message(reply).content) == ("complete", "half and half")


def test_a_process_number_that_is_used_again_does_not_keep_a_dead_reply_alive(
    store: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid, started = owners.current()
    assert owners.is_alive(pid, started)
    monkeypatch.setattr(owners, "current", lambda: (pid, started - 1000.0))  # this number, an earlier process
    reply = store.begin_reply(store.create_conversation().id, None, "m")
    assert store.recover() == 1
    assert store.message(reply).status == "interrupted"


@pytest.mark.skipif(os.name == "nt", reason="zombies are POSIX")
def test_a_dead_process_that_nobody_has_waited_for_counts_as_dead() -> None:
    child = window.start("hold", Path("unused"))
    import psutil

    started = psutil.Process(child.pid).create_time()
    assert owners.is_alive(child.pid, started)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is still listed
    assert not owners.is_alive(child.pid, started)
    window.end(child)
    assert not owners.is_alive(child.pid, started)
