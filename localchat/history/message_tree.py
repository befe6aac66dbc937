"""The messages of a conversation: a tree, of which one branch is on show."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence

from localchat.history.part import HistoryPart, no_message, storable
from localchat.history.queries import BRANCH, LINE_TO, NEWEST_UNDER, SIBLINGS
from localchat.history.records import Siblings, StoredMessage
from localchat.history.titles import title_from
from localchat.messages import Role


class MessageTree(HistoryPart):
    """Adding messages and moving between the branches that they make."""

    def add_message(
        self,
        conversation_id: str,
        parent_id: str | None,
        role: Role,
        content: str,
        *,
        clears_draft: bool = False,
        attachments: Sequence[Mapping[str, str]] = (),
    ) -> StoredMessage:
        """Add a complete message under `parent_id` (None: the first) and show its branch.

        A first user message gives the conversation its title unless it was renamed. A deleted conversation comes back:
        what somebody writes in one window is not lost because another window deleted it.

        Args:
            clears_draft: the message is what was in the composer; the draft ends in the same transaction.
            attachments: files given with it, each with "name", "kind" and "text".
        """
        with self._database.writing() as connection:
            message_id = self._insert(connection, conversation_id, parent_id, role, content, "complete", None)
            if attachments:
                kept = storable(json.dumps(list(attachments), ensure_ascii=False))
                connection.execute("UPDATE messages SET attachments = ? WHERE id = ?", (kept, message_id))
            if role == "user" and parent_id is None:
                named_after = content if content.strip() or not attachments else attachments[0]["name"]
                self._derive_title(connection, conversation_id, named_after)
            if clears_draft:
                connection.execute("UPDATE conversations SET draft = '' WHERE id = ?", (conversation_id,))
                connection.execute("DELETE FROM draft_files WHERE conversation_id = ?", (conversation_id,))
            return self.message(message_id)

    def edit(
        self, message_id: str, content: str, *, attachments: Sequence[Mapping[str, str]] | None = None
    ) -> StoredMessage:
        """Add `content` beside an existing message, as a sibling of the same role; the old one stays reachable.

        Args:
            attachments: the files of the new version; None keeps those of the old one.
        """
        with self._database.writing():
            old = self.message(message_id)
            files = old.attachments if attachments is None else attachments
            new = self.add_message(old.conversation_id, old.parent_id, old.role, content, attachments=files)
            if old.pinned:
                self.set_message_pinned(new.id, True)
            return self.message(new.id)

    def branch(self, conversation_id: str) -> list[StoredMessage]:
        """The messages on show, from the first to the conversation's leaf."""
        found = self._database.rows(
            BRANCH,
            conversation_id,
        )
        return [StoredMessage.from_row(row) for row in found]

    def line_to(self, message_id: str) -> list[StoredMessage]:
        """The messages from the first down to this one, whichever branch is on show."""
        return [StoredMessage.from_row(row) for row in self._database.rows(LINE_TO, message_id)]

    def messages_ending_with(self, end: str) -> list[StoredMessage]:
        """The messages whose ids end like this, oldest first; of deleted conversations too."""
        found = self._database.rows("SELECT * FROM messages WHERE substr(id, -?) = ? ORDER BY seq", len(end), end)
        return [StoredMessage.from_row(row) for row in found]

    def siblings(self, message_id: str) -> Siblings:
        """The message and its alternatives (other replies to, or other versions after, the same parent)."""
        found = self._database.rows(
            SIBLINGS,
            message_id,
        )
        if not found:
            raise no_message()
        ids = tuple(row[0] for row in found)
        return Siblings(ids, ids.index(message_id))

    def select_sibling(self, message_id: str) -> str:
        """Show the branch through this message, down to the newest message under it; returns the new leaf's id."""
        with self._database.writing() as connection:
            conversation_id = self.message(message_id).conversation_id
            leaf = self._database.rows(
                NEWEST_UNDER,
                message_id,
                conversation_id,
            )[0][0]
            connection.execute("UPDATE conversations SET leaf_id = ? WHERE id = ?", (leaf, conversation_id))
            return str(leaf)

    def set_message_pinned(self, message_id: str, pinned: bool) -> None:
        """Let the model keep seeing this message when older ones no longer fit, or no longer."""
        self._change(message_id, "UPDATE messages SET pinned = ? WHERE id = ?", pinned)

    def set_summary(self, message_id: str, summary: str) -> None:
        """Keep a summary of the conversation down to this message; "" takes it out."""
        self._change(message_id, "UPDATE messages SET summary = ? WHERE id = ?", storable(summary))

    def _change(self, message_id: str, statement: str, value: bool | str) -> None:
        with self._database.writing() as connection:
            if not connection.execute(statement, (value, message_id)).rowcount:
                raise no_message()
            # Sets the version too, so that other windows show it.
            connection.execute(
                "UPDATE conversations SET leaf_id = leaf_id WHERE id = ?", (self.message(message_id).conversation_id,)
            )

    def _derive_title(self, connection: sqlite3.Connection, conversation_id: str, content: str) -> None:
        connection.execute(
            "UPDATE conversations SET title = ? WHERE id = ? AND NOT renamed AND NOT titled",
            (title_from(storable(content)), conversation_id),
        )
