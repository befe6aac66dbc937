"""The connection under the store: opening, short transactions, and errors that tell the user what to do."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from localchat import paths
from localchat.errors import HistoryUnavailable, StorageFailed
from localchat.history.migrations import MIGRATIONS, is_foreign, migrate, schema_version

BUSY_TIMEOUT_S = 5.0


class Database:
    """One SQLite connection that several threads may share (they take turns) beside other processes.

    Args:
        path: the file, made with mode 0600 when it is not there; None keeps everything in memory.

    Raises:
        HistoryUnavailable: it cannot be opened, written, or understood. The file is left as it is.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.RLock()
        if path is not None:
            _create_private(path)
        with self._translated():
            self._connection = sqlite3.connect(
                path or ":memory:", timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._translated():
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        connection = self._connection
        connection.row_factory = sqlite3.Row
        # Before anything is written: the file may be somebody else's.
        if is_foreign(connection):
            raise HistoryUnavailable(
                f"{self.path} is a database of another program, not a history of localchat.",
                "Move it away, or point LOCALCHAT_DATA_DIR at another folder.",
            )
        if (found := schema_version(connection)) > len(MIGRATIONS):
            raise HistoryUnavailable(
                f"The history {self.path} was written by a newer localchat"
                f" (schema {found}; this one knows up to {len(MIGRATIONS)}).",
                "Update localchat, or point LOCALCHAT_DATA_DIR at another folder.",
            )
        write_ahead = use_write_ahead_log(connection)
        # In WAL mode a crash of the program loses nothing and NORMAL keeps the file whole after a power cut.
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if write_ahead else 'FULL'}")
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection)

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query.

        Raises:
            HistoryUnavailable: the file cannot be read.
        """
        with self._lock, self._translated():
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is kept, or nothing. Keep it short, other windows wait for it.

        Raises:
            HistoryUnavailable: the file cannot be written, or another program held it for too long.
        """
        with self._lock, self._translated():
            if self._connection.in_transaction:  # a nested call joins the transaction around it
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    with suppress(sqlite3.Error):  # the first error is the one to tell
                        self._connection.execute("ROLLBACK")

    def problems(self) -> list[str]:
        """What SQLite's own full check finds; empty when the file is sound. Reads all of it."""
        damage = [str(row[0]) for row in self.rows("PRAGMA integrity_check") if row[0] != "ok"]
        orphans = [f"{row[0]} row {row[1]} has no {row[2]}" for row in self.rows("PRAGMA foreign_key_check")]
        return damage + orphans

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if (known := _explain(self.path, error)) is None:
                raise  # a defect of ours
            raise known from error


def _create_private(path: Path) -> None:
    """Make the folder and an empty file that only its owner may read. SQLite gives its side files the same mode."""
    try:
        paths.ensure(path.parent)
        if path.is_dir():
            raise HistoryUnavailable(f"{path} is a folder, but should be the history's file.", "Move it away.")
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        if path.stat().st_mode & 0o077:
            with suppress(PermissionError):  # somebody else's file that we may write
                path.chmod(0o600)
    except StorageFailed as error:
        raise HistoryUnavailable(error.message, error.hint) from error
    except OSError as error:
        raise HistoryUnavailable(
            f"The history {path} cannot be opened ({error.strerror or error}).",
            "Make its folder writable, or point LOCALCHAT_DATA_DIR at one that is.",
        ) from error


def use_write_ahead_log(connection: sqlite3.Connection) -> bool:
    """Whether the database is in WAL mode now; some file systems have none, and a rollback journal is safe too."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]) == "wal"
        except sqlite3.OperationalError as error:
            # SQLite does not wait here by itself when two windows make the file at the same moment.
            if not _name(error).startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", None) or ""


def _explain(path: Path | None, error: sqlite3.DatabaseError) -> HistoryUnavailable | None:
    """The sentence for an error that is the disk's or the file's fault; None for any other."""
    elsewhere = "or point LOCALCHAT_DATA_DIR at another folder."
    explanations: Sequence[tuple[str, str, str]] = (
        (
            "SQLITE_NOTADB",
            "is not a database",
            f"It was left as it is: move it away, {elsewhere}",
        ),
        ("SQLITE_CORRUPT", "is damaged", f"It was left as it is: put a copy back, move it away, {elsewhere}"),
        ("SQLITE_READONLY", "is read-only", f"Make the file and its folder writable, {elsewhere}"),
        ("SQLITE_PERM", "is not readable and writable for you", f"Change its permissions, {elsewhere}"),
        ("SQLITE_CANTOPEN", "cannot be opened", f"Make the file and its folder writable, {elsewhere}"),
        ("SQLITE_FULL", "cannot grow: the disk is full", "Free some space; then go on."),
        ("SQLITE_BUSY", "is held by another program", "Close the program that uses it, then try again."),
        ("SQLITE_LOCKED", "is held by another program", "Close the program that uses it, then try again."),
        ("SQLITE_IOERR", "cannot be read or written: the disk reports an error", f"Check the disk, {elsewhere}"),
        ("SQLITE_PROTOCOL", "cannot be locked on this file system", f"Keep it on a local disk, {elsewhere}"),
        ("SQLITE_NOLFS", "is too large for this file system", f"Keep it on another disk, {elsewhere}"),
    )
    for name, what, hint in explanations:
        if _name(error).startswith(name):
            return HistoryUnavailable(f"The history {path or 'in memory'} {what}.", hint)
    return None
