"""A reply held to Chinese or English by masking the tokens that are written otherwise.

Code is free, in blocks and within a line. What the user wrote in another script may be repeated, piece by piece, and a
few words of any may stand between quotation marks: a reply may speak of the other language. Digits, punctuation,
symbols and Greek letters are at home everywhere. In English no other script is. In Chinese no other script but Latin,
of which there may be names and abbreviations (words with a capital, except those of everyday English), what the user
wrote, units behind numbers, addresses, single letters, what follows a backslash: and of all these no more than a few
words in a row, so that no sentence of them can be made.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from localchat.engine.language_vocabulary import JOINERS, LanguageVocabulary, is_name
from localchat.engine.token_mask import Mask
from localchat.text.code_spans import CodeSpans
from localchat.text.english_words import UNITS
from localchat.text.scripts import Script, script
from localchat.text.tokenizer import Tokenizer

_RUN = 24  # bytes of another script in one piece: eight Chinese characters
_WORDS = 4  # Latin words in a row in a Chinese text
_MARKS = {"“": "”", "‘": "’", '"': '"', "「": "」", "『": "』", "《": "》"}
_KEPT = 64  # masks, of a byte for each token


class LanguageMask:
    """The tokens with which a reply stays in one language.

    Args:
        quotes: see `localchat.text.quotable.quotable`.
    """

    FOREIGN: frozenset[Script]

    def __init__(self, tokenizer: Tokenizer, vocabulary: LanguageVocabulary, quotes: Sequence[str]) -> None:
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self._quotes = [quote for quote in quotes if not quote.isascii()]
        self._code = CodeSpans()
        self._pending = b""  # of a character that is not complete
        self._run = b""  # of foreign characters
        self._closing = ""  # the mark that ends what is quoted
        self._at_home = vocabulary.without(*self.FOREIGN)
        self._made: dict[Hashable, Mask] = {}

    def allowed(self) -> Mask | None:
        if self._code.inside or self._is_free():
            return None
        quotes = bool(self._closing) and self._has_room()
        place = (self._pending, self._run, quotes, self._place())
        if (mask := self._made.get(place)) is None:
            if len(self._made) >= _KEPT:
                self._made.clear()
            mask = self._made[place] = self._make(quotes)
        return mask if mask.any() else None  # within a character that none of them completes: anything is better

    def accept(self, token: int) -> None:
        data = self._pending + self._tokenizer.token_bytes(token)
        text = data.decode("utf-8", "ignore")
        whole = text.encode()
        self._pending = data[len(whole) :] if data.startswith(whole) else b""
        for character in text:
            self._code.push(character)
            in_code = self._code.inside
            is_foreign = script(character) in self.FOREIGN and not in_code
            self._run = (self._run + character.encode())[-2 * _RUN :] if is_foreign else b""
            if in_code or character in ("\n", self._closing):
                self._closing = ""
            elif not self._closing:
                self._closing = _MARKS.get(character, "")
            self._read(character, in_code)

    def _make(self, quotes: bool) -> Mask:
        vocabulary = self._vocabulary
        foreign = frozenset[Script]() if quotes else self.FOREIGN
        if self._pending:
            mask = vocabulary.continuing(self._pending, foreign)
        elif quotes:
            mask = vocabulary.without()
        else:
            mask = self._at_home.copy()
            self._add_own(mask)
        if len(self._run) < _RUN:
            for quote in self._quotes:
                mask[list(vocabulary.quoting(quote, self._run + self._pending))] = True
        return mask

    def _has_room(self) -> bool:
        """Whether more of another language may stand here."""
        return len(self._run) < _RUN

    def _read(self, character: str, in_code: bool) -> None:
        """One more character of the reply."""

    def _is_free(self) -> bool:
        """Whether all tokens may stand here."""
        return False

    def _place(self) -> Hashable:
        """What `_add_own` depends on."""
        return None

    def _add_own(self, mask: Mask) -> None:
        """Allow what this language takes in at this place."""


class EnglishMask(LanguageMask):
    """No letters but Latin and Greek, and no Chinese punctuation."""

    FOREIGN = frozenset({Script.HAN, Script.EAST, Script.OTHER})


class ChineseMask(LanguageMask):
    """No sentences of Latin words, and no other script."""

    FOREIGN = frozenset({Script.OTHER})

    def __init__(self, tokenizer: Tokenizer, vocabulary: LanguageVocabulary, quotes: Sequence[str]) -> None:
        super().__init__(tokenizer, vocabulary, quotes)
        self._words = [quote for quote in quotes if quote.isascii()] + ["http", "https", "www"]
        self._at_home &= vocabulary.without(Script.LATIN)
        self._word = ""  # Latin letters up to here
        self._is_name = False  # that word, or the one before a joiner
        self._chunk = ""  # without white space
        self._count = 0  # Latin words in a row

    def _read(self, character: str, in_code: bool) -> None:
        kind, before = script(character), self._chunk[-1:]
        if in_code or character.isspace():
            self._chunk = ""
        else:
            self._chunk = character if kind in (Script.HAN, Script.EAST) else (self._chunk + character)[-200:]
        if kind is Script.LATIN and not in_code:
            if not self._word:
                goes_on = self._is_name and before in JOINERS
                self._is_name = goes_on or before == "\\" or is_name(character)
                self._count += not goes_on
            self._word += character.lower()
            return
        self._word = ""
        if character not in JOINERS:
            self._is_name = False
            if not character.isspace() or character == "\n":
                self._count = 0

    def _has_room(self) -> bool:
        return super()._has_room() and self._count < _WORDS

    def _is_free(self) -> bool:
        return "://" in self._chunk or self._chunk.startswith("www.")

    def _place(self) -> Hashable:
        word = self._word if not self._is_name else bool(self._word)
        return word, self._goes_on(), self._chunk[-1:].isdigit(), self._count < _WORDS

    def _goes_on(self) -> bool:
        """Whether any letters may follow."""
        last = self._chunk[-1:]
        return last == "\\" or (self._is_name and bool(self._word or last in JOINERS))

    def _add_own(self, mask: Mask) -> None:
        latin = self._vocabulary.latin
        if self._goes_on():
            mask |= latin.going_on
        if self._word and not self._is_name:
            self._add_words(mask, latin.beginning, self._word)
        if self._count >= _WORDS:
            return
        mask |= latin.inner_names
        self._add_words(mask, latin.inner)
        if self._word:
            return
        mask |= latin.names
        self._add_words(mask, latin.beginning)
        if self._chunk[-1:].isdigit():
            for unit in UNITS:
                mask[latin.beginning.get(unit, [])] = True
                mask[latin.inner.get(unit, [])] = True

    def _add_words(self, mask: Mask, tokens: Mapping[str, list[int]], begun: str = "") -> None:
        """Allow the tokens with which a word of the user's begins, or goes on after `begun`."""
        for word in self._words:
            if word.startswith(begun):
                for end in range(len(begun) + 1, len(word) + 1):
                    mask[tokens.get(word[len(begun) : end], [])] = True


def language_mask(
    language: str, tokenizer: Tokenizer, vocabulary: LanguageVocabulary, quotes: Sequence[str]
) -> LanguageMask:
    """The mask of "zh" or "en"."""
    kind = ChineseMask if language == "zh" else EnglishMask
    return kind(tokenizer, vocabulary, quotes)
