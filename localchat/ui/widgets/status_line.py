"""The line under the composer: what the engine is doing, and how full its context is."""

from __future__ import annotations

from typing import ClassVar

from textual.content import Content
from textual.style import Style

from localchat.translation import _
from localchat.ui.engine_state import EngineState, describe
from localchat.ui.figures import short_count
from localchat.ui.ink import ACCENT, ERROR, FAINT, MUTED, WARNING
from localchat.ui.widgets.split_line import SplitLine

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_METER_CELLS = 8


def meter(fraction: float, cells: int = _METER_CELLS) -> Content:
    """A thin bar: heavy where it is full and light where it is empty, so that it reads without colour."""
    full = round(max(0.0, min(1.0, fraction)) * cells)
    if fraction > 0:
        full = max(1, full)
    color = WARNING if fraction >= 0.9 else ACCENT
    return Content.assemble(("━" * full, color), ("─" * (cells - full), FAINT))


class StatusLine(SplitLine):
    """Shows an `EngineState`, or a persistent remark when the engine has nothing to say."""

    TICK_S: ClassVar[float] = 0.125

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._state = EngineState()
        self._remark = ""
        self._step = 0

    def on_mount(self) -> None:
        self._timer = self.set_interval(self.TICK_S, self._tick, pause=True)
        self._compose_line()

    def show_engine(self, state: EngineState) -> None:
        """Show this; while the phase stays the same, with the next tick."""
        before, self._state = self._state, state
        if not self.is_mounted or (state.busy and state.phase == before.phase):
            return
        if state.busy:
            self._timer.resume()
        else:
            self._timer.pause()
        self._compose_line()

    def show_remark(self, remark: str) -> None:
        """Something that stays true, such as that nothing is being saved."""
        self._remark = remark
        self._compose_line()

    def _tick(self) -> None:
        self._step += 1
        self._compose_line()

    def _compose_line(self) -> None:
        self.show(self._left_part(), self._right_part())

    def _left_part(self) -> Content:
        state = self._state
        words = describe(state)
        if not words:
            return Content.styled(self._remark, WARNING)
        if state.phase == "failed":
            return Content.assemble(("! ", f"{ERROR} bold"), (words, ERROR))
        if not state.busy:
            return Content.styled(words, MUTED)
        sign = _SPINNER[self._step % len(_SPINNER)] if self.app.animation_level != "none" else "•"
        return Content.assemble((sign, ACCENT), " ", (words, MUTED))

    def _right_part(self) -> Content:
        state = self._state
        if state.model is None or state.context_used is None:
            return Content()
        total = state.model.context_length
        used = _("{used} of {total}").format(used=short_count(state.context_used), total=short_count(total))
        shown = Content.assemble(
            (_("context"), FAINT), " ", meter(state.context_used / total if total else 0), (f" {used}", MUTED)
        )
        return shown.stylize(Style.from_meta({"@click": "screen.context"}))
