"""A history that cannot be used: one sentence that names the path and says what to do, and the file left as it is."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localchat.errors import HistoryUnavailable
from localchat.history.migrations import MIGRATIONS
from localchat.history.store import HistoryStore

posix_only = pytest.mark.skipif(os.name == "nt", reason="file modes are POSIX")


def _filled(path: Path) -> None:
    with HistoryStore(path) as store:
        conversation = store.create_conversation()
        parent = None
        for _ in range(50):
            parent = store.add_message(conversation.id, parent, "user", "text " * 400).id


def _refusal(path: Path) -> HistoryUnavailable:
    """The error of opening `path`, checked for what every such error must hold."""
    with pytest.raises(HistoryUnavailable) as caught:
        HistoryStore(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value


@contextmanager
def _ordinary_user() -> Iterator[Path]:
    """A folder that belongs to an ordinary user, and that user's rights: root may write anywhere."""
    folder = Path(tempfile.mkdtemp())
    is_root = os.name != "nt" and os.geteuid() == 0
    if is_root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        for place in [folder, *folder.rglob("*")]:
            place.chmod(0o700)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "content", [b"These are my notes, not a database.\n" * 50, random.Random(0).randbytes(4096), b"notes\n"]
)
def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "history.db"
    path.write_bytes(content)
    assert "is not a database" in _refusal(path).message
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE moz_places (url)")
    connection.close()
    before = path.read_bytes()
    assert "another program" in _refusal(path).message
    assert path.read_bytes() == before


def test_a_history_of_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    _filled(path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    error = _refusal(path)
    assert "newer localchat" in error.message
    assert "Update localchat" in error.hint
    assert path.read_bytes() == before


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_history_is_called_damaged_and_left_as_it_is(tmp_path: Path, share: float) -> None:
    path = tmp_path / "history.db"
    _filled(path)
    os.truncate(path, int(path.stat().st_size * share) // 4096 * 4096)
    before = path.read_bytes()
    assert "is damaged" in _refusal(path).message
    assert path.read_bytes() == before


def test_a_history_overwritten_in_the_middle_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    _filled(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    before = path.read_bytes()
    assert "is damaged" in _refusal(path).message
    assert path.read_bytes() == before


def test_damage_that_shows_later_is_told_by_the_call_that_meets_it(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    _filled(path)
    connection = sqlite3.connect(path)
    page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'messages'").fetchone()[0]
    connection.close()
    with path.open("r+b") as file:
        file.seek(4096 * (page - 1))
        file.write(b"\xff" * 4096)
    with HistoryStore(path) as store:
        conversation = store.conversations()[0]  # the list still works
        with pytest.raises(HistoryUnavailable, match=r"history\.db is damaged"):
            store.branch(conversation.id)
        with pytest.raises(HistoryUnavailable, match=r"history\.db is damaged"):
            store.add_message(conversation.id, None, "user", "x")


def test_the_full_check_names_the_damage(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    _filled(path)
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM messages WHERE seq = 1")  # without foreign keys, an orphan is left
    connection.commit()
    connection.close()
    with HistoryStore(path) as store:
        assert store.problems() == ["row 2 of messages has no messages"]


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "history.db").mkdir()
    assert "is a folder" in _refusal(tmp_path / "history.db").message


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    with pytest.raises(HistoryUnavailable, match="cannot be created") as caught:
        HistoryStore(tmp_path / "data" / "history.db")
    assert str(tmp_path / "data") in str(caught.value)


@posix_only
def test_a_read_only_folder_is_told_at_opening() -> None:
    with _ordinary_user() as folder:
        folder.chmod(0o500)
        assert "Permission denied" in _refusal(folder / "history.db").message


@posix_only
def test_a_folder_made_read_only_later_is_told_at_opening() -> None:
    with _ordinary_user() as folder:
        _filled(folder / "history.db")
        folder.chmod(0o500)
        error = _refusal(folder / "history.db")
        assert "read-only" in error.message or "cannot be opened" in error.message
        assert "writable" in error.hint


@posix_only
def test_a_read_only_file_is_told_at_opening() -> None:
    with _ordinary_user() as folder:
        path = folder / "history.db"
        _filled(path)
        path.chmod(0o400)
        assert "read-only" in _refusal(path).message
        path.chmod(0o000)
        assert "cannot be opened" in _refusal(path).message


def test_a_full_disk_loses_only_what_did_not_fit(tmp_path: Path) -> None:
    with HistoryStore(tmp_path / "history.db") as store:
        conversation = store.create_conversation()
        store.add_message(conversation.id, None, "user", "before")
        pages = store._database.rows("PRAGMA page_count")[0][0]
        store._database.rows(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(HistoryUnavailable, match=r"history\.db cannot grow: the disk is full"):
            store.add_message(conversation.id, None, "user", "x" * 100_000)
        assert [m.content for m in store.branch(conversation.id)] == ["before"]
        store._database.rows("PRAGMA max_page_count = 1000000")
        store.add_message(conversation.id, None, "user", "after")
        assert [m.content for m in store.branch(conversation.id)] == ["after"]
        assert store.problems() == []


def test_a_file_held_by_another_program_is_told_and_not_waited_for_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "history.db"
    _filled(path)
    monkeypatch.setattr("localchat.history.database.BUSY_TIMEOUT_S", 0.05)
    holder = sqlite3.connect(path, isolation_level=None)
    with HistoryStore(path) as store:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(HistoryUnavailable, match="held by another program"):
            store.create_conversation()
        assert len(store.conversations()) == 1  # reading goes on
        assert "held by another program" in _refusal(path).message
        holder.execute("ROLLBACK")
        store.create_conversation()


def test_an_empty_file_becomes_a_history(tmp_path: Path) -> None:
    """It is what a kill between making the file and the first transaction leaves."""
    path = tmp_path / "history.db"
    path.touch()
    _filled(path)
    with HistoryStore(path) as store:
        assert len(store.conversations()) == 1


@posix_only
def test_only_the_owner_may_read_the_history_and_its_side_files(tmp_path: Path) -> None:
    old_mask = os.umask(0)
    try:
        with HistoryStore(tmp_path / "history.db") as store:
            store.create_conversation()
            modes = {place.name: stat.S_IMODE(place.stat().st_mode) for place in tmp_path.iterdir()}
    finally:
        os.umask(old_mask)
    assert modes == {"history.db": 0o600, "history.db-wal": 0o600, "history.db-shm": 0o600}


@posix_only
def test_a_history_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    _filled(path)
    path.chmod(0o644)
    HistoryStore(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
