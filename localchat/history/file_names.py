"""A good file name for any title, on every system."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

NAME_BYTES = 120
"""UTF-8; systems allow 255, some encrypted folders 143."""

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)  # by Windows
_NOTHING = "chat"


def file_name(title: str, suffix: str, taken: Container[str] = ()) -> str:
    """The title as a file name that ends with `suffix`: Chinese stays Chinese, what a system forbids becomes a space.

    Args:
        taken: names that are given already, in lower case; a number tells the new one from them.
    """
    text = _FORBIDDEN.sub(" ", unicodedata.normalize("NFC", title))
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cs", "Co", "Cn") or c == "\u200d")
    stem = _shortened(" ".join(text.split()).lstrip(" .~-"), NAME_BYTES).rstrip(". …，。：；、") or _NOTHING
    if _RESERVED.fullmatch(stem):
        stem = f"{stem.partition('.')[0]}_"
    name, number = f"{stem}{suffix}", 1
    while name.lower() in taken:
        number += 1
        name = f"{stem} ({number}){suffix}"
    return name


def _shortened(text: str, most: int) -> str:
    """At most so many bytes of UTF-8, without half a character."""
    return text.encode()[:most].decode(errors="ignore")
