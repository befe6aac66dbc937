"""Reading a prompt in chunks, and writing a reply token by token; token ids in, token ids out.

Both call `check` between any two pieces of work that a user would notice waiting for; what it raises passes through
and leaves the cache with whole tokens only.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from localchat.engine.kv_cache import KVCache
from localchat.messages import FinishReason
from localchat.model.decoder import Check, Forward

_CHUNKS = (16, 48, 96, 192, 384, 768, 1536, 3072)  # multiples of the rows that kernels multiply together
_FIRST_CHUNK = 48
_FIRST_ON_DEVICE = 768  # a graphics processor takes as long for fewer
_TAIL = 16  # read apart where layers keep states, which can go back to where a piece began: as another reply wants
_PROGRESS_S = 0.15  # that a chunk takes if it can: progress moves smoothly
_WELL_USED = 96  # tokens that make reading the weights worth while; fewer only if a stop would be noticed too late
_LAYER_S = 0.1  # at most between two checks, one a layer: a stop is noticed within 200 ms


def prefill_steps(
    decoder: Forward, cache: KVCache, ids: Sequence[int], *, check: Check | None = None
) -> Iterator[tuple[int, Tensor]]:
    """Read `ids` (at least one) after what the cache holds, in chunks.

    Yields:
        How many of `ids` were read, and the logits after the last of those, float32 [vocab_size].

    Raises:
        ContextOverflow: they do not fit into the cache.
        ValueError: `ids` is empty.
    """
    if not ids:
        raise ValueError("there is nothing to read")
    tokens = torch.tensor(ids, dtype=torch.int64)
    done, chunk = 0, _FIRST_CHUNK if cache.device.type == "cpu" else _FIRST_ON_DEVICE
    body = len(tokens) - _TAIL if decoder.spec.keeps_states else 0
    while done < len(tokens):
        if check is not None:
            check()
        piece = tokens[done : min(done + chunk, body if done < body else len(tokens))]
        start = time.perf_counter()
        with torch.inference_mode():
            logits = decoder(piece, cache, check=check).cpu()  # waits for the device
        speed = len(piece) / max(time.perf_counter() - start, 1e-6)
        done += len(piece)
        yield done, logits
        chunk = _chunk(speed, decoder.spec.num_layers)


def _chunk(speed: float, layers: int) -> int:
    """Tokens to read next at `speed` tokens per second."""
    most = max(speed * _PROGRESS_S, min(_WELL_USED, speed * _LAYER_S * layers))
    return max((size for size in _CHUNKS if size <= most), default=_CHUNKS[0])


class Chooser(Protocol):
    """Who says what the next token is, such as `localchat.engine.sampling.Sampler`."""

    def sample(self, logits: Tensor, /) -> int:
        """The next token, from logits float32 [V]."""

    def accept(self, token: int, /) -> None:
        """`token` is now part of the reply."""


class Guesses(Protocol):
    """Who guesses what the reply goes on with, such as `localchat.engine.speculation.Speculation`."""

    def draft(self, most: int, /) -> list[int]:
        """At most `most` tokens that may come next; often none."""

    def took(self, count: int, seconds: float, /) -> None:
        """Reading `count` tokens, guesses among them, took so long."""

    def accept(self, token: int, /) -> None:
        """`token` is now part of the reply."""


class Generation(Iterator[int]):
    """The tokens of one reply, the first of them drawn from `logits`, each computed when it is asked for.

    The cache holds every token given out but the last: that one is read when the next is asked for. Where there are
    guesses, they are read with it, and what the sampler then draws are the same tokens as without: see
    `localchat.engine.speculation`. Until `close` the cache may hold some that were not given out.

    Args:
        stop_ids: tokens that end the reply; they are not given out.
        max_tokens: give out at most so many; None goes on to the end of the cache's context.
        check: called before each token and each layer.
        guesses: what may come next.

    Attributes:
        finish_reason: why there are no more tokens; None while there may be.
        pending: tokens given out that the cache does not hold yet.
    """

    def __init__(
        self,
        decoder: Forward,
        cache: KVCache,
        logits: Tensor,
        sampler: Chooser,
        *,
        stop_ids: Collection[int],
        max_tokens: int | None = None,
        check: Check | None = None,
        guesses: Guesses | None = None,
    ) -> None:
        self.finish_reason: FinishReason | None = None
        self.pending: list[int] = []
        self._guesses = guesses
        self._ahead: deque[tuple[int, Tensor]] = deque()  # guesses that the cache holds, and the logits after each
        self._decoder, self._cache, self._logits, self._sampler = decoder, cache, logits, sampler
        self._stop_ids, self._check = frozenset(stop_ids), check
        self._left = max_tokens

    def __next__(self) -> int:
        if self.finish_reason is None:
            self.finish_reason = self._out_of_room()
        if self.finish_reason is not None:
            raise StopIteration
        if self._check is not None:
            self._check()
        if self.pending:
            self._read_pending()
        token = self._sampler.sample(self._logits)
        if token in self._stop_ids:
            self.finish_reason = "stop"
            raise StopIteration
        self._sampler.accept(token)
        if self._guesses is not None:
            self._guesses.accept(token)
        if self._ahead and self._ahead[0][0] == token:
            _guess, self._logits = self._ahead.popleft()
        else:
            self.close()
            self.pending.append(token)
        if self._left is not None:
            self._left -= 1
        return token

    def close(self) -> None:
        """Cut back the cache to tokens that were given out."""
        if self._ahead:
            self._cache.truncate(self._cache.length - len(self._ahead))
            self._ahead.clear()

    def _out_of_room(self) -> FinishReason | None:
        if self._left is not None and self._left <= 0:
            return "length"
        # A token that was given out must fit, as the next turn of the conversation reads it.
        if self._room() <= 0:
            return "context"
        return None

    def _room(self) -> int:
        """Tokens that fit after those given out."""
        return self._cache.context_length - self._cache.length + len(self._ahead) - len(self.pending)

    def _read_pending(self) -> None:
        guessed: list[int] = []
        if self._guesses is not None:
            room = self._room()
            guessed = self._guesses.draft(room if self._left is None else min(room, self._left - 1))
        tokens = torch.tensor([*self.pending, *guessed], dtype=torch.int64)
        began = time.perf_counter()
        with torch.inference_mode():
            logits = self._decoder(tokens, self._cache, check=self._check, all_logits=bool(guessed)).cpu()
        if self._guesses is not None:
            self._guesses.took(len(tokens), time.perf_counter() - began)
        self._logits, *after = logits[-len(guessed) - 1 :] if guessed else (logits,)
        self._ahead.extend(zip(guessed, after, strict=True))
        self.pending.clear()
