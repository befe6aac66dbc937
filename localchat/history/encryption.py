"""A history that only its passphrase opens: SQLCipher in the place of SQLite, and the file's own words about itself.

The package `sqlcipher3` is an optional part of the installation. It speaks as the standard library's `sqlite3` does,
with classes of its own.
"""

from __future__ import annotations

import sqlite3
import unicodedata
from pathlib import Path
from typing import Any

from localchat.errors import HistoryLocked, HistoryUnavailable
from localchat.translation import _

_PLAIN_HEADER = b"SQLite format 3\x00"
_PAGE = 4096
_NOISE = 240
"""Different values among the bytes of a page, of 256; random bytes have nearly all of them, other files rarely."""
_FEWEST_PAGES = 8
"""The schema alone takes more."""


def is_encrypted(path: Path) -> bool:
    """Whether the file is an encrypted history: whole pages that read like noise, from the first byte on.

    An encrypted file has no mark of its own: it begins with its random salt.
    """
    try:
        with path.open("rb") as file:
            page = file.read(_PAGE)
        pages, rest = divmod(path.stat().st_size, _PAGE)
    except OSError:
        return False
    whole = rest == 0 and pages >= _FEWEST_PAGES
    return whole and len(set(page)) >= _NOISE and not page.startswith(_PLAIN_HEADER)


def cipher_driver() -> Any:
    """The module of SQLCipher.

    Raises:
        HistoryUnavailable: it is not installed.
    """
    try:
        from sqlcipher3 import dbapi2
    except ImportError as error:
        raise HistoryUnavailable(
            _("The package for encrypted histories is not installed."),
            _('Install it with `pip install "localchat[encryption]"`.'),
        ) from error
    return dbapi2


def storage_errors() -> tuple[type[Exception], ...]:
    """What a connection raises when the file or the disk is at fault, whichever module made it."""
    import sys

    loaded = sys.modules.get("sqlcipher3.dbapi2")
    return (sqlite3.DatabaseError,) if loaded is None else (sqlite3.DatabaseError, loaded.DatabaseError)


def quoted_key(passphrase: str) -> str:
    """The passphrase as an SQL text. The same letters are the same passphrase however a keyboard composes them.

    Raises:
        HistoryLocked: it is empty, or holds what no keyboard writes.
    """
    plain = unicodedata.normalize("NFC", passphrase)
    if not plain or not plain.isprintable():
        raise HistoryLocked(_("A passphrase has at least one character, and only characters that can be typed."))
    return "'" + plain.replace("'", "''") + "'"


def unlock(connection: Any, passphrase: str) -> None:
    """Give the key to a connection on which nothing was read yet, and see that it fits.

    Raises:
        HistoryLocked: it does not.
    """
    connection.execute("PRAGMA cipher_log_level = NONE")  # or SQLCipher writes about a wrong key into the terminal
    connection.execute(f"PRAGMA key = {quoted_key(passphrase)}")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except cipher_driver().DatabaseError as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_NOTADB":
            raise HistoryLocked(_("This is not the passphrase of the history.")) from None
        raise
