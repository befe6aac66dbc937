"""From the tokens of a reply to text that is safe to show: whole characters, thinking apart from the answer, and
nothing of a string that ends the reply."""

from __future__ import annotations

import time
from collections.abc import Iterable

from localchat.engine.stopping import StopStrings
from localchat.text.chat_text import ChatText
from localchat.text.stream_decoder import StreamDecoder
from localchat.text.thinking import Part, ThinkingReader


class ReplyText:
    """One reply.

    Args:
        stop: strings before which the answer ends.
        opened: the prompt ends within what the model thinks.
        goes_on: the prompt ends within the answer.

    Attributes:
        ended: a stop string came.
        thinking_tokens, thinking_seconds: what came before the answer.
    """

    def __init__(
        self, text: ChatText, stop: Iterable[str] = (), *, opened: bool = False, goes_on: bool = False
    ) -> None:
        self.ended = False
        self.thinking_tokens = 0
        self.thinking_seconds = 0.0
        self._text = text
        self._characters = StreamDecoder(text.tokenizer, goes_on=goes_on)
        self._stops = StopStrings(tuple(stop))
        self._reader = ThinkingReader(text.marks, opened=opened, goes_on=goes_on) if text.marks is not None else None
        self._last = time.perf_counter()

    def push(self, token: int) -> list[Part]:
        """The parts that this token completes; often one word, sometimes none."""
        piece = self._text.mark_tokens.get(token) or self._characters.push(token)
        if self._reader is None:
            return self._answered([Part(piece, False)] if piece else [])
        was_thinking = self._reader.thinking
        parts = self._reader.push(piece)
        self._count(was_thinking or self._reader.thinking)
        return self._answered(parts)

    def rest(self) -> list[Part]:
        """What was held back because it might have become a longer character, a mark, or a stop string."""
        if self.ended:
            return []
        piece = self._characters.flush()
        if self._reader is None:
            parts = [Part(piece, False)] if piece else []
        else:
            parts = [*self._reader.push(piece), *self._reader.flush()]
        shown = self._answered(parts)
        held = "" if self.ended else self._stops.flush()
        return [*shown, Part(held, False)] if held else shown

    def _count(self, thinking: bool) -> None:
        now = time.perf_counter()
        if thinking:
            self.thinking_tokens += 1
            self.thinking_seconds += now - self._last
        self._last = now

    def _answered(self, parts: list[Part]) -> list[Part]:
        """The parts, up to a stop string in the answer."""
        shown: list[Part] = []
        for part in parts:
            if part.thinking:
                shown.append(part)
                continue
            text, self.ended = self._stops.push(part.text)
            if text:
                shown.append(Part(text, False))
            if self.ended:
                break
        return shown
