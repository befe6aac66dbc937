"""Keeping what was decided about changes at the terminal, where the settings want that."""

from __future__ import annotations

from localchat.commands.passphrase import open_history
from localchat.commands.writer import Written
from localchat.config import load_config
from localchat.writing.decided import decided
from localchat.writing.review import Review


def keep_decisions(review: Review, done: Written) -> None:
    """Put them into the history, if the user agreed to that in the app or in the settings."""
    edits = decided(done.work, review, done.model)
    if edits and load_config().keep_edits == "on":
        with open_history() as store:
            store.keep_edits(edits)
