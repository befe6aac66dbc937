"""Where the user writes: one line that grows to eight, and then scrolls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea

from localchat.ui.visible_text import visible_text


class Composer(TextArea):
    """A text area in which Enter sends."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send", id="composer.send", show=False),
        Binding("shift+enter,alt+enter,ctrl+j", "line_break", "Break the line", id="composer.line_break", show=False),
        Binding("ctrl+y", "screen.copy_message", "Copy message", show=False),  # a text area's own meaning is redo
        Binding("ctrl+shift+z,alt+y", "redo", "Redo", id="composer.redo", show=False),
    ]

    @dataclass
    class Sent(Message):
        """The user wants this text answered."""

        text: str

    class Edited(Message):
        """The draft changed by the user's hand."""

    class RecallWanted(Message):
        """Up was pressed in an empty composer."""

    class UndoWanted(Message):
        """Undo was asked for and there is nothing to undo in the text."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(
            id=id, placeholder="Ask anything", highlight_cursor_line=False, soft_wrap=True, tab_behavior="focus"
        )
        self.match_cursor_bracket = False

    def on_mount(self) -> None:
        self.cursor_blink = self.app.animation_level != "none"

    def show_draft(self, text: str) -> None:
        """Replace the text without it counting as an edit."""
        self.load_text(visible_text(text))
        self.move_cursor(self.document.end)

    def action_send(self) -> None:
        if self.text.strip():
            self.post_message(self.Sent(self.text))

    def action_line_break(self) -> None:
        self._insert("\n")

    def action_cursor_up(self, select: bool = False) -> None:
        if self.text or select:
            super().action_cursor_up(select)
        else:
            self.post_message(self.RecallWanted())

    def action_undo(self) -> None:
        if self.history._undo_stack:  # Textual offers no public question
            super().action_undo()
        else:
            self.post_message(self.UndoWanted())

    def action_cursor_page_up(self) -> None:
        """Turn the pages of the transcript, unless the draft itself is longer than its window."""
        if self.wrapped_document.height <= self.size.height:
            raise SkipAction
        super().action_cursor_page_up()

    def action_cursor_page_down(self) -> None:
        if self.wrapped_document.height <= self.size.height:
            raise SkipAction
        super().action_cursor_page_down()

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "shift+\r":  # xterm's modifyOtherKeys, as tmux passes it on
            event.stop()
            event.prevent_default()
            self.action_line_break()
            return
        # Not priority bindings: those overtake characters that are still on their way here, and would send half of
        # what was typed by a quick hand or committed by an IME.
        active = self.screen.active_bindings.get(event.key) if not event.is_printable else None
        if active is not None and active.node is self and active.binding.action in ("send", "line_break"):
            event.stop()
            event.prevent_default()
            await self.run_action(active.binding.action)
            return
        await super()._on_key(event)

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self._insert(visible_text(event.text))

    def _insert(self, text: str) -> None:
        result = self._replace_via_keyboard(text, *self.selection)
        if result is not None:
            self.move_cursor(result.end_location)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        event.stop()
        self.post_message(self.Edited())
