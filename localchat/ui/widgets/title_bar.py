"""Top line: the conversation's title, and the model that answers."""

from __future__ import annotations

from textual.content import Content

from localchat.translation import _
from localchat.ui.engine_state import EngineState
from localchat.ui.ink import ACCENT, FAINT, MUTED, PLAIN
from localchat.ui.visible_text import one_line
from localchat.ui.widgets.split_line import SplitLine

LONGEST_NAME = 28
"""Cells; names from model files may be whole sentences."""


class TitleBar(SplitLine):
    """`show_title` and `show_engine` each change one half; `show_own` says what the chat has of its own."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._title = Content()
        self._model = Content()
        self._own = Content()

    def show_title(self, title: str) -> None:
        self._title = Content.styled(one_line(title), f"{PLAIN} bold")
        self._show_both()

    def show_own(self, summary: str) -> None:
        """What is different in this chat; "" is nothing."""
        self._own = Content.styled(one_line(summary), ACCENT)
        self._show_both()

    def _show_both(self) -> None:
        dot = Content.styled(" · ", FAINT)
        self.show(self._title, dot.join(part for part in (self._own, self._model) if part.cell_length))

    def show_engine(self, state: EngineState, model_title: str) -> None:
        name = Content(one_line(model_title))
        if name.cell_length > LONGEST_NAME:
            name = name.truncate(LONGEST_NAME, ellipsis=True)
        parts = [name.stylize(MUTED)]
        if state.model is not None:
            parts.append(Content.styled(state.model.precision, MUTED))
            parts.append(Content.styled(state.model.device.upper(), MUTED))
        if state.phase == "resting":
            parts.append(Content.styled(_("unloaded"), MUTED))
        self._model = Content.styled(" · ", FAINT).join(parts)
        self._show_both()
