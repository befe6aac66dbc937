"""In which script text is written, character by character: what a reply in Chinese or in English is made of."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from enum import IntEnum
from functools import lru_cache

LATIN_WORD = re.compile("[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff]+")


class Script(IntEnum):
    """What a character counts as."""

    NEUTRAL = 0  # digits, punctuation, symbols, emoji, phonetic signs, Greek letters as in formulas: at home everywhere
    LATIN = 1
    HAN = 2
    EAST = 3  # punctuation and symbols of Chinese text
    OTHER = 4  # letters of all other scripts, and characters that are not assigned


_EAST = ((0x3000, 0x3005), (0x3008, 0x3021), (0x3030, 0x3038), (0x303C, 0x3040), (0x3200, 0x3400), (0x4DC0, 0x4E00),
         (0xFE30, 0xFE50), (0xFF00, 0xFF21), (0xFF3B, 0xFF41), (0xFF5B, 0xFF66), (0xFFE0, 0xFFE7))  # fmt: skip
_NEUTRAL = ((0x2000, 0x2C00), (0x1D400, 0x1D800), (0x1F000, 0x1FC00), (0xE000, 0xF900), (0xFFF0, 0xFFFE))
_NEUTRAL_NAMES = (
    "LATIN ",
    "FULLWIDTH ",
    "GREEK ",
    "COMBINING ",
    "MODIFIER ",
    "VARIATION ",
    "MICRO ",
    "FEMININE ",
    "MASCULINE ",
)


@lru_cache(maxsize=100_000)
def script(character: str) -> Script:
    """What one character counts as."""
    code = ord(character)
    if code < 0x80:
        return Script.LATIN if character.isalpha() else Script.NEUTRAL
    if LATIN_WORD.match(character):
        return Script.LATIN
    if _within(code, _EAST):
        return Script.EAST
    kind = unicodedata.category(character)
    if _within(code, _NEUTRAL) or (kind[0] in "NPSZ" and code < 0x3000):
        return Script.NEUTRAL
    name = unicodedata.name(character, "")
    if name.startswith(("CJK ", "KANGXI ", "IDEOGRAPHIC ", "HANGZHOU ")):
        return Script.HAN
    if name.startswith(_NEUTRAL_NAMES) or (name and kind[0] not in "LM"):
        return Script.NEUTRAL
    return Script.OTHER


def scripts(text: str) -> set[Script]:
    """All that occur in a text."""
    return {script(character) for character in set(text)}


@lru_cache(maxsize=10_000)
def scripts_after(beginning: bytes) -> frozenset[Script]:
    """What a character may count as that begins with these bytes of UTF-8 and goes on; empty where none begins so."""
    missing = _length(beginning[0]) - len(beginning)
    if missing <= 0:
        return frozenset()
    if beginning[0] >= 0xF0 and len(beginning) == 1:
        return frozenset({Script.NEUTRAL, Script.HAN, Script.OTHER})  # emoji, rare ideographs, rare scripts
    return frozenset(script(character) for character in _samples(beginning, missing))


def foreign_runs(text: str, foreign: Iterable[Script]) -> Iterator[str]:
    """The longest pieces of a text that are written in these scripts alone."""
    kinds = frozenset(foreign)
    run = ""
    for character in text:
        if script(character) in kinds:
            run += character
        elif run:
            yield run
            run = ""
    if run:
        yield run


def _samples(beginning: bytes, missing: int) -> Iterator[str]:
    """Characters that begin so: all of 64, every sixteenth of more, as blocks of scripts begin at multiples of 16."""
    for offset in range(0, 64**missing, 1 if missing == 1 else 16):
        tail = bytes(0x80 | (offset >> (6 * place)) & 0x3F for place in reversed(range(missing)))
        try:
            yield (beginning + tail).decode()
        except UnicodeDecodeError:  # a surrogate, an overlong form
            continue


def _length(first: int) -> int:
    """Of a character of UTF-8 by its first byte; 0 for a byte that begins none."""
    return 2 if 0xC2 <= first < 0xE0 else 3 if 0xE0 <= first < 0xF0 else 4 if 0xF0 <= first < 0xF5 else 0


def _within(code: int, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(low <= code < high for low, high in ranges)
