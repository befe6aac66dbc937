"""The words of a search, brought out in the conversation, and the way from one message with them to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from localchat.history.search_words import Search
from localchat.ui.widgets.message_view import MessageView, ReplyView

if TYPE_CHECKING:
    from localchat.ui.widgets.transcript import Transcript


class FoundWords:
    """What is marked in a transcript. Without a search nothing is."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self.search = Search("")

    def forget(self) -> None:
        """Take the marks away."""
        if self.search:
            self.search = Search("")
            self.mark_all()

    async def show(self, search: Search, message_id: str | None) -> None:
        """Mark the words in the conversation that is on show, and go to this message."""
        self.search = search
        if message_id is not None:
            await self._go_to(message_id)
        self.mark_all()

    def mark_all(self) -> None:
        """Mark the words in every message that is laid out."""
        for view in self._transcript.views:
            self._mark(view)

    async def step(self, direction: int) -> bool:
        """Go to the next message with the words below the one in focus (above, when -1); False at the ends."""
        ids = [message.id for message in self._transcript.shown]
        holding = [place for place, message in enumerate(self._transcript.shown) if self.search.spans(message.text)]
        focused = self._transcript.focused_view
        here = ids.index(focused.message.id) if focused is not None else len(ids)
        ahead = [place for place in holding[::direction] if (place - here) * direction > 0]
        if not ahead:
            return False
        await self._go_to(ids[ahead[0]])
        self.mark_all()
        return True

    async def _go_to(self, message_id: str) -> None:
        view = await self._transcript.lay_out(message_id)
        if view is None:
            return
        view.focus(scroll_visible=False)

        def when_laid_out() -> None:
            self._transcript.go_to(*self._mark(view))

        view.call_after_refresh(when_laid_out)

    def _mark(self, view: MessageView) -> tuple[Widget, int]:
        """Mark the words in one message; returns the part that has its first one, and the row there."""
        if isinstance(view, ReplyView):
            if view.body is None:
                return view, 0
            return view.body, view.body.mark(self.search) or 0
        from localchat.ui.widgets.reply_markdown import MARKED

        static = view.query(Static).first()
        content = Content(static.content.plain if isinstance(static.content, Content) else str(static.content))
        for start, end in self.search.spans(content.plain):
            content = content.stylize(MARKED, start, end)
        static.update(content)
        return static, 0
