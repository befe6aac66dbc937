"""The line over the composer that says what it is for, while that is not a new question."""

from __future__ import annotations

from textual.content import Content

from localchat.translation import _
from localchat.ui.composing import Composing
from localchat.ui.ink import ACCENT, FAINT, MUTED
from localchat.ui.visible_text import one_line
from localchat.ui.widgets.split_line import SplitLine


class PurposeLine(SplitLine):
    """Takes no room while there is nothing to say."""

    def show_purpose(self, composing: Composing | None) -> None:
        self.display = composing is not None
        if composing is None:
            return
        words = Content.styled(_title(composing), f"{ACCENT} bold")
        if composing.kind == "begin" and not composing.message_id:
            words += Content.styled(f"  {one_line(composing.parked)}", FAINT)
        self.show(words, Content.styled(_keys(composing), MUTED))


def _title(composing: Composing) -> str:
    if composing.kind == "summary":
        return _("The summary that the model sees of older messages")
    return _("Editing your question") if composing.kind == "edit" else _("The reply begins with")


def _keys(composing: Composing) -> str:
    if composing.kind == "summary":
        return _("Enter keeps it · Esc gives up")
    if composing.kind == "edit":
        return _("Enter asks anew · Esc gives up")
    return _("Enter sends it · Esc gives up")
