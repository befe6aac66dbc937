"""What to say when the libraries for PDF and DOCX, which are an extra, are not installed."""

from __future__ import annotations

from localchat.errors import UnreadableFile
from localchat.translation import _


def not_installed(kind: str) -> UnreadableFile:
    return UnreadableFile(
        _("Reading {kind} files needs libraries that are not installed.").format(kind=kind),
        _("Install them: pip install 'localchat[documents]'"),
    )
