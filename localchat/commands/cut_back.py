"""A reply that went round in circles: what is taken back of it, and the words for that."""

from __future__ import annotations

from localchat.events import TextCut
from localchat.translation import _
from localchat.ui.visible_text import one_line

_SHOWN = 40
"""Characters that say where the reply ends that counts."""


def cut_back(cut: TextCut, written: list[str], thought: list[str]) -> None:
    """Take back the last of both."""
    for pieces, count in ((written, cut.text), (thought, cut.thinking)):
        text = "".join(pieces)
        pieces[:] = [text[: len(text) - count]]


def cut_back_in_words(text: str) -> str:
    """What to say where it was printed already; `text` is what stays."""
    end = one_line(text)
    if len(end) > _SHOWN:
        end = end[-_SHOWN:].partition(" ")[2] or end[-_SHOWN:]
    return _("The reply went round in circles and was ended. What is kept of it ends with “{end}”.").format(end=end)
