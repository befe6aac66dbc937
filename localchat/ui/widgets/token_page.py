"""The text of a reply, token by token: coloured by how sure the model was, with one token in focus.

Only the rows in sight are drawn, so that a long reply costs no more than a short one.
"""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual

from localchat.ui.token_colors import Ramp, step_of
from localchat.ui.token_text import Row, row_of
from localchat.ui.token_view import TokenView

FOCUSED = "$background on $primary bold"


class TokenPage(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows the tokens of a `TokenView`. The keys are the screen's: they move the focus, and the page follows it."""

    class Chosen(Message):
        """A token was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, view: TokenView, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.auto_links = False
        self._view = view
        self._focused = 0
        self._rows: list[Row] = []
        self._strips: dict[int, Strip] = {}  # by row
        self._ramp: Ramp | None = None

    @property
    def page_rows(self) -> int:
        """How many rows are in sight."""
        return max(1, self.scrollable_content_region.height)

    def show(self) -> None:
        """Draw everything anew: there are more tokens, or their colours mean something else."""
        self._lay_out()
        self.refresh()

    def focus_token(self, index: int) -> None:
        """Put the focus on this token, and let it be in sight."""
        for each in (self._focused, index):
            for row in self._rows_of(each):
                self._strips.pop(row, None)
        self._focused = index
        if self._rows:
            row = row_of(self._rows, self._view.text.spans[index][0])
            top, height = round(self.scroll_y), self.page_rows
            if not top <= row < top + height:
                self.scroll_to(y=row - height // 3, animate=False, immediate=True)
        self.refresh()

    def token_rows_away(self, index: int, rows: int) -> int:
        """The token that stands so many rows below this one (above, when negative)."""
        here = self._view.text.spans[index][0]
        row = row_of(self._rows, here)
        there = self._rows[min(max(row + rows, 0), len(self._rows) - 1)]
        return self._view.text.at(min(there.start + here - self._rows[row].start, max(there.start, there.end - 1)))

    def _rows_of(self, index: int) -> range:
        """The rows that a token stands in."""
        start, end = self._view.text.spans[index]
        return range(row_of(self._rows, start), row_of(self._rows, max(start, end - 1)) + 1)

    def notify_style_update(self) -> None:
        self._ramp = None
        self._strips.clear()
        super().notify_style_update()

    def on_resize(self) -> None:
        self._lay_out()
        if self._view.tokens:
            self.focus_token(self._focused)

    def _lay_out(self) -> None:
        self._strips.clear()
        width = self.scrollable_content_region.width
        if width:
            self._rows = self._view.text.rows(width)
            self.virtual_size = Size(width, len(self._rows))

    def render_line(self, y: int) -> Strip:
        index, width = y + round(self.scroll_y), self.scrollable_content_region.width
        if index >= len(self._rows):
            return Strip.blank(width, self.visual_style.rich_style)
        if (strip := self._strips.get(index)) is None:
            content = self._styled(self._rows[index]).truncate(width)
            strips = Visual.to_strips(self, content, width, 1, self.visual_style, apply_selection=False, pad=True)
            strip = self._strips[index] = strips[0]
        return strip

    def _styled(self, row: Row) -> Content:
        view = self._view
        content = Content(view.text.text[row.start : row.end])
        if not view.tokens:
            return content
        index = view.text.at(row.start)
        while index < len(view) and view.text.spans[index][0] < row.end:
            shared = view.text.sharing(index)
            start, end = view.text.spans[index]
            focused = self._focused in shared
            if not focused:  # the gap before a word stays blank, so that words stand apart
                piece = view.text.text[start:end]
                start += len(piece) - len(piece.lstrip(" ")) if piece.strip(" ") else 0
            for style in self._styles(index, focused):
                content = content.stylize(style, max(start - row.start, 0), max(end - row.start, 0))
            index = shared.stop
        return content

    def _styles(self, index: int, focused: bool) -> list[str | Style]:
        view, token = self._view, self._view.tokens[index]
        if focused:
            return [FOCUSED]
        styles: list[str | Style] = []
        if token.thinking:
            styles.append("italic")
        if token.origin == "given":
            styles.append("$primary")
        elif token.origin == "end":
            styles.append("$foreground 45%")
        step = step_of(view.doubt(index))
        return [*styles, self._colors.styles[step]] if step else styles

    @property
    def _colors(self) -> Ramp:
        if self._ramp is None:
            self._ramp = Ramp.of(self.app.theme_variables)
        return self._ramp

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place is None or not self._view.tokens:
            return
        index = place.y + round(self.scroll_y)
        if index < len(self._rows):
            row = self._rows[index]
            text = self._view.text.text[row.start : row.end]
            offset = next((n for n in range(len(text)) if Content(text[: n + 1]).cell_length > place.x), None)
            if offset is not None:
                self.post_message(self.Chosen(self._view.text.at(row.start + offset)))
