"""Which of the two languages of its users a text is in."""

from __future__ import annotations

import re
from collections.abc import Mapping

from localchat.writing.action import Variable

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]")
_WORD = re.compile(r"[A-Za-z\u00c0-\u024f]+")

LANGUAGE = Variable(
    "",
    {
        "zh": {"en": "Chinese", "zh": "中文"},
        "en": {"en": "English", "zh": "英文"},
        "chinese": {"en": "Chinese", "zh": "中文"},
        "english": {"en": "English", "zh": "英文"},
        "中文": {"en": "Chinese", "zh": "中文"},
        "英文": {"en": "English", "zh": "英文"},
        "fr": {"en": "French", "zh": "法文"},
        "de": {"en": "German", "zh": "德文"},
        "ja": {"en": "Japanese", "zh": "日文"},
        "ko": {"en": "Korean", "zh": "韩文"},
        "es": {"en": "Spanish", "zh": "西班牙文"},
    },
)
"""The variable {language}: what a result is to be in."""

OTHER: Mapping[str, str] = {"zh": "en", "en": "zh"}
_KNOWN = {"chinese": "zh", "中文": "zh", "zh": "zh", "english": "en", "英文": "en", "en": "en"}


def language_of(text: str) -> str:
    """ "zh" or "en": a Chinese text may hold English words, and an English one a Chinese name."""
    return "zh" if 2 * len(_HAN.findall(text)) > len(_WORD.findall(text)) else "en"


def known_language(name: str) -> str:
    """The code of a language that `language_of` tells apart; "" for another one."""
    return _KNOWN.get(name.strip().lower(), "")
