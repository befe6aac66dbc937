"""The files that wait in the composer of the open chat, until the question that they belong to is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from localchat.documents.document import Document
from localchat.ui.session_events import ChatsChanged

if TYPE_CHECKING:
    from localchat.ui.session import ChatSession


class WaitingFiles:
    """Kept in the history beside the draft. While a question is edited, its own files are on show instead."""

    def __init__(self, session: ChatSession) -> None:
        self._session = session
        self._of_edited: dict[str, list[Document]] = {}  # by the question's id, once they were changed

    @property
    def documents(self) -> Sequence[Document]:
        session = self._session
        if session.chat_id is None:
            return []
        edited = self._edited
        if edited is not None:
            return self.of_question(edited)
        return [Document.from_record(record) for record in session.store.draft_files(session.chat_id)]

    def of_question(self, message_id: str) -> list[Document]:
        """Those of a question: as they were sent, or as they were changed since."""
        if message_id in self._of_edited:
            return self._of_edited[message_id]
        return [Document.from_record(record) for record in self._session.store.message(message_id).attachments]

    def taken_for(self, message_id: str) -> list[dict[str, str]]:
        """What goes with the new version of this question, in the form that the history keeps."""
        documents = self.of_question(message_id)
        self._of_edited.pop(message_id, None)
        return [document.as_record() for document in documents]

    def add(self, document: Document) -> None:
        """One more; an empty page enters the history with it."""
        fresh = self._session.chat_id is None
        self._session.entered()
        self._keep([*self.documents, document])
        if fresh:
            self._session.tell(ChatsChanged())

    def remove(self, index: int) -> None:
        self._keep([document for place, document in enumerate(self.documents) if place != index])

    @property
    def _edited(self) -> str | None:
        purpose = self._session.purpose.current
        return purpose.message_id if purpose is not None and purpose.kind == "edit" else None

    def _keep(self, documents: list[Document]) -> None:
        edited = self._edited
        if edited is not None:
            self._of_edited[edited] = documents
            return
        chat_id = self._session.entered()
        self._session.store.set_draft_files(chat_id, [document.as_record() for document in documents])
