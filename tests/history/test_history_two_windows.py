"""Several windows, threads and processes on one history."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from localchat.history.database import use_write_ahead_log
from localchat.history.store import HistoryStore

from . import window


def test_four_windows_write_at_once_and_nothing_is_lost(history_path: Path) -> None:
    with HistoryStore(history_path) as store:
        shared = store.create_conversation(title="shared")
    windows = [window.start("converse", history_path) for _ in range(4)]
    for each in windows:
        window.go(each)
    ids = [window.read_line(each) for each in windows]
    assert [window.end(each) for each in windows] == [0, 0, 0, 0]
    with HistoryStore(history_path) as store:
        assert store.problems() == []
        for conversation_id in ids:
            turns = [(m.role, m.content, m.status) for m in store.branch(conversation_id)]
            expected = [("user", "question"), ("assistant", "answer")] * 25
            assert turns == [(role, f"{word} {i // 2}", "complete") for i, (role, word) in enumerate(expected)]
            assert store.draft(conversation_id) == "draft 24"
        roots = store.siblings(store.branch(shared.id)[0].id).ids
        written = [store.message(message_id).content for message_id in roots]
        assert sorted(written) == sorted(f"{conversation_id} {turn}" for conversation_id in ids for turn in range(25))
        for conversation_id in ids:  # each window's messages in the order in which it wrote them
            assert [t for t in written if t.startswith(conversation_id)] == [
                f"{conversation_id} {i}" for i in range(25)
            ]


def test_four_windows_may_make_the_history_at_the_same_moment(tmp_path: Path) -> None:
    openers = [window.start("open-many", tmp_path) for _ in range(4)]
    for each in openers:
        window.go(each)
    for _ in range(15):
        assert all(window.read_line(each) for each in openers)
    for each in openers:
        window.end(each, kill=True)
    for number in range(15):
        with HistoryStore(tmp_path / f"{number}.db") as store:
            assert store.conversations() == []
            assert store.problems() == []


def test_a_window_that_reads_slowly_holds_up_no_writer(store: HistoryStore, history_path: Path) -> None:
    conversations = [store.create_conversation() for _ in range(3)]
    reader = sqlite3.connect(history_path)
    rows = reader.execute("SELECT draft FROM conversations")
    assert rows.fetchone() == ("",)
    for conversation in conversations:
        store.set_draft(conversation.id, "not held up")
    assert rows.fetchall() == [("",), ("",)]  # it goes on reading what was there when it began
    assert reader.execute("SELECT DISTINCT draft FROM conversations").fetchall() == [("not held up",)]
    reader.close()


def test_threads_may_share_one_store(store: HistoryStore) -> None:
    conversations = [store.create_conversation() for _ in range(4)]
    failures: list[BaseException] = []

    def write(conversation_id: str) -> None:
        try:
            parent = None
            for turn in range(50):
                parent = store.add_message(conversation_id, parent, "user", str(turn)).id
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(c.id,)) for c in conversations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for conversation in conversations:
        assert [m.content for m in store.branch(conversation.id)] == [str(turn) for turn in range(50)]


Action = Callable[[HistoryStore, str, str, str], object]


@pytest.mark.parametrize(
    "action",
    [
        lambda store, *_: store.create_conversation(),
        lambda store, conversation, *_: store.rename(conversation, "x"),
        lambda store, conversation, *_: store.delete(conversation),
        lambda store, conversation, *_: store.set_pinned(conversation, True),
        lambda store, conversation, *_: store.set_model(conversation, "x"),
        lambda store, conversation, question, _: store.add_message(conversation, question, "user", "x"),
        lambda store, conversation, question, _: store.begin_reply(conversation, question, "m"),
        lambda store, _conversation, _question, reply: store.finish(reply, "x"),
        lambda store, _conversation, question, _: store.select_sibling(question),
    ],
)
def test_another_window_sees_that_something_changed(store: HistoryStore, history_path: Path, action: Action) -> None:
    conversation = store.create_conversation()
    question = store.add_message(conversation.id, None, "user", "q")
    reply = store.begin_reply(conversation.id, question.id, "m")
    with HistoryStore(history_path) as other:
        version = other.version()
        assert not other.changed_since(version)
        action(store, conversation.id, question.id, reply)
        assert other.changed_since(version)


def test_typing_and_growing_replies_are_no_change_to_other_windows(store: HistoryStore, history_path: Path) -> None:
    conversation = store.create_conversation()
    reply = store.begin_reply(conversation.id, None, "m")
    with HistoryStore(history_path) as other:
        version = other.version()
        store.set_draft(conversation.id, "typing")
        store.checkpoint(reply, "growing")
        assert not other.changed_since(version)
        assert other.message(reply).content == "growing"  # though it can be read


def test_a_window_that_meets_another_one_making_the_file_waits_for_it() -> None:
    """SQLite answers "busy" at once here, however long it may wait elsewhere; about one opening in 500 met it."""
    real = sqlite3.connect(":memory:")
    asked: list[str] = []

    class BusyTwice:
        def execute(self, sql: str) -> sqlite3.Cursor:
            asked.append(sql)
            if len(asked) < 3:
                error = sqlite3.OperationalError("database is locked")
                error.sqlite_errorname = "SQLITE_BUSY"
                raise error
            return real.execute(sql)

    assert use_write_ahead_log(BusyTwice()) is False  # type: ignore[arg-type]  # memory has no such log
    assert asked == ["PRAGMA journal_mode = WAL"] * 3
