"""Tokens that give a text its structure, which samplers treat apart."""

from __future__ import annotations

from localchat.text.tokenizer import Tokenizer

_BREAKERS = tuple(mark.encode() for mark in ("\n", ":", '"', "*", "：", "“", "”"))
"""Of the author of DRY, with their Chinese forms."""


class Landmarks:
    """Judges tokens one by one, and remembers."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._breaks: dict[int, bool] = {}

    def breaks(self, token: int) -> bool:
        """Whether a repetition may not reach across it: control tokens, ends of lines, quotation marks, colons, and the
        asterisks around actions and emphasis."""
        known = self._breaks.get(token)
        if known is None:
            text = self._tokenizer.token_bytes(token)
            known = self._breaks[token] = self.controls(token) or any(mark in text for mark in _BREAKERS)
        return known

    def controls(self, token: int) -> bool:
        """Whether it is no text, but separates the turns of a conversation."""
        return token in self._tokenizer.control_ids or token in self._tokenizer.stop_ids

    def ends(self, token: int) -> bool:
        """Whether it ends a line or the reply, which must stay possible."""
        return token in self._tokenizer.stop_ids or b"\n" in self._tokenizer.token_bytes(token)
