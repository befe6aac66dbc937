"""Reading a file that the user names into a `Document`. What a file is, its content says, never its name."""

from __future__ import annotations

import zipfile
from pathlib import Path

from localchat.documents import office, pdf
from localchat.documents.document import Document
from localchat.documents.encodings import decode
from localchat.errors import UnreadableFile
from localchat.translation import _

MAX_FILE_BYTES = 64_000_000
MAX_TEXT_BYTES = 8_000_000
MAX_CHARACTERS = 1_000_000
"""About 250,000 tokens of English: more than any model of this size reads."""


def read_document(path: Path) -> Document:
    """The text of a file: plain text, Markdown and code in any usual encoding, PDF, DOCX.

    Raises:
        UnreadableFile: it is not there, not a file, too large, not text, or what reads it is not installed.
    """
    head, size = _look_at(path)
    if b"%PDF-" in head:
        return Document(path.name, "pdf", _checked(path, pdf.read(path, MAX_CHARACTERS)))
    if head.startswith(b"PK") and zipfile.is_zipfile(path):
        return Document(path.name, "docx", _checked(path, office.read(path)))
    if size > MAX_TEXT_BYTES:
        raise _too_large(path)
    text = decode(_bytes_of(path))
    if text is None:
        raise UnreadableFile(
            _("“{name}” is not a text that can be read here.").format(name=path.name),
            _("Text, Markdown, code, PDF and DOCX can be."),
        )
    return Document(path.name, "text", _checked(path, text.replace("\r\n", "\n").replace("\r", "\n")))


def _look_at(path: Path) -> tuple[bytes, int]:
    """The first bytes and the size of a regular file of bearable size."""
    try:
        if path.is_dir():
            raise UnreadableFile(_("“{name}” is a folder.").format(name=path.name), _("Give its files one by one."))
        if path.exists() and not path.is_file():
            raise UnreadableFile(_("“{name}” is not an ordinary file.").format(name=path.name))
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise _too_large(path)
        with path.open("rb") as file:
            return file.read(1024), size
    except FileNotFoundError as error:
        raise UnreadableFile(_("There is no file “{path}”.").format(path=path)) from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _checked(path: Path, text: str) -> str:
    if len(text) > MAX_CHARACTERS:
        raise _too_large(path)
    if not text.strip():
        raise UnreadableFile(_("“{name}” is empty.").format(name=path.name))
    return text.strip("\n").encode("utf-8", "replace").decode("utf-8")  # a PDF may yield halves of characters


def _unreadable(path: Path, error: OSError | ValueError) -> UnreadableFile:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UnreadableFile(_("“{name}” cannot be read: {reason}.").format(name=path.name, reason=reason))


def _too_large(path: Path) -> UnreadableFile:
    return UnreadableFile(
        _("“{name}” is too large to be given to a model.").format(name=path.name),
        _("Give the part of it that matters."),
    )
