"""What the model is told of the text that a conversation is about: all of it, or what stands around the cursor."""

from __future__ import annotations

from localchat.documents.document import Document
from localchat.writing.language import language_of
from localchat.writing.pieces import about_tokens

SHARE = 2
"""The text takes at most one part in so many of the context; the rest is for the conversation."""

LEFT_OUT = "[…]"

ENGLISH = (
    "The user is working on the text below and talks with you about it. It is shown as it is now. When you are"
    " asked to change a passage, answer with the changed passage."
)
CHINESE = "用户正在写下面这篇文字，并和你讨论它。这里给出的是它现在的样子。请你修改某一段时，只给出修改后的那一段。"
_WORDS = {"en": ENGLISH, "zh": CHINESE}


def with_document(system_prompt: str, name: str, text: str, place: int, context_length: int) -> str:
    """The system prompt, and after it the text that the conversation is about."""
    if not text.strip():
        return system_prompt
    part = part_in_view(text, place, context_length)
    about = f"{_WORDS[language_of(text)]}\n\n{Document(name, 'text', part).for_model()}"
    return f"{system_prompt.rstrip()}\n\n{about}".lstrip()


def part_in_view(text: str, place: int, context_length: int) -> str:
    """The text, or as many of its lines around the character at `place` as there is room for, with marks where
    something is left out."""
    room = context_length // SHARE
    if about_tokens(text) <= room:
        return text
    lines = text.splitlines()
    first = last = min(text.count("\n", 0, place), len(lines) - 1)
    room -= about_tokens(lines[first])
    grows = True
    while grows:  # by one line at either end in turn
        grows = False
        for index in (last + 1, first - 1):
            if 0 <= index < len(lines) and about_tokens(lines[index]) <= room:
                room -= about_tokens(lines[index])
                first, last, grows = min(first, index), max(last, index), True
    before = [LEFT_OUT] if first > 0 else []
    after = [LEFT_OUT] if last < len(lines) - 1 else []
    return "\n".join([*before, *lines[first : last + 1], *after])
