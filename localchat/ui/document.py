"""The text that the open chat is about: read from its file, kept in the history as it is written, and written back.

No widgets here. What is typed is in the history within a moment and in the file when the user says so, so neither a
crash nor a full disk takes it; a file that somebody else changed meanwhile is never written over unasked.

What deals with texts is imported with the first of them: most chats are about none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from localchat.history.documents import StoredDocument
    from localchat.ui.answering import Answering
    from localchat.ui.open_document import OpenDocument
    from localchat.ui.session import ChatSession
    from localchat.ui.writing_task import Wish, WritingTask

SMALLEST_CONTEXT = 2048
"""Tokens of context that are reckoned with while no model is loaded."""

Found = Literal["read", "unsaved", "both_changed"]
"""What was found when a text was opened. read: its file, and nothing else; unsaved: work that is not in the file yet;
both_changed: that, and a file that is another one since."""


class ChatDocument:
    """Owner of the text of the chat that is open in `session`."""

    def __init__(self, session: ChatSession, answering: Answering) -> None:
        self._session = session
        self._answering = answering
        self._known: tuple[str | None, OpenDocument | None] = (None, None)

    @property
    def current(self) -> OpenDocument | None:
        """The text that the open chat is about; None when it is about none.

        Read once when a chat is opened: what another window writes is no concern of this one.
        """
        chat_id = self._session.chat_id
        if self._known[0] != chat_id:
            record = self._session.store.document(chat_id) if chat_id is not None else None
            self._known = (chat_id, _opened(record))
        return self._known[1]

    @property
    def _open(self) -> OpenDocument:
        assert self.current is not None
        return self.current

    def open(self, path: Path) -> Found:
        """Open the chat about the file at `path`, or let the open chat be about it, or a new one.

        A file that is not there yet is an empty text; saving makes it.

        Raises:
            UnreadableFile: it is no text, or too long a one.
            HistoryUnavailable: the history cannot be read or written.
        """
        from localchat.ui.open_document import OpenDocument

        path = path.expanduser().resolve()
        session = self._session
        about = None if session.is_private else session.saved.conversation_about(str(path))
        if about is not None:
            session.open_chat(about)
            return self._look_again()
        document = OpenDocument.read(path)
        if self.current is not None:
            session.begin_private_chat() if session.is_private else session.new_chat()
        chat_id = session.entered()
        if not session.is_private and session.store.conversation(chat_id).leaf_id is None:
            session.store.set_model_title(chat_id, path.name)
        self._known = (chat_id, document)
        self.keep()
        return "read"

    def _look_again(self) -> Found:
        """Read the file of the open chat's text again, unless there is work that is not in it.

        Raises:
            UnreadableFile: it is no text any more; what was kept of it stays.
        """
        document = self._open
        if document.changed_on_disk and document.has_unsaved:
            return "both_changed"
        if document.changed_on_disk:
            self.take_from_disk()
        return "unsaved" if document.has_unsaved else "read"

    def edit(self, shown: str) -> None:
        """What is shown of it became this; `keep` puts it into the history."""
        self._open.lines.edit(shown)

    def keep(self) -> None:
        """Put what was written since the last time into the history."""
        document = self.current
        if document is not None and document.lines.text != document.kept:
            self._keep()

    def save(self) -> bool:
        """Write it into its file; false when nothing was to be written. Raises as `OpenDocument.save` does."""
        written = self._open.save()
        self._keep()
        return written

    def take_from_disk(self) -> None:
        """Go on with what the file holds; what was not saved is gone. Raises UnreadableFile."""
        self._open.take_from_disk()
        self._keep()

    def stand_on_disk(self) -> str:
        """As `OpenDocument.stand_on_disk`."""
        shown = self._open.stand_on_disk()
        self._keep()
        return shown

    def put_away(self) -> None:
        """The open chat is no longer about it."""
        if self._session.chat_id is not None:
            self._session.store.put_document_away(self._session.chat_id)
            self._known = (self._session.chat_id, None)

    def told_to_model(self, chat_id: str, system_prompt: str) -> str:
        """The system prompt of a chat, with the text that it is about as that is now."""
        session = self._session
        is_open = chat_id == session.chat_id
        document = self.current if is_open else _opened(session.store_of(chat_id).document(chat_id))
        if document is None:
            return system_prompt
        from localchat.ui.document_context import with_document

        model = session.engine_state.model
        room = model.context_length if model is not None else SMALLEST_CONTEXT
        return with_document(system_prompt, document.path.name, document.lines.shown, document.place, room)

    def task(self, wish: Wish) -> WritingTask:
        """A writing action on it, or on any other text."""
        from localchat.ui.writing_task import WritingTask

        return WritingTask(self._answering, wish)

    def other_version(self, text: str, other: str, name: str) -> WritingTask:
        """Another version of a text, to be decided about as if a model had made it."""
        from localchat.ui.writing_task import OtherVersion

        return OtherVersion(self._answering, text, other, name)

    def _keep(self) -> None:
        assert self._session.chat_id is not None
        document = self._open
        self._session.store.keep_document(self._session.chat_id, document.as_record())
        document.kept = document.lines.text


def _opened(record: StoredDocument | None) -> OpenDocument | None:
    if record is None:
        return None
    from localchat.ui.open_document import OpenDocument

    return OpenDocument.from_record(record)
