"""A smaller model that guesses what a larger one of the same vocabulary is about to write."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import torch

from localchat.engine.caches import cache_for
from localchat.engine.generate import prefill_steps
from localchat.errors import InvalidSetting
from localchat.model.decoder import Check
from localchat.model.load import LoadedModel, load_model
from localchat.text.chat_text import load_chat_text
from localchat.text.tokenizer import Tokenizer
from localchat.translation import _

_RECENT = 5  # measurements of what a guess takes


class DraftModel:
    """It reads what the larger model has read and written, and says what it would write itself, the likeliest tokens.

    Args:
        context_length: tokens that it may hold; it guesses nothing after longer texts.

    Attributes:
        name: of the model.
        seconds_a_token: that a guess takes, as measured lately.
    """

    def __init__(self, model: LoadedModel, context_length: int) -> None:
        self.name = model.name
        self._seconds: deque[float] = deque(maxlen=_RECENT)
        self._decoder, self._cache = model.decoder, cache_for(model, context_length)
        self._ids: list[int] = []  # that the cache holds
        self._agreed = 0  # of those, how many the text is known to begin with
        self._check: Check | None = None
        for _step in range(_RECENT):
            self._step(0)
        self._cache.truncate(0)

    @property
    def seconds_a_token(self) -> float:
        return statistics.median(self._seconds)

    def begin(self, check: Check | None) -> None:
        """Another text comes.

        Args:
            check: called while it is read; what it raises passes through.
        """
        self._agreed, self._check = 0, check

    def guess(self, tokens: Sequence[int], count: int) -> list[int]:
        """The `count` tokens, at least one, that may come after `tokens`; what is new of those is read first."""
        if len(tokens) + count > self._cache.context_length:
            return []
        guesses = [int(self._read(tokens).argmax())]
        while len(guesses) < count:
            logits = self._step(guesses[-1])
            self._ids.append(guesses[-1])
            guesses.append(int(logits.argmax()))
        return guesses

    def _step(self, token: int) -> torch.Tensor:
        """The logits after one token more."""
        began = time.perf_counter()
        with torch.inference_mode():
            logits = self._decoder(torch.tensor([token]), self._cache, check=self._check).cpu()
        self._seconds.append(time.perf_counter() - began)
        return logits

    def _read(self, tokens: Sequence[int]) -> torch.Tensor:
        """The logits after `tokens`, of which the last is always read anew."""
        most = min(len(self._ids), len(tokens) - 1)
        while self._agreed < most and self._ids[self._agreed] == tokens[self._agreed]:
            self._agreed += 1
        kept = self._cache.truncate(self._agreed)
        del self._ids[kept:]
        try:
            *_earlier, (_count, logits) = prefill_steps(self._decoder, self._cache, tokens[kept:], check=self._check)
        finally:
            self._ids = list(tokens[: self._cache.length])
        return logits


def load_draft(path: Path, tokenizer: Tokenizer, context_length: int, *, check: Check | None = None) -> DraftModel:
    """Load the model at `path` to guess ahead of one with this tokenizer.

    Raises:
        InvalidSetting: its vocabulary is another.
        ModelNotFound, BadWeights, UnsupportedModel, NotEnoughMemory: see `load_model`.
    """
    theirs = load_chat_text(path).tokenizer
    if not _same_vocabulary(theirs, tokenizer):
        raise InvalidSetting(
            _("{name} cannot guess ahead of this model: its vocabulary is another.").format(name=path.name),
            _("Choose a smaller model of the same family."),
        )
    model = load_model(path, context_length=context_length, check=check)
    return DraftModel(model, min(context_length, model.context_length))


def _same_vocabulary(one: Tokenizer, other: Tokenizer) -> bool:
    """Whether the same ids stand for the same bytes, and for control tokens of the same names."""
    names = [{token.id: token.text for token in each.spec.control} for each in (one, other)]
    return names[0] == names[1] and all(
        one.token_bytes(id) == other.token_bytes(id) for id in range(max(one.vocab_size, other.vocab_size))
    )
