"""The part of the chat screen that concerns files: attaching them to a question, taking them out again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from textual import events, on, work

from localchat.documents.document import Document
from localchat.errors import HistoryUnavailable, LocalChatError
from localchat.translation import _
from localchat.ui.attachments import pasted_document
from localchat.ui.background import in_background
from localchat.ui.engine_state import EngineState
from localchat.ui.screens.chat_context import ContextPart
from localchat.ui.visible_text import one_line
from localchat.ui.widgets.composer import Composer
from localchat.ui.widgets.file_row import FileRow, WaitingFile


class FilesPart(ContextPart):
    """What the user gives with a question."""

    _reading: tuple[str, ...] = ()
    _is_measuring = False
    _from_paste = 0

    def show_engine(self, state: EngineState) -> None:
        was_ready = self.phase == "ready"
        super().show_engine(state)
        if state.phase == "ready" and not was_ready and self.file_row.files:
            self.show_files()  # what they cost can be found out now, or is another number with another model

    def show_files(self) -> None:
        """Show what waits in the composer, with what it costs as far as that is known, and find out the rest."""
        session = self.session
        try:
            documents = session.files.documents
        except HistoryUnavailable as error:
            self.complain(error)
            return
        state = session.engine_state
        room = state.model.context_length - (state.context_used or 0) if state.model is not None else None
        waiting = [WaitingFile(document.name, session.costs.of(document)) for document in documents]
        self.file_row.show(waiting, self._reading, room)
        self.look_anew()
        if state.phase == "ready" and any(file.tokens is None for file in waiting):
            self._measure(documents)

    @work
    async def _measure(self, documents: Sequence[Document]) -> None:
        """One at a time, and never given up half way: the engine would take that for a wish to stop."""
        if self._is_measuring:
            return
        self._is_measuring = True
        try:
            learned = await self.session.costs.measure(documents)
        finally:
            self._is_measuring = False
        if learned:
            self.show_files()

    def action_attach(self, path: str = "") -> None:
        """Attach the file of this name, or let the user name one in the composer."""
        purpose = self.session.purpose.current
        if path:
            self.attach([Path(path.strip("\"'")).expanduser()])
        elif purpose is not None and purpose.kind == "begin":
            self.notify(_("A file belongs to a question. Esc goes back to it."), timeout=4)
        else:
            self.composer.begin_mention()

    def on_paste(self, event: events.Paste) -> None:
        """Nothing in focus had a use for it: whatever is pasted or dropped here is meant for the composer."""
        event.stop()
        self.composer.focus()
        self.composer.post_message(events.Paste(event.text))

    @on(Composer.FilesDropped)
    def _dropped(self, event: Composer.FilesDropped) -> None:
        self._from_paste = 0
        self.attach(event.paths)

    @on(Composer.LongPaste)
    def _long_paste(self, event: Composer.LongPaste) -> None:
        self._from_paste = 0
        self._add(pasted_document(event.text, self.session.files.documents))
        self.notify(_("The long text waits as a file of its own. Ctrl+Z writes it here instead."), timeout=6)

    @on(Composer.PasteTakenBack)
    def _taken_back(self) -> None:
        self.workers.cancel_group(self, "read")
        self._reading = ()
        for _each in range(self._from_paste):
            self._remove(len(self.session.files.documents) - 1)
        self.show_files()

    def attach(self, paths: Sequence[Path]) -> None:
        """Read these files and let them wait with the draft."""
        self._reading += tuple(path.name for path in paths)
        self.show_files()
        self._read(paths, self.session.chat_id)

    @work(group="read")
    async def _read(self, paths: Sequence[Path], chat_id: str | None) -> None:
        from localchat.documents.reading import read_document

        for path in paths:
            document: Document | None = None
            try:
                document = await in_background(partial(read_document, path))
            except LocalChatError as error:
                self.complain(error, _("Not attached"))
            place = self._reading.index(path.name)
            self._reading = self._reading[:place] + self._reading[place + 1 :]
            if document is not None and chat_id == self.session.chat_id:
                self._add(document)
                chat_id = self.session.chat_id  # an empty page has one now
            elif document is not None:
                said = _("“{name}” was not attached, for another chat was opened meanwhile.")
                self.notify(said.format(name=one_line(path.name)), severity="warning", markup=False)
            self.show_files()

    def _add(self, document: Document) -> None:
        try:
            self.session.files.add(document)
            self._from_paste += 1
        except HistoryUnavailable as error:
            self.complain(error)
        self.show_files()

    @on(FileRow.Removed)
    def _removed(self, event: FileRow.Removed) -> None:
        self._remove(event.index)

    def _remove(self, index: int) -> None:
        try:
            self.session.files.remove(index)
        except HistoryUnavailable as error:
            self.complain(error)
        self.show_files()

    @on(FileRow.Left)
    def _left_row(self) -> None:
        self.composer.focus()

    @on(Composer.FilesWanted)
    def _to_row(self) -> None:
        if self.file_row.files:
            self.file_row.choose_last()

    @property
    def is_reading(self) -> bool:
        """Whether a file that belongs to the next question is still being read."""
        return bool(self._reading)

    def complain(self, error: LocalChatError, title: str = "") -> None:
        self.notify(str(error), title=title, severity="error", markup=False)
