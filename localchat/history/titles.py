"""A title made of a message: one short line that fits a sidebar, whatever the message holds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from localchat.translation import mark

UNTITLED = mark("New chat")
"""Of a conversation in which nothing was said; stored in English, shown in the user's language."""
TITLE_WIDTH = 40  # terminal cells

_JOINER = "\u200d"
_EMOJI_STYLE = "\ufe0f"
MARKS = re.compile(r"^(?:#{1,6}\s+|>\s*|[-*+]\s+|\d{1,3}[.)]\s+)+")  # Markdown of headings, quotes and lists


def title_from(text: str, width: int = TITLE_WIDTH) -> str:
    """The first line of `text` that says something, cut to `width` cells (a wide character counts 2); never empty."""
    lines = [line for line in map(_plain, text.splitlines()) if line]
    worded = (line for line in lines if any(map(str.isalnum, line)) and not line.startswith(("```", "~~~")))
    line = next(worded, lines[0] if lines else UNTITLED)
    return _cut(MARKS.sub("", line) or line, width)


def _plain(line: str) -> str:
    """The line without control and direction characters (a title must not steer a terminal), spaces made single."""
    kept = (" " if char == "\t" else char for char in line)
    visible = (c for c in kept if c == _JOINER or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    return " ".join("".join(visible).split())


def _cut(line: str, width: int) -> str:
    parts = list(_characters(line))
    if sum(map(_cells, parts)) <= width:
        return line
    kept: list[str] = []
    room = width - 1  # for the ellipsis
    for part in parts:
        room -= _cells(part)
        if room < 0:
            break
        kept.append(part)
    text = "".join(kept)
    following = parts[len(kept)]
    # Inside a word of letters, step back to its start, unless that would cost half of the title.
    if following.isascii() and following.isalnum() and text and text[-1].isascii() and text[-1].isalnum():
        shorter = text.rpartition(" ")[0]
        text = shorter if len(shorter) * 2 >= len(text) else text
    return text.rstrip(" ,;:，、；：") + "…"


def _characters(text: str) -> Iterator[str]:
    """What a reader takes for one character: a base with its marks, an emoji with its joined parts, a flag."""
    whole = ""
    for char in text:
        joined = whole and (
            _is_mark(char)
            or whole[-1] == _JOINER
            or "\U0001f3fb" <= char <= "\U0001f3ff"  # skin tones
            or (_is_flag_letter(char) and len(whole) == 1 and _is_flag_letter(whole))
        )
        if whole and not joined:
            yield whole
            whole = ""
        whole += char
    if whole:
        yield whole


def _is_mark(char: str) -> bool:
    return char == _JOINER or unicodedata.category(char) in ("Mn", "Me")


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _cells(character: str) -> int:
    wide = unicodedata.east_asian_width(character[0]) in "WF" or _EMOJI_STYLE in character or len(character) > 1
    return 2 if wide and not _is_lettered(character) else 1


def _is_lettered(character: str) -> bool:
    """A narrow letter with accents on it, which stays narrow."""
    return unicodedata.east_asian_width(character[0]) not in "WF" and character[0].isalpha()
