"""A writing action on a text that stands in no editor: a draft, or a message."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical

from localchat.ui.screens.dialog import Dialog
from localchat.ui.widgets.review_panel import ReviewPanel
from localchat.ui.writing_task import WritingTask


class ReviewScreen(Dialog[ReviewPanel.Ended]):
    """Returns how the user ended it.

    Args:
        takes: what Enter does, in two or three words.
    """

    CSS_PATH = "../dialogs.tcss"

    def __init__(self, writing: WritingTask, takes: str) -> None:
        super().__init__()
        self._panel = ReviewPanel(writing, takes)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="review-dialog"):
            yield self._panel

    @on(ReviewPanel.Ended)
    def _ended(self, event: ReviewPanel.Ended) -> None:
        self.dismiss(event)
