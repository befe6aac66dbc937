"""What SQLite's errors mean for the user: one sentence that names the file, and one that says what to do."""

from __future__ import annotations

from pathlib import Path

from localchat.errors import HistoryUnavailable
from localchat.translation import _, mark

_EXPLANATIONS = (
    (
        "SQLITE_NOTADB",
        mark("The history {path} is not a database."),
        mark("It was left as it is: move it away, or point LOCALCHAT_DATA_DIR at another folder."),
    ),
    (
        "SQLITE_CORRUPT",
        mark("The history {path} is damaged."),
        mark("It was left as it is: put a copy back, move it away, or point LOCALCHAT_DATA_DIR at another folder."),
    ),
    (
        "SQLITE_READONLY",
        mark("The history {path} is read-only."),
        mark("Make the file and its folder writable, or point LOCALCHAT_DATA_DIR at another folder."),
    ),
    (
        "SQLITE_PERM",
        mark("The history {path} is not readable and writable for you."),
        mark("Change its permissions, or point LOCALCHAT_DATA_DIR at another folder."),
    ),
    (
        "SQLITE_CANTOPEN",
        mark("The history {path} cannot be opened."),
        mark("Make the file and its folder writable, or point LOCALCHAT_DATA_DIR at another folder."),
    ),
    (
        "SQLITE_FULL",
        mark("The history {path} cannot grow: the disk is full."),
        mark("Free some space; then go on."),
    ),
    (
        "SQLITE_BUSY",
        mark("The history {path} is held by another program."),
        mark("Close the program that uses it, then try again."),
    ),
    (
        "SQLITE_LOCKED",
        mark("The history {path} is held by another program."),
        mark("Close the program that uses it, then try again."),
    ),
    (
        "SQLITE_IOERR",
        mark("The history {path} cannot be read or written: the disk reports an error."),
        mark("Check the disk, or point LOCALCHAT_DATA_DIR at another folder."),
    ),
    (
        "SQLITE_PROTOCOL",
        mark("The history {path} cannot be locked on this file system."),
        mark("Keep it on a local disk, or point LOCALCHAT_DATA_DIR at another folder."),
    ),
    (
        "SQLITE_NOLFS",
        mark("The history {path} is too large for this file system."),
        mark("Keep it on another disk, or point LOCALCHAT_DATA_DIR at another folder."),
    ),
)


def error_name(error: Exception) -> str:
    """SQLite's own name of what went wrong, such as "SQLITE_FULL"; "" when it has none."""
    return getattr(error, "sqlite_errorname", None) or ""


def explain(path: Path | None, error: Exception) -> HistoryUnavailable | None:
    """The sentences for an error that is the disk's or the file's fault; None for any other."""
    for name, what, hint in _EXPLANATIONS:
        if error_name(error).startswith(name):
            return HistoryUnavailable(_(what).format(path=path or _("in memory")), _(hint))
    return None
