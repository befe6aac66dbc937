"""The text of a PDF file, page after page."""

from __future__ import annotations

import logging
from pathlib import Path

from localchat.documents.extra import not_installed
from localchat.errors import UnreadableFile
from localchat.translation import _


def read(path: Path, limit: int) -> str:
    """The text of all pages; reading ends when there are more than `limit` characters.

    Raises:
        UnreadableFile: it is damaged or locked with a password, has no text, or pypdf is not installed.
    """
    try:
        import pypdf
    except ModuleNotFoundError as error:
        raise not_installed("PDF") from error
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it logs every oddity of a file onto the screen
    pages: list[str] = []
    length = 0
    try:
        reader = pypdf.PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableFile(_("“{name}” is locked with a password.").format(name=path.name))
        for page in reader.pages:
            pages.append(page.extract_text().strip())
            length += len(pages[-1])
            if length > limit:
                break
    except UnreadableFile:
        raise
    except Exception as error:  # a damaged PDF makes pypdf fail in every way that Python knows
        raise UnreadableFile(
            _("“{name}” cannot be read as a PDF: {reason}.").format(name=path.name, reason=_reason(error))
        ) from error
    text = "\n\n".join(page for page in pages if page)
    if not text:
        raise UnreadableFile(
            _("“{name}” holds pictures of pages and no text.").format(name=path.name),
            _("Run it through a program that recognises text first."),
        )
    return text


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
