"""What people compare when they compare two versions of a text: words of English, characters of Chinese.

No token begins in the middle of what a reader takes for one character (a letter and its marks, a joined emoji, a flag,
the two parts of a line end), so that no mixture of two versions can tear one apart.
"""

from __future__ import annotations

import re
import unicodedata

_BY_CHARACTER = "\u2e80-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_FLAG_LETTER = "\U0001f1e6-\U0001f1ff"
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    rf"|(?P<word>[^\W{_BY_CHARACTER}]+(?:['’\-.,][^\W{_BY_CHARACTER}]+)*)"
    rf"|(?P<flag>[{_FLAG_LETTER}]{{2}})"
    r"|(?P<other>.)",
    re.DOTALL,
)
_JOINER = "\u200d"
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_TAGS = range(0xE0020, 0xE0080)


def tokens(text: str) -> list[str]:
    """The text cut into words, single Chinese characters, white space and signs; together they are the text."""
    found: list[str] = []
    kinds: list[str] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        # Two words without anything between them are one: a letter with a mark of its own stood there.
        if found and (kind == "word" == kinds[-1] or (kinds[-1] != "space" and _goes_on(found[-1], match[0]))):
            found[-1] += match[0]
        else:
            found.append(match[0])
            kinds.append(kind)
    return found


def is_word(token: str) -> bool:
    """Whether it carries meaning: no white space and no punctuation."""
    return any(char.isalnum() for char in token)


def _goes_on(before: str, token: str) -> bool:
    """Whether what begins with `token` is one character with the end of `before`."""
    first = token[0]
    return (
        before.endswith(_JOINER)
        or first == _JOINER
        or unicodedata.category(first) in ("Mn", "Me", "Mc")
        or ord(first) in _SKIN_TONES
        or ord(first) in _TAGS
    )
