"""One line with something at its left and something at its right end; the left gives way when it is too narrow."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget


class SplitLine(Widget):
    """Base of the title bar, the status line and the key bar."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.auto_links = False  # what can be clicked looks like the rest of the line
        self._left = Content()
        self._right = Content()

    def show(self, left: Content, right: Content) -> None:
        if not (self._left.is_same(left) and self._right.is_same(right)):
            self._left, self._right = left, right
            self.refresh()

    def render(self) -> Content:
        width = self.content_size.width
        right = self._right
        if right.cell_length > width // 2 and self._left.cell_length + right.cell_length + 2 > width:
            right = right.truncate(max(width // 2, width - self._left.cell_length - 2), ellipsis=True)
        room = max(0, width - right.cell_length - (2 if right.cell_length else 0))
        left = self._left if self._left.cell_length <= room else self._left.truncate(room, ellipsis=True)
        return Content.assemble(left, " " * max(0, width - left.cell_length - right.cell_length), right)
