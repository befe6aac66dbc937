"""Files on their way into a question: what a terminal pastes when one is dropped on it, and how files are shown."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from textual.content import Content

from localchat.documents.document import Document
from localchat.translation import _
from localchat.ui.figures import short_count
from localchat.ui.ink import ACCENT, FAINT, MUTED, WARNING
from localchat.ui.visible_text import one_line

LONG_PASTE = 6000
"""Characters from which a paste becomes a file of its own: about two pages, more than one still edits in a composer."""

_LONGEST_DROP = 8000
_WINDOWS_PATH = re.compile(r'"?[A-Za-z]:[\\/]')


def dropped_paths(pasted: str) -> list[Path]:
    """The files that a paste names, when it is made of absolute paths of existing files and nothing else.

    Terminals write a path that is dropped on them in quotes, with backslashes before blanks, as a file: address, or
    plain; several stand side by side or on lines of their own.
    """
    text = pasted.strip()
    if not text or len(text) > _LONGEST_DROP or not _looks_like_path(text):
        return []
    for words in (text.splitlines(), _words(text)):
        paths = [_path(word.strip()) for word in words if word.strip()]
        if paths and all(path is not None for path in paths):
            return [path for path in paths if path is not None]
    return []


def _looks_like_path(text: str) -> bool:
    return text.startswith(("/", "~/", "'/", '"/', "file://")) or _WINDOWS_PATH.match(text) is not None


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, posix=os.name != "nt")
    except ValueError:  # a quote that is never closed
        return []


def _path(word: str) -> Path | None:
    """The existing file that one word names, in any of the ways."""
    unquoted = _words(word)
    readings = [word, *unquoted] if len(unquoted) == 1 else [word]
    if word.startswith("file://"):
        readings = [unquote(urlsplit(word).path)]
    for reading in readings:
        path = Path(reading.strip("\"'")).expanduser()
        try:
            if path.is_absolute() and path.is_file():
                return path
        except OSError:  # longer than a path may be
            return None
    return None


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
