"""Whole conversations in and out of the history: what exports read, and what imports add."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from localchat.history.part import HistoryPart, storable
from localchat.history.records import Conversation, StoredMessage
from localchat.history.titles import UNTITLED, title_from


class Adoption(HistoryPart):
    """Reading and adding whole trees."""

    def everything(self, *, deleted: bool = False) -> list[Conversation]:
        """All conversations, archived ones too, the latest first; or, when asked for, those that were deleted."""
        found = self._database.rows(
            "SELECT * FROM conversations WHERE (deleted_at IS NOT NULL) = ? ORDER BY updated_at DESC, seq DESC", deleted
        )
        return [Conversation.from_row(row) for row in found]

    def all_messages(self, conversation_id: str) -> list[StoredMessage]:
        """The messages of every branch, in the order in which they were added: parents before their children."""
        found = self._database.rows("SELECT * FROM messages WHERE conversation_id = ? ORDER BY seq", conversation_id)
        return [StoredMessage.from_row(row) for row in found]

    def adopt(self, conversation: Conversation, messages: Sequence[StoredMessage]) -> int | None:
        """Add a conversation from elsewhere, or what is new in one that was added before.

        What is here already stays as it is, in the trash too: the same conversation twice adds nothing.

        Args:
            messages: of all branches, parents before their children.

        Returns:
            How many messages were added; None when the conversation is new here.
        """
        with self._database.writing() as connection:
            here = self._database.rows("SELECT 1 FROM conversations WHERE id = ?", conversation.id)
            if not here:
                self._add_conversation(connection, conversation)
            new_ids = {message.id: self._free_id(message) for message in messages}
            added = 0
            for message in messages:
                parent = None if message.parent_id is None else new_ids[message.parent_id]
                copy = replace(message, id=new_ids[message.id], parent_id=parent)
                added += self._add_message(connection, copy)
            if not here and messages:
                leaf = new_ids.get(conversation.leaf_id or "", new_ids[messages[-1].id])
                connection.execute("UPDATE conversations SET leaf_id = ? WHERE id = ?", (leaf, conversation.id))
            return added if here else None

    def _free_id(self, message: StoredMessage) -> str:
        """Its own id; another one, always the same, when a message of another conversation has that."""
        found = self._database.rows("SELECT conversation_id FROM messages WHERE id = ?", message.id)
        if not found or found[0][0] == message.conversation_id:
            return message.id
        return hashlib.sha256(f"{message.conversation_id} {message.id}".encode()).hexdigest()[:32]

    def _add_conversation(self, connection: sqlite3.Connection, conversation: Conversation) -> None:
        connection.execute(
            "INSERT INTO conversations (id, title, renamed, titled, created_at, updated_at, model, system_prompt,"
            " sampling, options, pinned, folder, archived_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                conversation.id,
                title_from(storable(conversation.title), width=200) or UNTITLED,
                conversation.renamed,
                conversation.titled,
                conversation.created_at,
                conversation.updated_at,
                conversation.model,
                None if conversation.system_prompt is None else storable(conversation.system_prompt),
                json.dumps(dict(conversation.sampling)),
                json.dumps(dict(conversation.options)),
                conversation.pinned,
                storable(conversation.folder),
                conversation.archived_at,
            ),
        )

    def _add_message(self, connection: sqlite3.Connection, message: StoredMessage) -> int:
        """How many were added: 0 when it is here."""
        return connection.execute(
            "INSERT INTO messages (id, conversation_id, parent_id, role, content, thinking, status, created_at,"
            " finished_at, model, error, stats, attachments, pinned, summary)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            (
                message.id,
                message.conversation_id,
                message.parent_id,
                message.role,
                storable(message.content),
                storable(message.thinking),
                message.status,
                message.created_at,
                message.finished_at,
                message.model,
                storable(message.error),
                json.dumps(dict(message.stats)),
                storable(json.dumps(list(message.attachments), ensure_ascii=False)),
                message.pinned,
                storable(message.summary),
            ),
        ).rowcount
