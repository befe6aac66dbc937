"""Files on their way into a question: a long paste as a file of its own, and how files are shown."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from localchat.documents.document import Document
from localchat.translation import _
from localchat.ui.figures import short_count
from localchat.ui.ink import ACCENT, FAINT, MUTED, WARNING
from localchat.ui.visible_text import one_line

LONG_PASTE = 6000
"""Characters from which a paste becomes a file of its own: about two pages, more than one still edits in a composer."""


def pasted_document(text: str, others: Sequence[Document]) -> Document:
    """A long text from the clipboard as a file, under a name that none of the others has."""
    taken = {document.name for document in others}
    name, number = _("Pasted text"), 1
    while name in taken:
        number += 1
        name = f"{_('Pasted text')} {number}"
    return Document(name, "paste", text)


def chip(name: str, tokens: int | None = None, room: int | None = None, *, chosen: bool = False) -> Content:
    """A file on show: its name, and what it costs of the context.

    Args:
        tokens: None while it is not known.
        room: tokens that the context still has; the cost is marked when it is more.
        chosen: the cursor is on it.
    """
    shown = Content(one_line(name))
    if shown.cell_length > 40:
        shown = Content.assemble(shown.truncate(28, ellipsis=True), shown[-10:])
    sign = Content.styled("+ ", FAINT)
    parts = [sign, shown.stylize("$block-cursor-foreground on $block-cursor-background" if chosen else ACCENT)]
    if tokens is not None:
        cost = _("{count} tokens").format(count=short_count(tokens))
        too_much = room is not None and tokens > room
        parts.append(
            Content.styled(
                " " + (_("{cost}, more than fit").format(cost=cost) if too_much else cost),
                WARNING if too_much else MUTED,
            )
        )
    return Content.assemble(*parts)
