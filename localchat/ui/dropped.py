"""Files that are dropped on a terminal, which then pastes their paths."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LONGEST = 8000
_WINDOWS_PATH = re.compile(r'"?[A-Za-z]:[\\/]')


def dropped_paths(pasted: str) -> list[Path]:
    """The files that a paste names, when it is made of absolute paths of existing files and nothing else.

    Terminals write a path that is dropped on them in quotes, with backslashes before blanks, as a file: address, or
    plain; several stand side by side or on lines of their own.
    """
    text = pasted.strip()
    if not text or len(text) > _LONGEST or not _looks_like_path(text):
        return []
    for words in (text.splitlines(), _words(text)):
        paths = [_path(word.strip()) for word in words if word.strip()]
        if paths and all(path is not None for path in paths):
            return [path for path in paths if path is not None]
    return []


def _looks_like_path(text: str) -> bool:
    return text.startswith(("/", "~/", "'/", '"/', "file://")) or _WINDOWS_PATH.match(text) is not None


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, posix=os.name != "nt")
    except ValueError:  # a quote that is never closed
        return []


def _path(word: str) -> Path | None:
    """The existing file that one word names, in any of the ways."""
    unquoted = _words(word)
    readings = [word, *unquoted] if len(unquoted) == 1 else [word]
    if word.startswith("file://"):
        readings = [unquote(urlsplit(word).path)]
    for reading in readings:
        path = Path(reading.strip("\"'")).expanduser()
        try:
            if path.is_absolute() and path.is_file():
                return path
        except OSError:  # longer than a path may be
            return None
    return None
