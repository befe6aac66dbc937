"""Released migrations never change, and each brings an older history to the newest schema or leaves it as it was."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest

from localchat.history.migrations import MIGRATIONS, migrate, schema_version
from localchat.history.store import HistoryStore

RELEASED = (
    "e3c9aa4652e56d644a3dd3e08b58fce48eb6d0f5d58c0dfd6dd03c6392e96792",
    "e264f1359301a940a068f7c5a7ec85aa5db69bf67898e070ef70fbc64fdc9c0a",
    "fe7acc2dff020ad1be4a4b3110066fd953713ff05ca148c43986addf0ad7ac47",
    "10e4365613df9aa19505dc9e2649dedcd049869b7d03a3471e4b02dca476f1f6",
    "f6f6ec4d6a7597c86b129c6cf36df5547a0301bf1e1bb39865153628ab2c59de",
    "7444454485eb2f78304ac794400ee545c0b92e3f3585479907a8970e720f33e8",
    "ecfc48679ed121a66135151bd7d05d72bf57e73b8e390adf50c8b83a3271d18d",
    "6621c3ad142cfbded51f03ec65b079a96422ffbb67c39bc2bbb07087a16dd22a",
)
"""SHA-256 of each step. Add a line for a new step; never change one."""


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def test_released_steps_are_frozen() -> None:
    assert tuple(hashlib.sha256(";\n".join(step).encode()).hexdigest() for step in MIGRATIONS) == RELEASED


def test_a_history_of_the_first_release_opens_with_everything_in_it(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    connection = _connect(path)
    migrate(connection, MIGRATIONS[:1])
    connection.executescript(
        """
        BEGIN;
        INSERT INTO conversations (id, title, created_at, updated_at, leaf_id) VALUES ('c', '旧', 1, 2, 'b');
        INSERT INTO messages (id, conversation_id, parent_id, role, content, status, created_at)
            VALUES ('a', 'c', NULL, 'user', 'q', 'complete', 1), ('b', 'c', 'a', 'assistant', 'r', 'stopped', 2);
        COMMIT;
        """
    )
    connection.close()
    with HistoryStore(path) as store:
        assert [c.title for c in store.conversations()] == ["旧"]
        assert [(m.content, m.status) for m in store.branch("c")] == [("q", "complete"), ("r", "stopped")]
        assert store.problems() == []
    assert schema_version(_connect(path)) == len(MIGRATIONS)


def test_a_step_that_fails_leaves_the_schema_before_it(tmp_path: Path) -> None:
    connection = _connect(tmp_path / "x.db")
    good, bad = ("CREATE TABLE one (a)",), ("CREATE TABLE two (b)", "INSERT INTO nowhere VALUES (1)")
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(connection, (good, bad))
    assert schema_version(connection) == 1
    assert [row[0] for row in connection.execute("SELECT name FROM sqlite_master")] == ["one"]
    migrate(connection, (good, ("CREATE TABLE two (b)",)))
    assert schema_version(connection) == 2


def test_migrating_twice_does_nothing_the_second_time(tmp_path: Path) -> None:
    connection = _connect(tmp_path / "x.db")
    migrate(connection)
    migrate(connection)
    assert schema_version(connection) == len(MIGRATIONS)
