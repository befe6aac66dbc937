"""The connection under the store: opening, short transactions, and errors that tell the user what to do."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from localchat import paths
from localchat.errors import HistoryLocked, HistoryUnavailable, StorageFailed
from localchat.history.database_errors import error_name, explain
from localchat.history.encryption import cipher_driver, is_encrypted, storage_errors, unlock
from localchat.history.migrations import MIGRATIONS, is_foreign, migrate, schema_version
from localchat.translation import _

BUSY_TIMEOUT_S = 5.0


class Database:
    """One SQLite connection that several threads may share (they take turns) beside other processes.

    Args:
        path: the file, made with mode 0600 when it is not there; None keeps everything in memory.
        passphrase: of an encrypted file; a plain one is opened without. It is not kept.

    Attributes:
        encrypted: only a passphrase opens the file.

    Raises:
        HistoryLocked: the file is encrypted, and the passphrase is missing or another one.
        HistoryUnavailable: it cannot be opened, written, or understood. The file is left as it is.
    """

    def __init__(self, path: Path | None, passphrase: str | None = None) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._open_connection: sqlite3.Connection | None = None
        if path is not None:
            _create_private(path)
        self.encrypted = path is not None and is_encrypted(path)
        self._connect(passphrase)

    @classmethod
    def locked(cls, path: Path) -> Database:
        """An encrypted file that waits for its passphrase; until `unlock`, everything raises `HistoryLocked`."""
        database = cls.__new__(cls)
        database.path = path
        database._lock = threading.RLock()
        database._open_connection = None
        database.encrypted = True
        return database

    @property
    def is_locked(self) -> bool:
        return self.encrypted and self._open_connection is None

    def lock(self) -> None:
        """Close the connection, with which its key goes; waits for a transaction of another thread to end."""
        with self._lock:
            if self._open_connection is not None:
                self._open_connection.close()
                self._open_connection = None

    def unlock(self, passphrase: str) -> None:
        """Open the file again.

        Raises:
            HistoryLocked: it is not this passphrase.
            HistoryUnavailable: the file cannot be opened.
        """
        with self._lock:
            before, self._open_connection = self._open_connection, None
            try:
                self._connect(passphrase)  # also while it is open: whoever asks must know it
            except BaseException:
                self._open_connection = before
                raise
            if before is not None:
                before.close()

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._open_connection is None:
            raise HistoryLocked(_("The history is locked."), _("Unlock it with its passphrase."))
        return self._open_connection

    def _connect(self, passphrase: str | None) -> None:
        if self.encrypted and passphrase is None:
            raise HistoryLocked(
                _("The history is encrypted."),
                _("Open it in the app, or put its passphrase into LOCALCHAT_PASSPHRASE."),
            )
        driver = cipher_driver() if self.encrypted else sqlite3
        with self._translated():
            connection = driver.connect(
                str(self.path or ":memory:"), timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._translated():
                if passphrase is not None and self.encrypted:
                    unlock(connection, passphrase)
                connection.row_factory = driver.Row
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._open_connection = connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # Before anything is written: the file may be somebody else's.
        if is_foreign(connection):
            raise HistoryUnavailable(
                _("{path} is a database of another program, not a history of localchat.").format(path=self.path),
                _("Move it away, or point LOCALCHAT_DATA_DIR at another folder."),
            )
        if (found := schema_version(connection)) > len(MIGRATIONS):
            raise HistoryUnavailable(
                _(
                    "The history {path} was written by a newer localchat (schema {found}, this one knows {known})."
                ).format(path=self.path, found=found, known=len(MIGRATIONS)),
                _("Update localchat, or point LOCALCHAT_DATA_DIR at another folder."),
            )
        if self.path is None:
            connection.execute("PRAGMA temp_store = MEMORY")  # what is only in memory is not sorted on the disk either
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
                    with suppress(*storage_errors()):  # the first error is the one to tell
                        self._connection.execute("ROLLBACK")

    def problems(self) -> list[str]:
        """What SQLite's own full check finds; empty when the file is sound. Reads all of it."""
        damage = [str(row[0]) for row in self.rows("PRAGMA integrity_check") if row[0] != "ok"]
        orphans = [
            _("row {row} of {table} has no {parent}").format(table=row[0], row=row[1], parent=row[2])
            for row in self.rows("PRAGMA foreign_key_check")
        ]
        return damage + orphans

    def close(self) -> None:
        with self._lock:
            if self._open_connection is not None:
                self._open_connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except storage_errors() as error:
            if (known := explain(self.path, error)) is None:
                raise  # a defect of ours
            raise known from error


def _create_private(path: Path) -> None:
    """Make the folder and an empty file that only its owner may read. SQLite gives its side files the same mode."""
    try:
        paths.ensure(path.parent)
        if path.is_dir():
            raise HistoryUnavailable(
                _("{path} is a folder, but should be the history's file.").format(path=path), _("Move it away.")
            )
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        if path.stat().st_mode & 0o077:
            with suppress(PermissionError):  # somebody else's file that we may write
                path.chmod(0o600)
    except StorageFailed as error:
        raise HistoryUnavailable(error.message, error.hint) from error
    except OSError as error:
        raise HistoryUnavailable(
            _("The history {path} cannot be opened ({reason}).").format(path=path, reason=error.strerror or error),
            _("Make its folder writable, or point LOCALCHAT_DATA_DIR at one that is."),
        ) from error


def use_write_ahead_log(connection: sqlite3.Connection) -> bool:
    """Whether the database is in WAL mode now; some file systems have none, and a rollback journal is safe too."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]) == "wal"
        except storage_errors() as error:
            # SQLite does not wait here by itself when two windows make the file at the same moment.
            if not error_name(error).startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
