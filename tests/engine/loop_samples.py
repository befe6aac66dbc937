"""Replies that went round in circles, and texts that repeat themselves without doing so.

`data/greedy_replies.json` holds what two small models wrote at temperature 0: those that were judged by eye to be
loops, cut to some rounds of them, and those that were not although they repeat themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from localchat.engine.loop_guard import LoopGuard
from tests.engine.legitimate_repetition import texts

_REPLIES = Path(__file__).parent / "data" / "greedy_replies.json"
_WORDS = re.compile(r" ?[A-Za-z]+| ?\d|\n| +|.", re.DOTALL)


def loops() -> dict[str, str]:
    """Texts by the models and questions that they come from."""
    return _replies("loops")


def no_loops() -> dict[str, str]:
    """Texts by what they are."""
    return {**texts(), **_replies("no_loops")}


def _replies(kind: str) -> dict[str, str]:
    replies = json.loads(_REPLIES.read_text(encoding="utf-8"))[kind]
    return {f"{reply['model']}: {reply['question']}": reply["text"] for reply in replies}


class Words:
    """A tokenizer for tests: words with the blank before them, digits, and every other character alone."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._bytes: list[bytes] = []

    def encode(self, text: str) -> list[int]:
        ids = []
        for word in _WORDS.findall(text):
            if word not in self._ids:
                self._ids[word] = len(self._ids)
                self._bytes.append(word.encode())
            ids.append(self._ids[word])
        return ids

    def token_bytes(self, token: int) -> bytes:
        return self._bytes[token]


def watched(ids: Iterable[int], bytes_of: Callable[[int], bytes]) -> tuple[int, int] | None:
    """How many tokens were read when a guard called a text a loop, and how many it keeps; None when it never did."""
    guard = LoopGuard(bytes_of)
    for count, token in enumerate(ids, 1):
        if (kept := guard.push(token)) is not None:
            return count, kept
    return None
