"""A calm word in the transcript about something that went wrong: what happened, what to do, nothing lost."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from localchat.ui.visible_text import visible_text


class Notice(Static):
    """One or two sentences."""

    def __init__(self, text: str) -> None:
        super().__init__(Content(visible_text(text)), markup=False)
        self.text = text
