"""Writing the open chat into a file that the user names, or that is named after the chat."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from localchat.errors import InvalidSetting, StorageFailed
from localchat.history.exporting import FORMATS, ExportFormat, format_of, free_path, rendered, write_text
from localchat.translation import _
from localchat.ui.visible_text import one_line

if TYPE_CHECKING:
    from localchat.ui.session import ChatSession


def has_words(session: ChatSession) -> bool:
    """Whether the open chat has anything to take along."""
    return session.chat is not None and session.chat.leaf_id is not None


def export_as_wished(session: ChatSession, wish: str) -> Path:
    """Write the open chat where, and as what, a command says; returns the path of the new file.

    Args:
        wish: a path, whose ending says the format, or a format.

    Raises:
        InvalidSetting: it says no format, or the file is there already.
        StorageFailed: it cannot be written.
    """
    path = Path(wish.strip("\"'")).expanduser()
    kind = FORMATS.get(wish) or format_of(path)
    if kind is None:
        raise InvalidSetting(_("A file to export to ends in .md, .html or .json."))
    if wish in FORMATS:
        path = free_path(session.title, kind)
    if path.exists():
        raise InvalidSetting(_("{path} is there already.").format(path=one_line(str(path))))
    write_export(session, path, kind)
    return path


def write_export(session: ChatSession, path: Path, kind: ExportFormat) -> None:
    """Write the open chat into a file; one that is there is replaced.

    Raises:
        StorageFailed: it cannot be written.
    """
    chat = session.chat
    if chat is None or not path.parent.is_dir():
        raise StorageFailed(_("There is no folder {folder}.").format(folder=path.parent))
    write_text(path, rendered(session.store, chat, kind))
