"""Files that come back as they were: byte for byte where nothing changed, in their own encoding where something did."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from localchat.errors import StorageFailed, UnreadableFile
from localchat.writing.text_file import read_text_file, write_text_file

TEXT = "第一行：他门来了。\n\nThe secnd line.\n"
KINDS = {
    "utf-8": TEXT.encode(),
    "crlf": TEXT.replace("\n", "\r\n").encode(),
    "mixed line ends": TEXT.replace("\n", "\r\n", 1).encode(),
    "old mac": TEXT.replace("\n", "\r").encode(),
    "no final newline": TEXT.rstrip("\n").encode(),
    "bom": codecs.BOM_UTF8 + TEXT.encode(),
    "bom and crlf": codecs.BOM_UTF8 + TEXT.replace("\n", "\r\n").encode(),
    "gb18030": (TEXT * 3).encode("gb18030"),
    "gb18030 crlf": (TEXT * 3).replace("\n", "\r\n").encode("gb18030"),
    "utf-16 le": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
    "utf-16 be": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "utf-16 without a mark": (TEXT * 3).encode("utf-16-le"),
    "utf-32": codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
    "windows-1252": "The “secnd” line – caf\xe9.\n".encode("cp1252"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_without_changes_is_not_touched(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "text"
    path.write_bytes(KINDS[kind])
    before = path.stat()
    file = read_text_file(path)
    assert not write_text_file(path, file, file.text)
    assert path.read_bytes() == KINDS[kind] == file.encoded(file.text)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_leaves_every_other_byte(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "text"
    path.write_bytes(KINDS[kind])
    file = read_text_file(path)
    assert write_text_file(path, file, file.text.replace("secnd", "second"))
    wrong, right = (word.encode(file.encoding) for word in ("secnd", "second"))
    assert path.read_bytes() == KINDS[kind].replace(wrong, right) != KINDS[kind]
    assert list(tmp_path.iterdir()) == [path]


def test_what_the_encoding_lacks_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(KINDS["windows-1252"])
    file = read_text_file(path)
    with pytest.raises(StorageFailed, match="cp1252, which has no “咖”"):
        write_text_file(path, file, "咖啡")
    assert path.read_bytes() == KINDS["windows-1252"]


def test_a_file_that_another_program_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"one")
    file = read_text_file(path)
    path.write_bytes(b"two")
    with pytest.raises(StorageFailed, match="changed by another program"):
        write_text_file(path, file, "three")
    assert path.read_bytes() == b"two"


def test_links_and_permissions_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "text", tmp_path / "link"
    path.write_text("one", encoding="utf-8")
    path.chmod(0o640)
    link.symlink_to(path)
    assert write_text_file(link, read_text_file(link), "two")
    assert link.is_symlink()
    assert path.read_text(encoding="utf-8") == "two"
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("data", [b"\x00\x01\x02\xff", b"\x89PNG\r\n\x1a\n" + bytes(range(256))])
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(UnreadableFile):
        read_text_file(tmp_path / "file")
