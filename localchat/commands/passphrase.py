"""The history for a command; when it is encrypted, its passphrase comes from the environment or is asked for."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from localchat.errors import HistoryLocked, InvalidSetting
from localchat.history.encryption import is_encrypted
from localchat.history.store import HistoryStore
from localchat.paths import history_file
from localchat.translation import _

VARIABLE = "LOCALCHAT_PASSPHRASE"


def open_history() -> HistoryStore:
    """The user's history.

    Raises:
        HistoryLocked: it is encrypted, and no passphrase or a wrong one was given.
        HistoryUnavailable: it cannot be used.
    """
    path = history_file()
    return HistoryStore(path, known_passphrase(path))


def known_passphrase(path: Path) -> str | None:
    """The passphrase of this file; None for a plain one.

    Raises:
        HistoryLocked: there is none in the environment and nobody to ask.
    """
    if not is_encrypted(path):
        return None
    return os.environ.get(VARIABLE) or _asked(
        _("Passphrase of the history: "), _("Put it into the environment as {variable}.").format(variable=VARIABLE)
    )


def new_passphrase() -> str:
    """The passphrase that the user chooses, asked for twice.

    Raises:
        HistoryLocked: there is nobody to ask.
        InvalidSetting: the two were different.
    """
    hint = _("Run this where somebody can type.")
    first = _asked(_("New passphrase: "), hint)
    if _asked(_("Once more: "), hint) != first:
        raise InvalidSetting(_("The two passphrases are different."), _("Nothing was changed; try again."))
    return first


def _asked(prompt: str, hint: str) -> str:
    """What is typed, unseen, at the terminal itself: standard input may be a pipe."""
    if not _has_terminal():
        raise HistoryLocked(_("There is no terminal to ask for the passphrase of the history."), hint)
    return getpass.getpass(prompt)


def _has_terminal() -> bool:
    if os.name == "nt":
        return os.isatty(0)
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
