"""Texts that conversations are about: what is written in one is here before it is in its file."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from localchat.history.part import HistoryPart, storable


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """The text of one conversation.

    Attributes:
        path: of its file, absolute.
        encoding, mark: how the file is written as bytes.
        saved: what the file held when it was read or written last.
        text: what it is now.
    """

    path: str
    encoding: str
    mark: bytes
    saved: str
    text: str

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> StoredDocument:
        return cls(**{name: row[name] for name in cls.__slots__})


class StoredDocuments(HistoryPart):
    """At most one for each conversation."""

    def document(self, conversation_id: str) -> StoredDocument | None:
        found = self._database.rows("SELECT * FROM documents WHERE conversation_id = ?", conversation_id)
        return StoredDocument.from_row(found[0]) if found else None

    def keep_document(self, conversation_id: str, document: StoredDocument) -> None:
        """Keep it, in place of the one before."""
        self.conversation(conversation_id)
        with self._database.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?, ?)",
                (
                    conversation_id,
                    storable(document.path),
                    document.encoding,
                    document.mark,
                    document.saved,
                    storable(document.text),
                ),
            )

    def put_document_away(self, conversation_id: str) -> None:
        """The conversation is no longer about it."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM documents WHERE conversation_id = ?", (conversation_id,))

    def conversation_about(self, path: str) -> str | None:
        """The latest conversation about the file at `path`, which is neither deleted nor archived."""
        found = self._database.rows(
            "SELECT id FROM conversations JOIN documents ON documents.conversation_id = id"
            " WHERE path = ? AND deleted_at IS NULL AND archived_at IS NULL ORDER BY updated_at DESC, seq DESC LIMIT 1",
            storable(path),
        )
        return str(found[0]["id"]) if found else None
