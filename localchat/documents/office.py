"""The text of a DOCX file as plain Markdown: headings, lists and tables keep their form."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from localchat.documents.extra import not_installed
from localchat.errors import UnreadableFile
from localchat.translation import _

if TYPE_CHECKING:
    from docx.document import Document as WordDocument
    from docx.table import Table
    from docx.text.paragraph import Paragraph

MAX_UNPACKED_BYTES = 200_000_000
_HEADING = re.compile(r"Heading ([1-6])$|(Title)$")


def read(path: Path) -> str:
    """The text in reading order.

    Raises:
        UnreadableFile: it is another kind of archive, damaged, unpacks to too much, or python-docx is not installed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise _damaged(path) from error
    if not any(member.filename == "word/document.xml" for member in members):
        raise UnreadableFile(
            _("“{name}” is an archive of another kind than DOCX.").format(name=path.name), _("Unpack it first.")
        )
    if sum(member.file_size for member in members) > MAX_UNPACKED_BYTES:
        raise UnreadableFile(_("“{name}” is too large to be given to a model.").format(name=path.name))
    try:
        import docx
    except ModuleNotFoundError as error:
        raise not_installed("DOCX") from error
    try:
        return "\n".join(_lines(docx.Document(str(path)))).strip()
    except Exception as error:  # a damaged file fails anywhere in the XML below
        raise _damaged(path) from error


def _lines(document: WordDocument) -> Iterator[str]:
    from docx.table import Table

    for block in document.iter_inner_content():
        if isinstance(block, Table):
            yield from _table(block)
        else:
            yield _paragraph(block)
            yield ""


def _paragraph(paragraph: Paragraph) -> str:
    text = paragraph.text.strip()
    style = paragraph.style.name if paragraph.style is not None and paragraph.style.name else ""
    if text and (heading := _HEADING.match(style)):
        return f"{'#' * int(heading[1] or 1)} {text}"
    if text and style.startswith("List Bullet"):
        return f"- {text}"
    return text


def _table(table: Table) -> Iterator[str]:
    for index, row in enumerate(table.rows):
        cells = [" ".join(cell.text.split()) for cell in row.cells]
        yield f"| {' | '.join(cells)} |"
        if index == 0:
            yield f"|{'---|' * len(cells)}"
    yield ""


def _damaged(path: Path) -> UnreadableFile:
    return UnreadableFile(_("“{name}” is damaged and cannot be read.").format(name=path.name))
