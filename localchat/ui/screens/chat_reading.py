"""The part of the chat screen that concerns reading: scrolling, copying, following links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localchat.ui.screens.chat_part import ChatPart
from localchat.ui.visible_text import visible_text

if TYPE_CHECKING:
    from textual.widgets import Markdown


class ReadingPart(ChatPart):
    """What the user does with the transcript."""

    def action_scroll_top(self) -> None:
        self.transcript.to_top()

    def action_scroll_end(self) -> None:
        self.transcript.to_end()

    def key_pageup(self) -> None:
        self.transcript.page(-1)

    def key_pagedown(self) -> None:
        self.transcript.page(1)

    def action_focus_message(self, step: int) -> None:
        if not self.transcript.focus_message(step) and step > 0:
            self.composer.focus()

    def action_copy_message(self) -> None:
        view = self.transcript.focused_view or self.transcript.last_reply()
        if view is not None and view.message.text:
            self._app.copy_text(view.message.text)

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        """An address that a model wrote is never opened, only handed over."""
        event.stop()
        self._app.copy_text(visible_text(event.href), "The address was copied.")
