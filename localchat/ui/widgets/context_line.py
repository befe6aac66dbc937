"""The line over the composer that says what the model will no longer see, before the message is sent."""

from __future__ import annotations

from textual.content import Content
from textual.style import Style

from localchat.translation import _
from localchat.ui.context_rows import LedgerView
from localchat.ui.ink import FAINT, MUTED, WARNING
from localchat.ui.visible_text import one_line
from localchat.ui.widgets.split_line import SplitLine


class ContextLine(SplitLine):
    """Takes no room while everything fits."""

    def show_view(self, view: LedgerView | None, told: int = 0, *, summing: bool = False) -> None:
        """Show what this ledger leaves out, or why it cannot be sent.

        Args:
            told: so many messages were left out of the last reply already: a calmer word is enough.
            summing: a summary is being made of what will go.
        """
        words = self._words(view, told)
        if summing and not words.cell_length:
            words = Content.styled(_("Summing up what will soon no longer fit…"), MUTED)
        self.display = bool(words.cell_length)
        if view is not None and self.display:
            more = Content.styled("/context", FAINT).stylize(Style.from_meta({"@click": "screen.context"}))
            self.show(words, more)
        else:
            self.show(words, Content())

    @staticmethod
    def _words(view: LedgerView | None, told: int) -> Content:
        if view is None:
            return Content()
        if view.ledger.refusal:
            return Content.styled(f"! {one_line(view.ledger.refusal)}", WARNING)
        named = view.named()
        if not named:
            return Content()
        is_news = len(view.ledger.gone) > told
        return Content.styled(f"! {named}", WARNING) if is_news else Content.styled(named, MUTED)
