"""What a model answered, without what small models put around it, and whether it is what was asked for."""

from __future__ import annotations

import re

from localchat.messages import FinishReason
from localchat.translation import _, mark
from localchat.writing.action import Action
from localchat.writing.changes import likeness
from localchat.writing.language import language_of
from localchat.writing.pieces import about_tokens
from localchat.writing.tokens import is_word, tokens

_FENCED = re.compile(r"```[^\n`]*\n(.*?)\n?```", re.DOTALL)
_QUOTES = {"“": "”", '"': '"', "「": "」", "『": "』", "《": "》", "‘": "’", "'": "'"}
_PREAMBLE = re.compile(r"[^\n]{1,80}[:：]\s*\n+(?=\S)")
_SHORT = 8
"""Tokens of a text of which neither length nor language says much."""

_OBJECTIONS = {
    "empty": mark("the model wrote nothing"),
    "cut": mark("the answer did not come to an end"),
    "length": mark("the answer is too short or too long to be a version of it"),
    "different": mark("the answer says something else"),
    "same": mark("the answer only repeats the text"),
    "language": mark("the answer is in another language"),
}


def cleaned(answer: str, original: str) -> str:
    """The answer without a line that announces it, a code fence or quotation marks, unless the original has them."""
    text = answer.strip()
    if not original.lstrip().startswith("```") and (fenced := _FENCED.fullmatch(text)):
        text = fenced[1].strip()
    announced = _PREAMBLE.match(text)
    if announced and not original.split("\n", 1)[0].rstrip().endswith((":", "：")):
        text = text[announced.end() :].strip()
    while len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and not original.strip().startswith(text[0]):
        if text[0] in text[1:-1] or text[-1] in text[1:-1]:
            break
        text = text[1:-1].strip()
    return text


def objection(action: Action, original: str, answer: str, language: str, reason: FinishReason) -> str:
    """Why the answer is not taken; "" when it is.

    Args:
        answer: as `cleaned` leaves it.
        language: of the answer that was asked for; "" when that cannot be told.
    """
    if not any(is_word(token) for token in tokens(answer)):
        return "empty"
    if reason in ("length", "context", "loop") and action.result == "replace":
        return "cut"
    low, high = action.length
    size = about_tokens(original)
    least = low * size - (_SHORT if low < 1 else 0)
    if not least <= about_tokens(answer) <= high * size + _SHORT:
        return "length"
    if language and about_tokens(answer) > _SHORT and language_of(answer) != language:
        return "language"
    low, high = action.similarity
    if (low > 0 or high < 1) and size > _SHORT:
        alike = likeness(original, answer)
        if not low <= alike <= high:
            return "different" if alike < low else "same"
    return ""


def explained(objection: str) -> str:
    """An objection for people."""
    return _(_OBJECTIONS[objection])
