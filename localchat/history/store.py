"""The history: conversations as trees of messages, saved as they happen.

Every method is one short transaction, so a killed program loses at most what it had not passed in yet, and several
windows may work on one file. Methods may be called from any thread; they take turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from localchat.history.adopting import Adoption
from localchat.history.conversations import PURGE_AFTER_DAYS, Conversations
from localchat.history.database import Database
from localchat.history.documents import StoredDocuments
from localchat.history.drafts import Drafts
from localchat.history.edits import Edits
from localchat.history.forks import Forks
from localchat.history.message_tree import MessageTree
from localchat.history.replies import Replies
from localchat.history.search import Searching
from localchat.history.settings import ConversationSettings

__all__ = ["PURGE_AFTER_DAYS", "HistoryStore"]


class HistoryStore(
    Adoption,
    Conversations,
    ConversationSettings,
    MessageTree,
    Replies,
    Forks,
    Drafts,
    Searching,
    StoredDocuments,
    Edits,
):
    """The conversations in one file.

    Opening makes the file if need be, migrates it, marks replies whose writer died as interrupted, and purges what
    was deleted more than `PURGE_AFTER_DAYS` ago.

    Args:
        path: usually `paths.history_file()`.
        passphrase: of an encrypted file.
        now: the clock, seconds since 1970.

    Raises (every method too):
        HistoryLocked: the file is encrypted, and the passphrase is missing or another one.
        HistoryUnavailable: the file cannot be opened, read or written, or a conversation or message is not in it.
    """

    def __init__(self, path: Path, passphrase: str | None = None, *, now: Callable[[], float] = time.time) -> None:
        self._open(Database(path, passphrase), now)

    @classmethod
    def locked(cls, path: Path, *, now: Callable[[], float] = time.time) -> HistoryStore:
        """An encrypted history that waits for `unlock`."""
        store = cls.__new__(cls)
        store._database = Database.locked(path)
        store._now = now
        return store

    @classmethod
    def in_memory(cls, *, now: Callable[[], float] = time.time) -> HistoryStore:
        """A history that ends with the program, for when the file cannot be used; `is_saved` is False."""
        store = cls.__new__(cls)
        store._open(Database(None), now)
        return store

    def _open(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now
        try:
            self._tidy()
        except BaseException:
            database.close()
            raise

    def _tidy(self) -> None:
        # Under one lock, and even when nothing is to be done: a file that cannot be written is found out now.
        with self._database.writing():
            self.recover()
            self.purge_deleted()

    @property
    def path(self) -> Path | None:
        return self._database.path

    @property
    def is_saved(self) -> bool:
        """False for a history in memory."""
        return self.path is not None

    @property
    def is_encrypted(self) -> bool:
        """Whether only a passphrase opens the file."""
        return self._database.encrypted

    @property
    def is_plain(self) -> bool:
        """Whether the disk may know what is in it: not of a history in memory, nor of an encrypted one."""
        return self.is_saved and not self.is_encrypted

    @property
    def is_locked(self) -> bool:
        return self._database.is_locked

    def lock(self) -> None:
        """Forget the key of an encrypted history; until `unlock`, every method raises `HistoryLocked`."""
        self._database.lock()

    def unlock(self, passphrase: str) -> None:
        """Open a locked history."""
        self._database.unlock(passphrase)
        self._tidy()

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> HistoryStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def version(self) -> int:
        """A number that grows with every change that a list or a transcript shows, made by this or another window.

        Keep it and compare: cheap enough to ask every second. Drafts and checkpoints of growing replies do not count.
        """
        return int(self._database.rows("SELECT version FROM changes")[0][0])

    def changed_since(self, version: int) -> bool:
        return self.version() != version

    def problems(self) -> list[str]:
        """What a full check of the file finds; empty when it is sound. Slow, it reads all of it."""
        return self._database.problems()
