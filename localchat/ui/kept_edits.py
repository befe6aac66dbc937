"""Keeping what the user took and left of a model's changes, if they agreed to that, and asking once whether they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localchat.translation import _
from localchat.writing.decided import decided

if TYPE_CHECKING:
    from localchat.ui.app import LocalChatApp
    from localchat.ui.widgets.review_panel import ReviewPanel


async def keep_decisions(app: LocalChatApp, ended: ReviewPanel.Ended, *, is_private: bool) -> None:
    """Keep the decisions of a review that the user ended, unless they are not to be kept or the chat is private.

    Args:
        is_private: whether the chat was that the text belongs to.

    Raises:
        HistoryUnavailable: they cannot be written.
    """
    if ended.review is None or ended.writing.work is None or is_private or not app.session.saved.is_saved:
        return
    edits = decided(ended.writing.work, ended.review, ended.writing.model, ended.writing.wish.start)
    if edits and await _may_keep(app):
        app.session.saved.keep_edits(edits)


async def _may_keep(app: LocalChatApp) -> bool:
    """What the settings say; where they say nothing, what the user answers, and from then on the settings."""
    from localchat.ui.screens.choice import ChoiceScreen

    if not app.config.keep_edits:
        answer = await app.push_screen_wait(
            ChoiceScreen(
                _("Keep what you take and leave?"),
                _(
                    "A model can be tuned on it later, so that it writes as you do. Kept are the passage, the model's"
                    " version, and what you took of it: in your history on this machine, and nowhere else. Nothing of"
                    " private chats is ever kept. `localchat edits` counts, exports and erases them."
                ),
                {"on": _("Keep them"), "off": _("Never keep them")},
            )
        )
        if answer is None:
            return False  # asked again the next time
        app.config = app.config.changed({"keep_edits": answer})
        app.keep("keep_edits", answer)
    return app.config.keep_edits == "on"
