"""A text file that is written back as it was: encoding, byte order mark, line ends, the last one or none."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from localchat.documents.encodings import recognized
from localchat.errors import StorageFailed, UnreadableFile
from localchat.translation import _

MAX_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class TextFile:
    """A text and how it is written as bytes.

    Attributes:
        text: every character of the file but its byte order mark; line ends are as they are.
        encoding: a codec that writes no mark of its own.
    """

    text: str
    encoding: str = "utf-8"
    mark: bytes = b""

    def encoded(self, text: str) -> bytes:
        """Another text as bytes of the same kind.

        Raises:
            StorageFailed: the encoding has not all of its characters.
        """
        try:
            return self.mark + text.encode(self.encoding)
        except UnicodeEncodeError as error:
            raise StorageFailed(
                _("The file is written in {encoding}, which has no “{char}”.").format(
                    encoding=self.encoding, char=text[error.start]
                ),
                _("Nothing was changed. Convert it to UTF-8 first, for example with iconv."),
            ) from error


def text_file(data: bytes, name: str) -> TextFile:
    """The text in `data`, which was read from `name`.

    Raises:
        UnreadableFile: it is no text that can be written back as it was.
    """
    found = recognized(data)
    if found is not None:
        file = TextFile(found.text, found.encoding, found.mark)
        try:
            same = file.encoded(file.text) == data
        except StorageFailed:
            same = False
        if same:
            return file
    raise UnreadableFile(
        _("“{name}” is not a text that can be read here.").format(name=name),
        _("It can be UTF-8, UTF-16, GB18030 or Windows-1252."),
    )


def read_text_file(path: Path) -> TextFile:
    """The text file at `path`. Raises UnreadableFile when it is not there, is none, or is too large."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UnreadableFile(
                _("“{name}” is too large to be given to a model.").format(name=path.name),
                _("Give the part of it that matters."),
            )
        return text_file(path.read_bytes(), path.name)
    except FileNotFoundError as error:
        raise UnreadableFile(_("There is no file “{path}”.").format(path=path)) from error
    except OSError as error:
        raise UnreadableFile(
            _("“{name}” cannot be read: {reason}.").format(name=path.name, reason=error.strerror or error)
        ) from error


def create_text_file(path: Path, file: TextFile, text: str) -> None:
    """Make the file, with a text of the kind of `file`. Raises StorageFailed, also when it is there by now."""
    data = file.encoded(text)
    try:
        with path.open("xb") as written:
            written.write(data)
            written.flush()
            os.fsync(written.fileno())
    except OSError as error:
        raise _not_written(path, error) from error


def write_text_file(path: Path, file: TextFile, text: str) -> bool:
    """Replace the file in one step; false when nothing changed, and then it is not touched.

    Raises:
        StorageFailed: it cannot be written, was changed by somebody else since it was read, or its encoding lacks a
            character. The file is then as it was.
    """
    if text == file.text:
        return False
    data = file.encoded(text)
    path = path.resolve()  # a link stays one
    beside = path.with_name(f".{path.name[:40]}.{os.getpid()}")
    try:
        if path.read_bytes() != file.encoded(file.text):
            raise StorageFailed(
                _("“{name}” was changed by another program in the meantime.").format(name=path.name),
                _("It was left as it is. Try again."),
            )
        with beside.open("wb") as written:
            written.write(data)
            written.flush()
            os.fsync(written.fileno())
        beside.chmod(path.stat().st_mode & 0o7777)
        beside.replace(path)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        beside.unlink(missing_ok=True)
    return True


def _not_written(path: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        _("{path} cannot be written ({reason}).").format(path=path, reason=error.strerror or error),
        _("Make the file and its folder writable, or free some space."),
    )
