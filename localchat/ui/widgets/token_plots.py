"""Two small plots over the whole reply: how unsure the model was, and how fast it wrote."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from localchat.translation import _
from localchat.ui.figures import speed
from localchat.ui.ink import ACCENT, MUTED, WARNING
from localchat.ui.token_view import TokenView

_BLOCKS = " ▁▂▃▄▅▆▇█"
_AROUND = 2  # tokens beside a column: the time of a single one is mostly chance
_SHORTEST_S = 1e-4
_PEAK = 1.6  # times the median
_HERE = "$foreground on $foreground 25%"


class TokenPlots(Widget):
    """Shows a `TokenView`; the column of the token in focus is marked."""

    class Chosen(Message):
        """A place of a plot was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, view: TokenView, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._view = view
        self._index = 0
        self._columns: list[range] = []
        self._left = 0

    def show(self, index: int) -> None:
        self._index = index
        self.refresh()

    def render(self) -> Content:
        view, size = self._view, self.content_size
        if not view.tokens or size.width < 40:
            return Content()
        entropies = [token.token.entropy for token in view.tokens]
        names = (_("entropy"), _("speed"))
        said = (_("up to {bits} bits").format(bits=f"{max(entropies):.1f}"), self._usual_speed())
        self._left = max(map(cell_len, names)) + 2
        width = size.width - self._left - max(map(cell_len, said)) - 2
        self._columns = columns(len(view), width)
        lines = self._plot(names[0], said[0], WARNING, [max(entropies[c.start : c.stop]) for c in self._columns])
        lines += self._plot(names[1], said[1], ACCENT, without_peaks([self._speed(c) for c in self._columns]))
        return Content("\n").join(lines)

    def _plot(self, name: str, said: str, color: str, values: Sequence[float]) -> list[Content]:
        height = max(1, self.content_size.height // 2)
        here = next((place for place, column in enumerate(self._columns) if self._index in column), 0)
        lines = []
        for row, text in enumerate(plotted(values, height)):
            plot = Content.styled(text, color).stylize(_HERE, here, here + 1)
            left = name if row == height - 1 else ""
            right = f"  {said}" if row == height - 1 else ""
            gap = " " * (self._left - cell_len(left))
            lines.append(Content.assemble((left, MUTED), gap, plot, (right, MUTED)))
        return lines

    def _speed(self, column: range) -> float:
        """Tokens a second around here; 0 where that is not known."""
        times = self._times(range(max(0, column.start - _AROUND), min(len(self._view), column.stop + _AROUND)))
        return len(times) / max(sum(times), _SHORTEST_S) if times else 0.0

    def _usual_speed(self) -> str:
        times = self._times(range(len(self._view)))
        return speed(len(times) / max(sum(times), _SHORTEST_S)) if times else _("not kept")

    def _times(self, tokens: range) -> list[float]:
        return [seconds for each in tokens if (seconds := self._view.seconds(each)) is not None]

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place is not None and 0 <= (column := place.x - self._left) < len(self._columns):
            self.post_message(self.Chosen(self._columns[column].start))


def without_peaks(values: Sequence[float]) -> list[float]:
    """None far above the usual, which would press all others flat: a speed has such peaks, by its nature."""
    most = statistics.median(values) * _PEAK if values else 0.0
    return [min(value, most) for value in values]


def columns(count: int, width: int) -> list[range]:
    """So many tokens in at most so many columns: each has one at least, and all have as many, as near as can be."""
    width = min(width, count)
    return [range(place * count // width, (place + 1) * count // width) for place in range(width)]


def plotted(values: Sequence[float], height: int) -> list[str]:
    """Bars so many rows high, the topmost row first; the largest value fills them."""
    most = max([*values, 1e-9])
    eighths = [round(value / most * height * 8) if value > 0 else 0 for value in values]
    rows = []
    for row in range(height - 1, -1, -1):
        rows.append("".join(_BLOCKS[min(max(each - row * 8, 0), 8)] for each in eighths))
    return rows
