"""The tokens of a vocabulary by the script that they are written in. Made once for a model, in less than a second."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property

import numpy as np

from localchat.engine.token_mask import Mask, mask_of
from localchat.text.english_words import COMMON
from localchat.text.scripts import LATIN_WORD, Script, script, scripts_after
from localchat.text.tokenizer import Tokenizer

JOINERS = frozenset("._-/'’+@#&")
"""Within a name: Node.js, AT&T, C++."""

_LONGEST = 48  # bytes of a token that quotes
_HAN = re.compile("[\u4e00-\u9fff]+")  # most tokens that are not ASCII, told quickly


class LanguageVocabulary:
    """Which tokens are at home in which language.

    Args:
        size: number of the model's logits.
    """

    def __init__(self, tokenizer: Tokenizer, size: int) -> None:
        self.size = size
        self._kinds = np.zeros(size, np.uint8)  # [V] a bit for each script of its characters
        self._by_bytes: dict[bytes, int] = {}  # tokens that are not ASCII
        self._latin: list[tuple[int, str]] = []
        self._continuing: list[tuple[int, bytes]] = []  # begin within a character
        self._beginning: list[tuple[int, frozenset[Script]]] = []  # end within one, which may count as these
        for id in range(min(size, tokenizer.vocab_size)):
            data = tokenizer.token_bytes(id)
            if data.isascii():
                self._sort(id, data.decode())
            else:
                self._by_bytes[data] = id
                self._sort_bytes(id, data)
        self._continues = mask_of((id for id, _data in self._continuing), size)

    @cached_property
    def latin(self) -> LatinTokens:
        """How the tokens with Latin letters are read in a Chinese text."""
        return LatinTokens(self._latin, self.size)

    def without(self, *foreign: Script) -> Mask:
        """The tokens with no character of these scripts; a character that is begun may still become another one."""
        bits = sum(1 << kind for kind in foreign)
        mask: Mask = ((self._kinds & bits) == 0) & ~self._continues
        mask[[id for id, possible in self._beginning if possible.issubset(foreign)]] = False
        return mask

    def continuing(self, pending: bytes, foreign: frozenset[Script]) -> Mask:
        """The tokens that go on with a character of which these bytes have come, and not to a foreign one."""
        return mask_of((id for id, data in self._continuing if _is_at_home(pending + data, foreign)), self.size)

    def quoting(self, quoted: str, run: bytes) -> Iterator[int]:
        """The tokens with which `quoted` goes on, wherever in it `run` stands."""
        data = quoted.encode()
        place = data.find(run)
        while place >= 0:
            rest = place + len(run)
            for end in range(rest + 1, min(len(data), rest + _LONGEST) + 1):
                for space in (b"",) if run else (b"", b" "):
                    if (id := self._by_bytes.get(space + data[rest:end])) is not None:
                        yield id
            place = data.find(run, place + 1)

    def _sort_bytes(self, id: int, data: bytes) -> None:
        if data[0] & 0xC0 == 0x80:
            self._continuing.append((id, data))
            return
        body, tail = _cut(data)
        self._sort(id, body)
        if tail:
            self._beginning.append((id, scripts_after(tail)))

    def _sort(self, id: int, text: str) -> None:
        if _HAN.fullmatch(text):
            self._kinds[id] = 1 << Script.HAN
            return
        bits = 0
        if not text.isascii():
            for character in text:
                bits |= _bit(character)
        elif not text.islower() and not text.isupper():  # no letter at all, or of both kinds
            bits = (1 << Script.LATIN) if any(map(str.isalpha, text)) else 0
        else:
            bits = 1 << Script.LATIN
        if bits & (1 << Script.LATIN):
            self._latin.append((id, text))
        self._kinds[id] = bits


class LatinTokens:
    """Tokens with Latin letters, by what they may say in a Chinese text.

    Attributes:
        names: begin a name, and hold nothing but names.
        inner_names: the same, after white space or punctuation of their own.
        going_on: go on with a word, or with a name behind a joiner.
        beginning, inner: tokens of one word, by it in small letters; those without and with something before it.
    """

    def __init__(self, tokens: Iterable[tuple[int, str]], size: int) -> None:
        names, inner_names, going_on = list[int](), list[int](), list[int]()
        beginning: dict[str, list[int]] = defaultdict(list)
        inner: dict[str, list[int]] = defaultdict(list)
        for id, text in tokens:
            first, *others = words = LATIN_WORD.findall(text)
            before = text[: text.index(first)]
            if all(map(is_name, words)):
                (inner_names if before else names).append(id)
            if (not before or (len(before) == 1 and before in JOINERS)) and all(map(is_name, others)):
                going_on.append(id)
            if not others:
                (inner if before else beginning)[first.lower()].append(id)
        self.names, self.inner_names = mask_of(names, size), mask_of(inner_names, size)
        self.going_on = mask_of(going_on, size)
        self.beginning: Mapping[str, list[int]] = beginning
        self.inner: Mapping[str, list[int]] = inner


@cache
def _bit(character: str) -> int:
    return 1 << script(character)


def is_name(word: str) -> bool:
    """Whether a Latin word may stand in a Chinese text unasked: a name, an abbreviation, a letter as in a formula."""
    if len(word) == 1:
        return word not in "aAI"
    return word[0].isupper() and word.lower() not in COMMON


def _is_at_home(data: bytes, foreign: frozenset[Script]) -> bool:
    """Whether this is UTF-8, or the beginning of it, in other scripts than these."""
    body, tail = _cut(data)
    if "\N{REPLACEMENT CHARACTER}" in body or any(script(character) in foreign for character in body):
        return False
    return not tail or bool(scripts_after(tail) - foreign)


def _cut(data: bytes) -> tuple[str, bytes]:
    """The whole characters of a piece of UTF-8, and the beginning of another one at its end."""
    for count in range(1, min(3, len(data)) + 1):
        byte = data[-count]
        if byte & 0xC0 == 0x80:
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC2 else 1
        if length > count:
            return data[:-count].decode("utf-8", "replace"), data[-count:]
        break
    return data.decode("utf-8", "replace"), b""
