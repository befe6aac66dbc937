"""What a model thought before it answered: one line that says how long, and unfolds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from localchat.translation import _, plural
from localchat.ui.figures import duration
from localchat.ui.ink import FAINT
from localchat.ui.shown import ReplyFigures

if TYPE_CHECKING:
    from localchat.ui.widgets.reply_markdown import ReplyMarkdown

COUNTING_S = 0.2
"""Between two looks at the number of tokens while it grows."""


class ThinkingPart(Vertical):
    """Folded at first; its text costs nothing until it is unfolded."""

    def __init__(self, text: str, figures: ReplyFigures | None = None, *, unfolded: bool = False) -> None:
        super().__init__()
        self.text = text
        self.unfolded = unfolded
        self._figures = figures
        self._tokens = 0
        self._counted_at = 0.0
        self._began = time.monotonic()
        self._head = Static(classes="thinking-head", markup=False)
        self._head.auto_links = False
        self._body: ReplyMarkdown | None = None

    def compose(self) -> ComposeResult:
        yield self._head
        if self.unfolded:
            yield self._make_body()

    def on_mount(self) -> None:
        self._show_head()

    def _make_body(self) -> ReplyMarkdown:
        from localchat.ui.widgets.reply_markdown import ReplyMarkdown

        self._body = ReplyMarkdown(self.text, classes="thinking-body")
        return self._body

    def grow(self, text: str, tokens: int) -> None:
        """The model thinks on; `tokens` so far."""
        self.text += text
        self._tokens = tokens
        if self._body is not None:
            self._body.write(text)
        now = time.monotonic()
        if now - self._counted_at >= COUNTING_S:
            self._counted_at = now
            self._show_head()

    def end(self) -> None:
        """The answer begins. Until the engine's own figures come, the time is the one that the reader has waited."""
        if self._figures is None:
            waited = time.monotonic() - self._began
            self._figures = ReplyFigures(thinking_tokens=self._tokens, thinking_seconds=waited)
            self._show_head()

    async def finish(self, text: str, figures: ReplyFigures | None) -> None:
        """The reply has ended, and with it what was thought."""
        self._figures = figures
        if self._body is not None:
            await self._body.finish()
            if text != self.text:
                self._body.show(text)
        self.text = text
        self._show_head()

    def fold(self, folded: bool) -> None:
        """Hide or show what was thought."""
        if folded == self.unfolded:
            self.unfolded = not folded
            if self._body is None:
                self.mount(self._make_body())
            else:
                self._body.display = self.unfolded
            self._show_head()

    def toggle(self) -> None:
        self.fold(self.unfolded)

    def on_click(self, event: events.Click) -> None:
        if event.widget is self._head:
            event.stop()
            self.toggle()

    def _show_head(self) -> None:
        sign = "▾" if self.unfolded else "▸"
        self._head.update(Content.styled(f"{sign} {self._sentence()}", FAINT))

    def _sentence(self) -> str:
        figures = self._figures
        if figures is None:
            if not self._tokens:
                return _("Thinking…")
            return plural("Thinking… {count} token", "Thinking… {count} tokens", self._tokens).format(
                count=f"{self._tokens:,}"
            )
        if not figures.thinking_tokens:
            return _("Thinking that was interrupted")
        sentence = plural(
            "Thought for {time}, {count} token", "Thought for {time}, {count} tokens", figures.thinking_tokens
        )
        return sentence.format(time=duration(figures.thinking_seconds), count=f"{figures.thinking_tokens:,}")
