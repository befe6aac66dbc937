"""What waits in the composer and was not sent yet, and what was sent from it before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from localchat.history.part import HistoryPart, storable

RECALLED = 500
"""Questions that can be brought back into the composer."""


class Drafts(HistoryPart):
    """The draft's text is a column of its conversation (`ConversationSettings.set_draft`); its files are kept here."""

    def draft_files(self, conversation_id: str) -> list[Mapping[str, str]]:
        """The files that wait with the draft, in the form of `StoredMessage.attachments`."""
        found = self._database.rows("SELECT attachments FROM draft_files WHERE conversation_id = ?", conversation_id)
        return json.loads(found[0][0]) if found else []

    def set_draft_files(self, conversation_id: str, attachments: Sequence[Mapping[str, str]]) -> None:
        self.conversation(conversation_id)
        with self._database.writing() as connection:
            connection.execute("DELETE FROM draft_files WHERE conversation_id = ?", (conversation_id,))
            if attachments:
                kept = storable(json.dumps(list(attachments), ensure_ascii=False))
                connection.execute("INSERT INTO draft_files VALUES (?, ?)", (conversation_id, kept))

    def unsent(self) -> str | None:
        """Id of the conversation begun last, if nothing was sent in it yet and nothing was done elsewhere since."""
        found = self._database.rows(
            "SELECT id, leaf_id IS NULL AND NOT renamed AND (trim(draft) != '' OR EXISTS"
            " (SELECT 1 FROM draft_files WHERE conversation_id = conversations.id) OR EXISTS"
            " (SELECT 1 FROM documents WHERE conversation_id = conversations.id AND text <> saved)) AS unsent"
            " FROM conversations WHERE deleted_at IS NULL ORDER BY updated_at DESC, seq DESC LIMIT 1"
        )
        return str(found[0]["id"]) if found and found[0]["unsent"] else None

    def prompts(self, conversation_id: str | None = None) -> list[str]:
        """What the user asked, the latest first, nothing twice: in one conversation, or in all that are not deleted."""
        # NOT IN: so that the messages are walked from the latest, and not gathered by conversation and sorted.
        among = "= ?" if conversation_id else "NOT IN (SELECT id FROM conversations WHERE deleted_at IS NOT NULL)"
        found = self._database.rows(
            f"SELECT content FROM messages WHERE role = 'user' AND content != '' AND conversation_id {among}"
            " ORDER BY seq DESC LIMIT ?",
            *([conversation_id] if conversation_id else []),
            RECALLED,
        )
        return list(dict.fromkeys(row[0] for row in found))
