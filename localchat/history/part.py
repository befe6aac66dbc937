"""What every part of the store shares: the database, the clock, and looking up one conversation or message."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from typing import Any

from localchat.errors import HistoryUnavailable
from localchat.history.database import Database
from localchat.history.records import Conversation, StoredMessage
from localchat.messages import Role
from localchat.translation import _


class HistoryPart:
    """One kind of thing that the store does. The parts are put together in `history.store.HistoryStore`."""

    _database: Database
    _now: Callable[[], float]

    def conversation(self, conversation_id: str) -> Conversation:
        """One conversation, deleted ones too."""
        found = self._database.rows("SELECT * FROM conversations WHERE id = ?", conversation_id)
        if not found:
            raise HistoryUnavailable(_("This conversation is no longer in the history."), _("Start a new one."))
        return Conversation.from_row(found[0])

    def message(self, message_id: str) -> StoredMessage:
        found = self._database.rows("SELECT * FROM messages WHERE id = ?", message_id)
        if not found:
            raise no_message()
        return StoredMessage.from_row(found[0])

    def _set(self, conversation_id: str, **columns: Any) -> None:
        assignments = ", ".join(f"{name} = ?" for name in columns)
        with self._database.writing() as connection:
            done = connection.execute(
                f"UPDATE conversations SET {assignments} WHERE id = ?", (*columns.values(), conversation_id)
            )
            if not done.rowcount:
                raise HistoryUnavailable(_("This conversation is no longer in the history."), _("Start a new one."))

    def _insert(
        self,
        connection: sqlite3.Connection,
        conversation_id: str,
        parent_id: str | None,
        role: Role,
        content: str,
        status: str,
        model: str | None,
        owner: tuple[int, float] | None = None,
    ) -> str:
        self.conversation(conversation_id)
        if parent_id is not None and self.message(parent_id).conversation_id != conversation_id:
            raise ValueError(f"message {parent_id} belongs to another conversation than {conversation_id}")
        message_id, now = new_id(), self._now()
        connection.execute(
            "INSERT INTO messages (id, conversation_id, parent_id, role, content, status, created_at, finished_at,"
            " model, owner_pid, owner_started) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                message_id,
                conversation_id,
                parent_id,
                role,
                storable(content),
                status,
                now,
                None if owner else now,
                model,
                *(owner or (None, None)),
            ),
        )
        connection.execute(
            "UPDATE conversations SET leaf_id = ?, updated_at = ?, deleted_at = NULL, archived_at = NULL WHERE id = ?",
            (message_id, now, conversation_id),
        )
        return message_id


def no_message() -> HistoryUnavailable:
    return HistoryUnavailable(_("This message is no longer in the history."), _("Open the conversation again."))


def new_id() -> str:
    """32 hexadecimal digits, the first 12 the time in milliseconds: unique among windows, roughly in order."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def storable(text: str) -> str:
    """The text with what UTF-8 cannot hold (halves of surrogate pairs, from a broken paste) replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
