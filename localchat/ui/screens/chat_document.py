"""The part of the chat screen that concerns the text that a chat is about: opening it, writing it, saving it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from textual import events, work
from textual.containers import Horizontal
from textual.timer import Timer

from localchat.errors import LocalChatError
from localchat.translation import _
from localchat.ui.document import Found
from localchat.ui.screens.chat_part import ChatPart
from localchat.ui.visible_text import one_line

if TYPE_CHECKING:
    from localchat.ui.open_document import OpenDocument
    from localchat.ui.widgets.document_pane import DocumentPane

KEEP_PAUSE_S = 0.3
"""What is typed is in the history after this time."""

ROOMY = 150
"""Columns from which the list of chats has its place beside a text and its conversation."""


class DocumentPart(ChatPart):
    """What the user does with the text. It stands left of the conversation; in a narrow window they take turns."""

    pane: DocumentPane | None = None
    _keep_timer: Timer | None = None

    @property
    def narrow(self) -> bool:
        """Whether the list of chats comes over the page instead of beside it."""
        return super().narrow or (self.has_class("-document") and not self.has_class("-roomy"))

    def on_mount(self) -> None:
        self.call_after_refresh(self._show_first)

    async def _show_first(self) -> None:
        """The text that the program was started with, or the one of the chat that it begins with."""
        if (path := self._app.first_document) is not None:
            self._app.first_document = None
            await self.action_open_document(str(path))
        elif (document := self.session.document.current) is not None:
            await self.show_document(_("Work that was not saved is here again.") if document.has_unsaved else "")

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width >= ROOMY, "-roomy")

    # ---- showing

    async def show_chat(self) -> None:
        await super().show_chat()
        await self.show_document()

    async def show_document(self, remark: str = "") -> None:
        """Show the text that the open chat is about; nothing when there is none."""
        document = self.session.document.current
        self.set_class(document is not None, "-document")
        if document is None:
            pane, self.pane = self.pane, None
            if pane is not None:
                await pane.remove()
            self.remove_class("-text")
            return
        if self.pane is None or not self.pane.is_attached:
            from localchat.ui.widgets.document_pane import DocumentPane

            self.pane = DocumentPane(id="document")
            await self.query_one("#desk", Horizontal).mount(self.pane, before="#page")
        if self.pane.document is not document:
            await self.pane.show_document(document, remark)
        elif remark:
            self.pane.show_remark(remark)

    @property
    def is_writing_text(self) -> bool:
        """Whether the focus is in the text or in what is made of it."""
        return self.pane is not None and self.focused is not None and self.pane in self.focused.ancestors

    def action_switch_side(self) -> None:
        """From the conversation to the text that it is about, and back."""
        if self.pane is None:
            self.notify(_("This chat is about no text. /doc opens one."), timeout=4)
        elif self.is_writing_text:
            self.go_to_conversation()
        else:
            self.go_to_text()

    def go_to_text(self) -> None:
        if self.pane is not None:
            self.add_class("-text")
            (self.pane.panel.view if self.pane.panel is not None else self.pane.area).focus()

    def leave_text(self) -> bool:
        if not self.is_writing_text or self.session.answering_here:
            return False
        self.go_to_conversation()
        return True

    def go_to_conversation(self) -> None:
        self.remove_class("-text")
        self.composer.focus()

    def stop_working(self) -> None:
        """End what a model is doing with the text."""
        if self.pane is not None and self.pane.panel is not None:
            self.pane.panel.writing.stop()

    # ---- opening and closing

    async def action_open_document(self, path: str = "") -> None:
        """Open the file of this name; without one, write the command for the user to complete."""
        if not path:
            self.composer.show_draft("/doc ")
            self.composer.focus()
            return
        self.save_draft()
        try:
            found = self.session.document.open(Path(path.strip("\"'")))
        except LocalChatError as error:
            self.notify(str(error), title=_("Not opened"), severity="error", markup=False)
            return
        await self.show_chat()
        self.go_to_text()
        self._tell_found(found)

    def _tell_found(self, found: Found) -> None:
        assert self.pane is not None
        if found == "unsaved":
            self.pane.show_remark(_("Work that was not saved is here again."))
        elif found == "both_changed":
            self.pane.show_remark(_("The file was changed meanwhile, and so was the text here."))
            self._ask_whose()

    async def action_close_document(self) -> None:
        """Let the chat go on without its text."""
        document = self.session.document.current
        if document is None:
            return
        self.save_draft()
        if document.has_unsaved:
            self._ask_before_closing(document)
        else:
            await self._close()

    @work
    async def _ask_before_closing(self, document: OpenDocument) -> None:
        answer = await self._ask(
            _("“{name}” is not saved").format(name=one_line(document.path.name)),
            _("What was written since it was saved last would be gone."),
            {"save": _("Save it, then close it"), "drop": _("Close it without saving")},
        )
        if answer == "drop" or (answer == "save" and self._save_or_complain()):
            await self._close()

    async def _close(self) -> None:
        try:
            self.session.document.put_away()
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
        await self.show_document()
        self.go_to_conversation()

    # ---- writing

    def on_document_pane_edited(self) -> None:
        document = self.session.document.current
        if self.pane is None or self.pane.document is not document or document is None:
            return
        text = self.pane.area.text
        document.place = self.pane.area.selected_range[0]
        if text != document.lines.shown:
            self.session.document.edit(text)
            self.pane.show_lines()
            if self._keep_timer is not None:
                self._keep_timer.stop()
            self._keep_timer = self.set_timer(KEEP_PAUSE_S, self._keep_text)

    def _keep_text(self) -> None:
        """Have what was written in the history, now."""
        if self._keep_timer is not None:
            self._keep_timer.stop()
            self._keep_timer = None
            if self.pane is not None:
                self.pane.count()
        try:
            self.session.document.keep()
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)

    def save_draft(self) -> None:
        self._keep_text()
        super().save_draft()

    # ---- saving

    def action_save_document(self) -> None:
        """Write the text into its file."""
        if self.session.document.current is None:
            self.notify(_("This chat is about no text. /doc opens one."), timeout=4)
        elif self._open_document.changed_on_disk:
            self._ask_whose()
        else:
            self._save_or_complain()

    def _save_or_complain(self) -> bool:
        document = self.session.document.current
        assert document is not None
        try:
            written = self.session.document.save()
        except LocalChatError as error:
            self.notify(str(error), title=_("Not saved"), severity="error", markup=False)
            return False
        name = one_line(document.path.name)
        said = _("“{name}” was saved.") if written else _("“{name}” is as it was.")
        self.notify(said.format(name=name), timeout=3, markup=False)
        if self.pane is not None:
            self.pane.show_remark("")
        return True

    @work
    async def _ask_whose(self) -> None:
        """The file is another one than it was: say so, and do what the user wants."""
        answer = await self._ask(
            _("“{name}” was changed by another program").format(name=one_line(self._open_document.path.name)),
            _("The text here and the file are two versions now."),
            {
                "look": _("Look at the differences, and take what is good"),
                "mine": _("Save the text that is here over the file"),
                "theirs": _("Take the file; what was written here is gone"),
            },
        )
        try:
            await self._decide_whose(answer)
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)

    async def _ask(self, heading: str, explanation: str, answers: Mapping[str, str]) -> str | None:
        from localchat.ui.screens.choice import ChoiceScreen

        return await self.app.push_screen_wait(ChoiceScreen(heading, explanation, answers))

    async def _decide_whose(self, answer: str | None) -> None:
        if answer is None or self.pane is None:
            return
        if answer == "theirs":
            self.session.document.take_from_disk()
            self.pane.area.change_text(self._open_document.lines.shown)
            self.pane.show_remark("")
            return
        theirs = self.session.document.stand_on_disk()
        if answer == "mine":
            self._save_or_complain()
        else:
            await self.review_versions(theirs, _("The file"))

    @property
    def _open_document(self) -> OpenDocument:
        document = self.session.document.current
        assert document is not None
        return document

    async def review_versions(self, other: str, name: str) -> None:
        """Let the user take into the text what they want of another version of it, which is called `name`."""
        raise NotImplementedError
