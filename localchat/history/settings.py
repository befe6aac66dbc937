"""What one conversation has of its own: its draft, its model, how it answers, where it stands in the list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from localchat.history.part import HistoryPart, storable
from localchat.history.titles import title_from


class ConversationSettings(HistoryPart):
    """One conversation's own settings."""

    def draft(self, conversation_id: str) -> str:
        return self.conversation(conversation_id).draft

    def set_draft(self, conversation_id: str, draft: str) -> None:
        """Keep what is in the composer. Does not move the conversation in the list."""
        self._set(conversation_id, draft=storable(draft))

    def set_model(self, conversation_id: str, model: str | None) -> None:
        self._set(conversation_id, model=model)

    def set_system_prompt(self, conversation_id: str, system_prompt: str | None) -> None:
        self._set(conversation_id, system_prompt=None if system_prompt is None else storable(system_prompt))

    def set_sampling(self, conversation_id: str, sampling: Mapping[str, float]) -> None:
        self._set(conversation_id, sampling=json.dumps(dict(sampling)))

    def set_pinned(self, conversation_id: str, pinned: bool) -> None:
        self._set(conversation_id, pinned=pinned)

    def set_option(self, conversation_id: str, name: str, value: Any) -> None:
        """Keep one entry of the conversation's `options`, as JSON can hold it; None takes it out."""
        with self._database.writing():
            options = {**self.conversation(conversation_id).options, name: value}
            kept = {key: value for key, value in options.items() if value is not None}
            self._set(conversation_id, options=json.dumps(kept, ensure_ascii=False))

    def set_folder(self, conversation_id: str, folder: str) -> None:
        """Put it into a folder of the list; folders are there while something is in them. "" takes it out."""
        self._set(conversation_id, folder=title_from(folder, width=80) if folder.strip() else "")

    def set_archived(self, conversation_id: str, archived: bool) -> None:
        """Put it out of the list, or back into it. Searching finds it either way; a new message brings it back."""
        self._set(conversation_id, archived_at=self._now() if archived else None)

    def folders(self) -> list[str]:
        """The folders that hold something, in the order of their names."""
        rows = self._database.rows(
            "SELECT DISTINCT folder FROM conversations WHERE folder <> '' AND deleted_at IS NULL ORDER BY folder"
        )
        return [row[0] for row in rows]

    def folded(self) -> set[str]:
        """The folders whose conversations the list hides."""
        return {row[0] for row in self._database.rows("SELECT folder FROM folded")}

    def set_folded(self, folder: str, folded: bool) -> None:
        """Hide the conversations of a folder in the list, or show them; every window follows when it looks again."""
        change = "INSERT OR IGNORE INTO folded VALUES (?)" if folded else "DELETE FROM folded WHERE folder = ?"
        with self._database.writing() as connection:
            connection.execute(change, (folder,))

    def set_composing(self, conversation_id: str, composing: Mapping[str, Any] | None, draft: str) -> None:
        """Keep what the composer is for (None: a new question), and what is in it."""
        with self._database.writing():
            self.set_option(conversation_id, "composing", composing)
            self.set_draft(conversation_id, draft)
