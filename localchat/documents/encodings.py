"""Which characters the bytes of a text file stand for.

UTF-8, and what else people who write Chinese and English have: UTF-16 with or without its mark, GB18030
(with GBK and GB2312 in it), and Windows-1252 with its curly quotes. Nothing is guessed that does not look right.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

_MARKED = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LAYOUT = "\t\n\r\f\x08\x1b"
"""Controls that texts hold: white space, and the backspaces and colours of manual pages and logs."""

_SAMPLE = 100_000
"""Characters that are looked at to judge an encoding."""


def decode(data: bytes) -> str | None:
    """The text, without a byte order mark; None when this is no text in an encoding that we know."""
    found = recognized(data)
    return found.text if found else None


@dataclass(frozen=True, slots=True)
class Recognized:
    """A text, and how it is written as bytes: a mark, then `encoding` (a codec that writes no mark of its own)."""

    text: str
    encoding: str
    mark: bytes = b""


def recognized(data: bytes) -> Recognized | None:
    """The text with its encoding; None when this is no text in an encoding that we know."""
    for mark, encoding in _MARKED:
        if data.startswith(mark):
            return _read_as(data[len(mark) :], encoding, mark)
    if 0 in data:
        return _unmarked_utf16(data)
    for encoding, looks_right in (("utf-8", _is_text), ("gb18030", _is_chinese), ("cp1252", _is_western)):
        found = _read_as(data, encoding)
        if found is not None and looks_right(found.text[:_SAMPLE]):
            return found
    return None


def _read_as(data: bytes, encoding: str, mark: bytes = b"") -> Recognized | None:
    try:
        return Recognized(data.decode(encoding), encoding, mark)
    except UnicodeError:
        return None


def _unmarked_utf16(data: bytes) -> Recognized | None:
    """In two-byte units, spaces, line feeds and Latin letters have a zero in the same half, which few others have."""
    little = data[1::2].count(0) > data[0::2].count(0)
    found = _read_as(data, "utf-16-le" if little else "utf-16-be")
    if found is None or "\0" in found.text:
        return None
    sample = found.text[:_SAMPLE]
    usual = sum(1 for char in sample if char < "\u0250" or _is_gb2312(char))
    return found if _is_text(sample) and usual >= 0.9 * len(sample) else None


def _is_text(text: str) -> bool:
    controls = sum(1 for char in text if (char < " " and char not in _LAYOUT) or "\x7f" <= char < "\xa0")
    return controls * 100 <= len(text)


def _is_chinese(text: str) -> bool:
    """Nearly any bytes decode as GB18030, most of them to characters that nobody writes; a text is made of the common
    ones (the 6763 of GB 2312 and its punctuation, which in this encoding have two bytes above 0xA0)."""
    foreign = [char for char in text if char > "\x7f"]
    common = sum(1 for char in foreign if _is_gb2312(char))
    return _is_text(text) and common >= 0.9 * len(foreign)


def _is_gb2312(char: str) -> bool:
    try:
        return bool(char.encode("gb2312"))
    except UnicodeError:
        return False


def _is_western(text: str) -> bool:
    """Mostly ASCII, with accents and curly quotes here and there."""
    foreign = sum(1 for char in text if char > "\x7f")
    return _is_text(text) and foreign * 4 <= len(text)
