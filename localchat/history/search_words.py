"""How searching sees a text: as a row of words, and where in the text the words of a search stand.

A letter of a script that is written without spaces (Chinese, Japanese, Korean, Thai …) is a word by itself, so that any
run of them is found as a phrase. Other letters and digits make a word together, found by its beginning. A symbol is a
word too: `a*b`, `50%` and `C++` are found as they are written. Case, width and the accents of Latin letters make no
difference. The index and the highlighting both ask here, so that they agree.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

SEARCH_LENGTH = 1000
"""Characters of a search that count."""

MOST_WORDS = 20
"""Words of a search that count; whole texts get pasted into search boxes."""

SHORTEST_PREFIX = 2
"""Letters from which a word is found by its beginning. A single one stands for itself, or it would be in every text."""

_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u302f\u3031-\u303c\u3041-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_INVISIBLE = "\u0000-\u0020\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
_WORD = rf"[^\W{_UNSPACED}]"
_TOKEN = re.compile(rf"[{_UNSPACED}]|{_WORD}+|[^\w\s{_INVISIBLE}]")
_BETWEEN = rf"[\s{_INVISIBLE}]*"


class _Folding(dict[int, str]):
    """What a character counts as, for `str.translate`: made when it is first met."""

    def __missing__(self, code: int) -> str:
        folded = self[code] = _fold_character(chr(code))
        return folded


def _fold_character(character: str) -> str:
    folded = unicodedata.normalize("NFKC", character).casefold()
    if len(folded) == 1 and ord(folded) < 0x0400:  # Latin and Greek
        folded = "".join(c for c in unicodedata.normalize("NFD", folded) if not "\u0300" <= c <= "\u036f")
    # Symbols in their wide form: the index takes ASCII ones for spaces.
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and not c.isalnum() else c for c in folded)


_FOLDING = _Folding()


def words_of(text: str) -> str:
    """The words of a text, one space between them: what the index is given."""
    return " ".join(_TOKEN.findall(text.translate(_FOLDING)))


@dataclass(frozen=True, slots=True)
class Phrase:
    """What stood between two spaces of a search: words that must follow each other."""

    words: tuple[str, ...]

    @property
    def is_prefix(self) -> bool:
        """The last word may go on."""
        last = self.words[-1]
        return len(last) >= SHORTEST_PREFIX and last.isalnum()

    @property
    def match(self) -> str:
        """The phrase in the language of SQLite's FTS5. Words hold no quotes: those are symbols, in their wide form."""
        return f'"{" ".join(self.words)}"{" *" if self.is_prefix else ""}'

    @property
    def pattern(self) -> str:
        """A regular expression that finds the phrase in folded text."""
        return _BETWEEN.join(
            _word_pattern(word, open_end=self.is_prefix and index == len(self.words) - 1)
            for index, word in enumerate(self.words)
        )


def _word_pattern(word: str, *, open_end: bool) -> str:
    if not re.fullmatch(f"{_WORD}+", word):
        return re.escape(word)
    return rf"(?<!{_WORD}){word}" + ("" if open_end else rf"(?!{_WORD})")


class Search:
    """A search as typed: phrases that must all occur.

    Attributes:
        phrases: none when there is nothing to look for.
    """

    def __init__(self, typed: str) -> None:
        found = (tuple(words_of(part).split()) for part in typed[:SEARCH_LENGTH].split())
        self.phrases: tuple[Phrase, ...] = tuple(Phrase(words) for words in dict.fromkeys(found) if words)[:MOST_WORDS]
        self._finder = re.compile("|".join(phrase.pattern for phrase in self.phrases)) if self.phrases else None

    def __bool__(self) -> bool:
        return bool(self.phrases)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where in `text` the phrases stand, as (start, end) in characters."""
        if self._finder is None:
            return []
        folded = text.translate(_FOLDING)
        found = [match.span() for match in self._finder.finditer(folded)]
        if not found or len(folded) == len(text):
            return found
        return _unfolded(text, found)


def _unfolded(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The places in `text` of places in its folded form, which is longer or shorter."""
    origin = [index for index, character in enumerate(text) for _ in _FOLDING[ord(character)]]
    return [(origin[start], origin[end - 1] + 1) for start, end in spans]
