"""What stands under a message that the model keeps seeing, or that ends what a summary is of."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from localchat.translation import _
from localchat.ui.ink import ACCENT, FAINT, MUTED
from localchat.ui.shown import ShownMessage
from localchat.ui.visible_text import visible_text

PIN = "◆"
"""The sign of what is pinned, here and in the ledger."""


class MessageMarks(Vertical):
    """A summary is folded at first."""

    def __init__(self, message: ShownMessage) -> None:
        super().__init__()
        self._message = message
        self.unfolded = False
        self._pin = Static(Content.styled(f"{PIN} {_('Pinned: the model keeps seeing this')}", ACCENT))
        self._head = Static(classes="summary-head")
        self._body = Static(classes="summary-body", markup=False)

    def compose(self) -> ComposeResult:
        yield self._pin
        yield self._head
        yield self._body

    def on_mount(self) -> None:
        self.show(self._message)

    def show(self, message: ShownMessage) -> None:
        """Show the marks of this message."""
        self._message = message
        self.display = message.pinned or bool(message.summary)
        self._pin.display = message.pinned
        self._head.display = bool(message.summary)
        self._body.display = bool(message.summary) and self.unfolded
        sign = "▾" if self.unfolded else "▸"
        words = _("Summary of the conversation down to here")
        self._head.update(Content.assemble((f"{sign} {words}", FAINT)))
        self._body.update(Content.styled(visible_text(message.summary), MUTED))

    def toggle(self) -> None:
        """Fold the summary, or unfold it."""
        if self._message.summary:
            self.unfolded = not self.unfolded
            self.show(self._message)

    def on_click(self, event: events.Click) -> None:
        if event.widget is self._head:
            event.stop()
            self.toggle()
