"""The list of conversations: making, finding, naming, and taking out of it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from localchat.history.part import HistoryPart, new_id, storable
from localchat.history.records import Conversation
from localchat.history.titles import UNTITLED, title_from

PURGE_AFTER_DAYS = 30.0


class Conversations(HistoryPart):
    """The list of conversations."""

    def create_conversation(
        self,
        *,
        title: str = "",
        model: str | None = None,
        system_prompt: str | None = None,
        sampling: Mapping[str, float] | None = None,
    ) -> Conversation:
        """A new, empty conversation. A title given here counts as the user's own."""
        conversation_id, now = new_id(), self._now()
        own = title_from(title, width=200) if title.strip() else UNTITLED
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO conversations (id, title, renamed, created_at, updated_at, model, system_prompt, sampling)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    conversation_id,
                    own,
                    bool(title.strip()),
                    now,
                    now,
                    model,
                    None if system_prompt is None else storable(system_prompt),
                    json.dumps(dict(sampling or {})),
                ),
            )
            return self.conversation(conversation_id)

    def conversations(self, limit: int = 500) -> list[Conversation]:
        """Conversations that are neither deleted nor archived, the latest first; at most `limit`, and all that are
        pinned or in a folder."""
        found = self._database.rows(
            "SELECT * FROM (SELECT *, row_number() OVER (ORDER BY updated_at DESC, seq DESC) AS place"
            " FROM conversations WHERE deleted_at IS NULL AND archived_at IS NULL)"
            " WHERE place <= ? OR pinned OR folder <> '' ORDER BY place",
            limit,
        )
        return [Conversation.from_row(row) for row in found]

    def archived(self, limit: int = 500) -> list[Conversation]:
        """Conversations that were put out of the list, the latest first."""
        found = self._database.rows(
            "SELECT * FROM conversations WHERE deleted_at IS NULL AND archived_at IS NOT NULL"
            " ORDER BY updated_at DESC, seq DESC LIMIT ?",
            limit,
        )
        return [Conversation.from_row(row) for row in found]

    def count_listed(self) -> tuple[int, int]:
        """How many conversations there are in the list, and in the archive."""
        row = self._database.rows(
            "SELECT count(*) FILTER (WHERE archived_at IS NULL), count(*) FILTER (WHERE archived_at IS NOT NULL)"
            " FROM conversations WHERE deleted_at IS NULL"
        )[0]
        return int(row[0]), int(row[1])

    def rename(self, conversation_id: str, title: str) -> Conversation:
        """Give it the user's own title; an empty one goes back to the title made of the first message."""
        if title.strip():
            self._set(conversation_id, title=title_from(title, width=200), renamed=True, titled=False)
        else:
            first = self._database.rows(
                "SELECT content FROM messages WHERE conversation_id = ? AND role = 'user' ORDER BY seq LIMIT 1",
                conversation_id,
            )
            title = title_from(first[0][0]) if first else UNTITLED
            self._set(conversation_id, title=title, renamed=False, titled=False)
        return self.conversation(conversation_id)

    def set_model_title(self, conversation_id: str, title: str) -> bool:
        """Give it a title that the model made, unless it has the user's own; returns whether it has it now."""
        with self._database.writing() as connection:
            done = connection.execute(
                "UPDATE conversations SET title = ?, titled = 1 WHERE id = ? AND NOT renamed",
                (title_from(title, width=200), conversation_id),
            )
            return done.rowcount > 0

    def delete(self, conversation_id: str) -> None:
        """Take it out of the list; `undelete` brings it back until it is purged."""
        self._set(conversation_id, deleted_at=self._now())

    def undelete(self, conversation_id: str) -> None:
        self._set(conversation_id, deleted_at=None)

    def purge_deleted(self, days: float = PURGE_AFTER_DAYS) -> int:
        """Remove for good what was deleted more than `days` ago; returns how many conversations that were."""
        before = self._now() - days * 86400
        doomed = "SELECT id FROM conversations WHERE deleted_at < ?"
        with self._database.writing() as connection:
            connection.execute(f"DELETE FROM messages WHERE conversation_id IN ({doomed})", (before,))
            return connection.execute("DELETE FROM conversations WHERE deleted_at < ?", (before,)).rowcount

    def discard_if_empty(self, conversation_id: str) -> bool:
        """Remove a conversation without a message, a draft, unsaved work on a text, or a title of the user's; returns
        whether it was removed."""
        with self._database.writing() as connection:
            removed = connection.execute(
                "DELETE FROM conversations WHERE id = ? AND leaf_id IS NULL AND trim(draft) = '' AND NOT renamed"
                " AND NOT EXISTS (SELECT 1 FROM draft_files WHERE conversation_id = conversations.id)"
                " AND NOT EXISTS (SELECT 1 FROM documents WHERE conversation_id = conversations.id AND text <> saved)",
                (conversation_id,),
            )
            return removed.rowcount > 0
