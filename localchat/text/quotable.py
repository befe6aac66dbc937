"""What a reply in one language may take over from messages: words of another script that they are about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from localchat.text.english_words import COMMON
from localchat.text.scripts import LATIN_WORD, Script, foreign_runs, script

_MOST = 800  # characters together: the last that were written
_IN_MARKS = re.compile(r"“([^”\n]{1,60})”|‘([^’\n]{1,60})’|\"([^\"\n]{1,60})\"|「([^」\n]{1,60})」|`([^`\n]{1,60})`|"
                       r"『([^』\n]{1,60})』|《([^》\n]{1,60})》|（([^）\n]{1,60})）|\(([^)\n]{1,60})\)")  # fmt: skip


def quotable(language: str, texts: Sequence[str]) -> list[str]:
    """The foreign words, in small letters, and the runs of other scripts that a reply may repeat.

    In a text of the reply's own language these are all its foreign words. In a text that is itself written in another
    language they are those between quotation marks or in parentheses: else a reply could be made of the question.

    Args:
        language: "zh" or "en".
        texts: what the user wrote, the oldest first.
    """
    find = _latin_and_others if language == "zh" else _not_latin
    found: list[str] = []
    for text in texts:
        marked = ["".join(groups) for groups in _IN_MARKS.findall(text)]
        for part in [text] if is_chinese(text) == (language == "zh") else marked:
            found += find(part)
    kept, room = list[str](), _MOST
    for each in dict.fromkeys(reversed(found)):
        room -= len(each)
        if room < 0:
            break
        kept.append(each)
    return kept


def is_chinese(text: str) -> bool:
    """Whether a text has at least as many Chinese characters as it has Latin words."""
    return sum(script(character) is Script.HAN for character in text) >= len(LATIN_WORD.findall(text))


def _latin_and_others(text: str) -> Iterator[str]:
    for word in LATIN_WORD.findall(text):
        if len(word) > 1 and word.lower() not in COMMON:
            yield word.lower()
    yield from foreign_runs(text, (Script.OTHER,))


def _not_latin(text: str) -> Iterator[str]:
    yield from foreign_runs(text, (Script.HAN, Script.OTHER))
