"""Markdown written by a model: streamed at a steady pace, drawn row by row, and never trusted.

One widget, however long the text is: a widget for every paragraph, as Textual's Markdown has, costs ten times what the
text itself does, and more with every block above. Links do not open, HTML is text.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

from textual.geometry import Region, Size
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual
from textual.widget import Widget

from localchat.history.search_words import Search
from localchat.ui.reading.lines import Line
from localchat.ui.reading.marking import Span, marks
from localchat.ui.reading.page import Page
from localchat.ui.widgets.reply_messages import CodeChosen, LinkChosen

FRAME_S = 1 / 16
"""Shortest time between two updates of a streaming reply."""

LONGEST_FRAME_S = 0.4
"""Longest time between them, however slow the machine: a reader notices half a second."""

BREATH = 8
"""An update that took t seconds of the processor, drawing included, is followed by this many t of rest: the engine
needs it more. So a slow machine sees fewer frames, never slower tokens."""

STEPS = 10
"""A growing reply makes itself room by this share of the window's rows: in between, the screen need not be laid out,
and the text above stands still for the reader."""

MARKED = "$block-cursor-foreground on $block-cursor-background"


class ReplyMarkdown(Widget):
    """The text of a reply. `write` adds to its end; `finish` waits until everything is on screen."""

    def __init__(self, text: str = "", *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self.page = Page(text)
        self.auto_links = False
        self._rows: list[Line] = []
        self._rows_width = 0
        self._room = 0
        self._grows = False
        self._strips: dict[int, tuple[Line, Strip]] = {}
        self._search = Search("")
        self._marks: tuple[Sequence[Line], dict[int, list[Span]]] = ((), {})
        self._waiting: list[str] = []
        self._writer: asyncio.Task[None] | None = None

    @property
    def source(self) -> str:
        return self.page.source

    # ---- text

    def write(self, text: str) -> None:
        """Show `text` within a frame or two; never blocks."""
        self._grows = True
        self._waiting.append(text)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())

    async def finish(self) -> None:
        """Wait until everything is on screen, read as a whole."""
        if self._writer is not None:
            await self._writer
            self._writer = None
            self._grows = False
            self.page.finish()
            self._show_changes()

    def show(self, text: str) -> None:
        """Replace the text."""
        self._waiting.clear()
        self.page.replace(text)
        self._show_changes()

    async def _write_all(self) -> None:
        while self._waiting:
            text = "".join(self._waiting)
            self._waiting.clear()
            began = time.thread_time()
            self.page.append(text)
            self._show_changes()
            await self._drawn_at_last()
            took = time.thread_time() - began
            await asyncio.sleep(min(LONGEST_FRAME_S, max(FRAME_S, BREATH * took)))

    async def _drawn_at_last(self) -> None:
        """Wait until what was appended is on screen."""
        done = asyncio.Event()
        if self.call_after_refresh(done.set):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), LONGEST_FRAME_S)

    def _show_changes(self) -> None:
        """Draw what is different; lay the screen out anew only when there are more or fewer rows."""
        before, width = self._rows, self._rows_width
        if not width or not self.is_attached:
            self.refresh(layout=True)
            return
        self._rows = self.page.rows(width)
        first = self._keep_same_rows(before)
        last = max(len(before), len(self._rows))
        room = self._room
        if self._grows:
            step = max(2, self.screen.size.height // STEPS)
            self._room = max(room, -(-len(self._rows) // step) * step)
        else:
            self._room = len(self._rows)
        if first < last or room != self._room:
            self.refresh(Region(0, first, width, last - first), layout=room != self._room)

    def _keep_same_rows(self, before: Sequence[Line]) -> int:
        """Let rows that look as they did be the same objects, which are drawn already; returns the first other one."""
        first = min(len(before), len(self._rows))
        for y in range(first - 1, -1, -1):
            old, new = before[y], self._rows[y]
            if old is new:
                continue
            if old.looks_like(new):
                self._rows[y] = old
            else:
                first = y
        return first

    # ---- rows

    def rows(self, width: int) -> Sequence[Line]:
        if width != self._rows_width:
            self._rows, self._rows_width = self.page.rows(width), width
            self._room = 0
            self._strips.clear()
        return self._rows

    def get_content_width(self, container: Size, viewport: Size) -> int:  # noqa: ARG002
        return container.width

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        self._room = max(len(self.rows(width)), self._room if self._grows else 0)
        return self._room

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        rows = self.rows(width)
        if y >= len(rows):
            return Strip.blank(width, self.visual_style.rich_style)
        known = self._strips.get(y)
        if known is None or known[0] is not rows[y]:
            known = self._strips[y] = rows[y], self._drawn(rows[y], y, width)
        return known[1]

    def _drawn(self, row: Line, y: int, width: int) -> Strip:
        content = row.content
        for span in self._marks_of(self._rows).get(y, ()):
            content = content.stylize(MARKED, *span)
        if (selection := self.text_selection) is not None and (selected := selection.get_span(y)) is not None:
            start, end = selected
            content = content.stylize(self._selection_style, start, len(content) if end == -1 else end)
        if row.fill:
            content = content.pad_right(max(0, width - content.cell_length)).stylize_before(row.fill)
        strips = Visual.to_strips(self, content, width, 1, self.visual_style, apply_selection=False, pad=True)
        return (strips[0] if strips else Strip.blank(width)).apply_offsets(0, y)

    def notify_style_update(self) -> None:
        self._strips.clear()
        super().notify_style_update()

    def selection_updated(self, selection: Selection | None) -> None:
        self._strips.clear()
        super().selection_updated(selection)

    @property
    def _selection_style(self) -> Style:
        return Style.from_styles(self.screen.get_component_styles("screen--selection"))

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        """The text under the selection as it was written: without bars and indents, and with wrapped rows joined."""
        parts: list[str] = []
        for y, row in enumerate(self._rows):
            if (span := selection.get_span(y)) is None:
                continue
            start, end = span
            text = row.content.plain
            parts += [row.joint if parts else "", text[max(start, row.decoration) : len(text) if end == -1 else end]]
        return "".join(parts), "\n"

    # ---- words that were searched for

    def mark(self, search: Search) -> int | None:
        """Highlight these words wherever they stand; none ends it. Returns the row of the first, if it is there."""
        self._search = search
        self._marks = ((), {})
        self._strips.clear()
        self.refresh()
        return min(self._marks_of(self._rows), default=None)

    def _marks_of(self, rows: Sequence[Line]) -> dict[int, list[Span]]:
        if self._search and self._marks[0] is not rows:
            self._marks = (rows, marks(rows, self._search))
        return self._marks[1]

    # ---- what can be clicked

    def action_link(self, address: str) -> None:
        self.post_message(LinkChosen(address))

    def action_copy_code(self, index: int) -> None:
        codes = self.page.codes
        if index < len(codes):
            self.post_message(CodeChosen(codes[index].code))

    @property
    def links(self) -> list[tuple[str, str]]:
        """Words and address of every link, in order, each address once."""
        found: dict[str, str] = {}
        for row in self._rows:
            for span in row.content.spans:
                if isinstance(span.style, Style) and (address := span.style.meta.get("address")):
                    words = row.content.plain[span.start : span.end]
                    found[address] = f"{found[address]} {words}" if address in found else words
        return [(words, address) for address, words in found.items()]
