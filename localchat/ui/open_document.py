"""A text that is open beside its conversation: how its file was when it was read or written last, and how it is now."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from localchat.errors import UnreadableFile
from localchat.history.documents import StoredDocument
from localchat.translation import _
from localchat.ui.document_lines import DocumentLines
from localchat.writing.text_file import TextFile, create_text_file, read_text_file, write_text_file

LONGEST = 1_000_000
"""Characters of a text that can be shown beside its conversation."""


@dataclass
class OpenDocument:
    """One such text.

    Attributes:
        file: as it was read or written last.
        lines: as it is now.
        place: of the cursor, in characters of what is shown.
        kept: the text that the history has.
    """

    path: Path
    file: TextFile
    lines: DocumentLines
    place: int = 0
    kept: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, path: Path) -> OpenDocument:
        """The file at `path`; an empty text when it is not there yet. Raises UnreadableFile."""
        file = _read(path)
        return cls(path, file, DocumentLines(file.text))

    @classmethod
    def from_record(cls, record: StoredDocument) -> OpenDocument:
        file = TextFile(record.saved, record.encoding, record.mark)
        return cls(Path(record.path), file, DocumentLines(record.text), kept=record.text)

    def as_record(self) -> StoredDocument:
        return StoredDocument(str(self.path), self.file.encoding, self.file.mark, self.file.text, self.lines.text)

    @property
    def has_unsaved(self) -> bool:
        return self.lines.text != self.file.text

    @property
    def changed_on_disk(self) -> bool:
        """Whether the file is another one than it was when it was read or written last."""
        try:
            return self.path.exists() and _read(self.path) != self.file
        except UnreadableFile:
            return True

    def save(self) -> bool:
        """Write it into its file; false when nothing was to be written.

        Raises:
            StorageFailed: somebody else changed the file, or it cannot be written. It is then as it was.
        """
        text = self.lines.text
        if not self.path.exists():
            create_text_file(self.path, self.file, text)
        elif not write_text_file(self.path, self.file, text):
            return False
        self.file = replace(self.file, text=text)
        return True

    def take_from_disk(self) -> None:
        """Go on with what the file holds; what was not saved is gone. Raises UnreadableFile."""
        self.stand_on_disk()
        self.lines = DocumentLines(self.file.text)

    def stand_on_disk(self) -> str:
        """Take the file as it is now for what was read, so that the text here is another version of it; returns what is
        shown of the file. Raises UnreadableFile."""
        self.file = _read(self.path)
        return DocumentLines(self.file.text).shown


def _read(path: Path) -> TextFile:
    """The file, or an empty text when it is not there but could be."""
    if not path.exists() and path.parent.is_dir():
        return TextFile("")
    file = read_text_file(path)
    if len(file.text) > LONGEST:
        raise UnreadableFile(
            _("“{name}” is too long to be shown here.").format(name=path.name),
            _("`localchat write` does an action on it without showing it."),
        )
    return file
