"""An encrypted history: nothing plain in its files, nothing lost on the way, one sentence for a wrong key."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from localchat.errors import HistoryLocked, HistoryUnavailable
from localchat.history.encryption import is_encrypted
from localchat.history.migrations import schema_version
from localchat.history.recrypt import recrypt
from localchat.history.store import HistoryStore
from tests.history.conftest import Clock
from tests.history.samples import fill

pytest.importorskip("sqlcipher3")

KEY = "it's 秘密"


@pytest.fixture
def encrypted(history_path: Path, clock: Clock) -> Path:
    """An encrypted history with the sample in it."""
    with HistoryStore(history_path, now=clock) as store:
        fill(store)
    recrypt(history_path, None, KEY)
    return history_path


def plain_files(folder: Path, *words: str) -> list[str]:
    """Names of files in which one of the words can be read."""
    needles = [word.encode(encoding) for word in words for encoding in ("utf-8", "utf-16-le")]
    return [path.name for path in folder.iterdir() if any(needle in path.read_bytes() for needle in needles)]


def test_no_file_holds_plain_text_while_it_is_used_and_after(encrypted: Path) -> None:
    with HistoryStore(encrypted, KEY) as store:
        chat = store.create_conversation(title="Ananas zum Frühstück")
        parent = None
        for number in range(300):
            parent = store.add_message(chat.id, parent, "user", f"Ananas und 菠萝 {number}").id
        assert [found.conversation.id for found in store.find("菠萝")][:1] == [chat.id]
        assert len(list(encrypted.parent.iterdir())) > 1  # the log of writes is there too
        assert not plain_files(encrypted.parent, "Ananas", "菠萝", "pineapple", "CREATE TABLE")
    assert not plain_files(encrypted.parent, "Ananas", "菠萝", "pineapple", "CREATE TABLE")


def test_everything_is_in_it_and_comes_out_again(history_path: Path, clock: Clock) -> None:
    with HistoryStore(history_path, now=clock) as store:
        chat = fill(store)
        before = store.all_messages(chat.id)
    recrypt(history_path, None, KEY)
    assert is_encrypted(history_path)
    with HistoryStore(history_path, KEY, now=clock) as store:
        assert store.is_encrypted
        assert store.conversation(chat.id) == chat
        assert store.all_messages(chat.id) == before
        assert [found.conversation.id for found in store.find("明月")] == [chat.id]
        assert store.problems() == []
        store.add_message(chat.id, None, "user", "new")
    recrypt(history_path, KEY, None)
    assert not is_encrypted(history_path)
    with HistoryStore(history_path, now=clock) as store:
        assert len(store.all_messages(chat.id)) == len(before) + 1
        assert store.problems() == []
    with sqlite3.connect(history_path) as connection:
        assert schema_version(connection) > 0


def test_a_wrong_or_missing_passphrase_is_one_sentence_and_changes_nothing(
    encrypted: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = encrypted.read_bytes()
    with pytest.raises(HistoryLocked, match="not the passphrase"):
        HistoryStore(encrypted, "wrong")
    with pytest.raises(HistoryLocked, match="LOCALCHAT_PASSPHRASE"):
        HistoryStore(encrypted)
    with pytest.raises(HistoryLocked):
        recrypt(encrypted, "wrong", "other")
    assert encrypted.read_bytes() == before
    assert capfd.readouterr() == ("", "")


def test_another_passphrase_replaces_the_old_one(encrypted: Path) -> None:
    recrypt(encrypted, KEY, "other")
    with pytest.raises(HistoryLocked):
        HistoryStore(encrypted, KEY)
    with HistoryStore(encrypted, "other") as store:
        assert len(store.everything()) == 1


def test_letters_that_a_keyboard_composes_differently_are_the_same_passphrase(history_path: Path) -> None:
    HistoryStore(history_path).close()
    recrypt(history_path, None, "caf\u00e9")
    HistoryStore(history_path, "cafe\u0301").close()


@pytest.mark.parametrize("passphrase", ["", "a\x00b", "a\nb", "\ud800"])
def test_what_no_keyboard_writes_is_no_passphrase(history_path: Path, passphrase: str) -> None:
    HistoryStore(history_path).close()
    with pytest.raises(HistoryLocked, match="at least one character"):
        recrypt(history_path, None, passphrase)
    assert not is_encrypted(history_path)


_WINDOW = """
import sys
from pathlib import Path
from localchat.history.store import HistoryStore
with HistoryStore(Path(sys.argv[1])) as window:
    chat = window.create_conversation(title="window")
    print("open", flush=True)
    sys.stdin.readline()
    window.add_message(chat.id, None, "user", "still here")
    print(window.problems(), flush=True)
"""


def test_a_history_that_another_window_has_open_is_not_touched(history_path: Path) -> None:
    # Another process: the locks of POSIX are between processes, and this one has two libraries of SQLite in it.
    command = [sys.executable, "-c", _WINDOW, str(history_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as window:
        assert window.stdin is not None
        assert window.stdout is not None
        assert window.stdout.readline() == "open\n"
        with pytest.raises(HistoryUnavailable, match="in use"):
            recrypt(history_path, None, KEY)
        assert not is_encrypted(history_path)
        print(file=window.stdin, flush=True)
        assert window.stdout.readline() == "[]\n"
    with HistoryStore(history_path) as store:
        assert [message.content for message in store.branch(store.everything()[0].id)] == ["still here"]
    assert [path.name for path in history_path.parent.iterdir()] == ["history.db"]


def test_a_disk_without_room_leaves_the_old_file(history_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HistoryStore(history_path) as store:
        fill(store)

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("localchat.history.recrypt._sync", full)
    with pytest.raises(Exception, match="No space left"):
        recrypt(history_path, None, KEY)
    assert [path.name for path in history_path.parent.iterdir()] == ["history.db"]
    with HistoryStore(history_path) as store:
        assert len(store.everything()) == 1


def test_a_locked_history_refuses_everything_until_it_is_unlocked(encrypted: Path) -> None:
    store = HistoryStore.locked(encrypted)
    for action in (store.version, store.everything, lambda: store.create_conversation()):
        with pytest.raises(HistoryLocked, match="locked"):
            action()
    with pytest.raises(HistoryLocked, match="not the passphrase"):
        store.unlock("wrong")
    assert store.is_locked
    store.unlock(KEY)
    assert len(store.everything()) == 1
    store.lock()
    assert store.is_locked
    assert sorted(path.name for path in encrypted.parent.iterdir()) == ["history.db"]
    store.close()


def test_locking_waits_for_a_transaction_of_another_thread(encrypted: Path) -> None:
    with HistoryStore(encrypted, KEY) as store:
        inside, go_on = threading.Event(), threading.Event()

        def write() -> None:
            with store._database.writing() as connection:
                inside.set()
                go_on.wait(10)
                connection.execute("UPDATE conversations SET title = 'written'")

        writer = threading.Thread(target=write)
        writer.start()
        inside.wait(10)
        locker = threading.Thread(target=store.lock)
        locker.start()
        go_on.set()
        writer.join(10)
        locker.join(10)
        assert store.is_locked
        store.unlock(KEY)
        assert store.everything()[0].title == "written"


def test_a_new_history_and_a_plain_one_are_not_taken_for_encrypted(history_path: Path, tmp_path: Path) -> None:
    assert not is_encrypted(history_path)
    HistoryStore(history_path).close()
    assert not is_encrypted(history_path)
    (tmp_path / "text").write_text("words " * 20_000, encoding="utf-8")
    assert not is_encrypted(tmp_path / "text")


@pytest.mark.skipif(os.name == "nt", reason="file modes are POSIX")
def test_only_its_owner_may_read_it(encrypted: Path) -> None:
    assert encrypted.stat().st_mode & 0o077 == 0
