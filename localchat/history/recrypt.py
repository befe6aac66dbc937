"""Encrypting the whole history, opening it to everyone again, or giving it another passphrase.

The new file is written beside the old one, checked, and put in its place in one step. Whatever fails before that leaves
the old one as it was.
"""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from localchat.errors import HistoryUnavailable, StorageFailed
from localchat.history.database import BUSY_TIMEOUT_S, Database
from localchat.history.encryption import cipher_driver, is_encrypted, quoted_key, unlock
from localchat.translation import _

_PRAGMAS = ("user_version", "application_id")


def recrypt(path: Path, old: str | None, new: str | None) -> None:
    """Write the history anew under another passphrase.

    Args:
        path: the file.
        old: its passphrase; None for a plain one.
        new: the passphrase from now on; None makes it plain.

    Raises:
        HistoryLocked: `old` is not its passphrase, or `new` cannot be one.
        HistoryUnavailable: the file cannot be used, or another window is using it.
        StorageFailed: there is no room for the new file.
    """
    key = quoted_key(new) if new is not None else "''"
    Database(path, old).close()  # brings it to the newest schema, and finds out what is wrong with it
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.unlink(missing_ok=True)
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(_alone(path, old)) as connection:
            _copy(connection, beside, key)
            _check(connection, beside, new)
            _sync(beside)
            if os.name == "nt":  # which replaces no file that is open
                connection.close()
            beside.replace(path)  # elsewhere, while the connection still keeps others out of the old one
    except OSError as error:
        raise StorageFailed(
            _("The history cannot be written anew beside {path} ({reason}).").format(
                path=path, reason=error.strerror or error
            ),
            _("Free some space, and make the folder writable."),
        ) from error
    finally:
        for side in ("", "-journal", "-wal", "-shm"):
            with suppress(OSError):
                beside.with_name(f"{beside.name}{side}").unlink(missing_ok=True)


def _alone(path: Path, passphrase: str | None) -> Any:
    """A connection that nobody else has one beside, and that lets nobody in until it is closed."""
    driver = cipher_driver()
    connection = driver.connect(str(path), timeout=BUSY_TIMEOUT_S / 5, isolation_level=None)
    try:
        if passphrase is not None:
            unlock(connection, passphrase)
        # Leaving the write-ahead log needs to be alone, and puts everything into the one file.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        if connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0] != "delete":
            raise _in_use()
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except driver.OperationalError as error:
        connection.close()
        raise _in_use() from error
    except BaseException:
        connection.close()
        raise
    return connection


def _in_use() -> HistoryUnavailable:
    return HistoryUnavailable(_("The history is in use."), _("Close every window of localchat, then try again."))


def _copy(connection: Any, beside: Path, key: str) -> None:
    driver = cipher_driver()
    try:
        connection.execute(f"ATTACH DATABASE ? AS beside KEY {key}", (str(beside),))
        connection.execute("SELECT sqlcipher_export('beside')")
        for pragma in _PRAGMAS:
            value = connection.execute(f"PRAGMA main.{pragma}").fetchone()[0]
            connection.execute(f"PRAGMA beside.{pragma} = {value}")
        connection.execute("DETACH DATABASE beside")
    except driver.OperationalError as error:
        raise StorageFailed(
            _("The history cannot be written anew ({reason}).").format(reason=error),
            _("Free some space; the old file is as it was."),
        ) from error


def _check(connection: Any, beside: Path, passphrase: str | None) -> None:
    """Open the new file as the program will, and see that everything arrived.

    Raises:
        StorageFailed: it did not.
    """
    count = "SELECT (SELECT count(*) FROM conversations), (SELECT count(*) FROM messages)"
    expected = tuple(connection.execute(count).fetchone())
    with closing(Database(beside, passphrase)) as database:
        found = tuple(database.rows(count)[0])
        problems = database.problems()
    if found != expected or problems or is_encrypted(beside) != (passphrase is not None):
        raise StorageFailed(
            _("The history could not be written anew without damage."), _("The old file is as it was; check the disk.")
        )


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
