"""The list above the composer: what could complete what is being written there."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from localchat.translation import _
from localchat.ui.completion import Completion, Offer
from localchat.ui.ink import ACCENT, FAINT, MUTED

ROWS = 8
_CHOSEN = "$block-cursor-foreground on $block-cursor-background"


class Completions(Widget):
    """Never has the focus: the composer keeps it, and passes on the keys that move in the list."""

    @dataclass
    class Picked(Message):
        """A row was clicked."""

        completion: Completion

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.offer: Offer | None = None
        self._index = 0
        self._first = 0
        self._label_width = 0
        self.was_moved = False
        self.display = False

    def show(self, offer: Offer | None) -> None:
        """Show these instead; None hides the list."""
        before, self.offer = self.offer, offer
        self.display = offer is not None
        if offer is None:
            return
        if before is None or before.completions != offer.completions:
            self._index = self._first = 0
            self.was_moved = False
            self._label_width = max(cell_len(item.label) for item in offer.completions)
        height = min(len(offer.completions), ROWS) + 1
        self.styles.height = height
        self.styles.offset = (0, -height)
        self.refresh()

    @property
    def chosen(self) -> Completion | None:
        return self.offer.completions[self._index] if self.offer is not None else None

    def move(self, step: int) -> None:
        """Choose another row, round the ends."""
        assert self.offer is not None
        self.was_moved = True
        self._index = (self._index + step) % len(self.offer.completions)
        self._first = max(min(self._first, self._index), self._index - ROWS + 1)
        self.refresh()

    def render(self) -> Content:
        if self.offer is None:
            return Content()
        shown = self.offer.completions[self._first : self._first + ROWS]
        label_width = min(self._label_width, self.content_size.width // 2)
        rows = [self._row(item, label_width, item is self.chosen) for item in shown]
        return Content("\n").join([*rows, self._hint()])

    def _row(self, item: Completion, label_width: int, is_chosen: bool) -> Content:
        width = self.content_size.width
        label = Content(item.label).truncate(label_width, ellipsis=True, pad=True)
        detail = Content(item.detail).truncate(max(0, width - label_width - 5), ellipsis=True, pad=True)
        if is_chosen:
            return Content.styled(f"› {label.plain}   {detail.plain}", _CHOSEN)
        return Content.assemble("  ", label.stylize(ACCENT), "   ", detail.stylize(MUTED))

    def _hint(self) -> Content:
        assert self.offer is not None
        count = len(self.offer.completions)
        words = _("Tab completes · Enter takes it · Esc closes")
        more = f"{self._index + 1}/{count} · " if count > ROWS else ""
        hint = Content(f"  {more}{words}")
        return hint.truncate(self.content_size.width, ellipsis=True).stylize(FAINT)

    def on_click(self, event: events.Click) -> None:
        event.stop()
        place = event.get_content_offset(self)
        if self.offer is None or place is None:
            return
        index = self._first + place.y
        if place.y < ROWS and index < len(self.offer.completions):
            self.post_message(self.Picked(self.offer.completions[index]))
