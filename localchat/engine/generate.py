"""Reading a prompt in chunks, and writing a reply token by token; token ids in, token ids out.

Both call `check` between any two pieces of work that a user would notice waiting for; what it raises passes through
and leaves the cache with whole tokens only.
"""

from __future__ import annotations

import time
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


class Generation(Iterator[int]):
    """The tokens of one reply, the first of them drawn from `logits`, each computed when it is asked for.

    The cache holds every token given out but the last: that one is read when the next is asked for.

    Args:
        stop_ids: tokens that end the reply; they are not given out.
        max_tokens: give out at most so many; None goes on to the end of the cache's context.
        check: called before each token and each layer.

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
    ) -> None:
        self.finish_reason: FinishReason | None = None
        self.pending: list[int] = []
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
        self.pending.append(token)
        if self._left is not None:
            self._left -= 1
        return token

    def _out_of_room(self) -> FinishReason | None:
        if self._left is not None and self._left <= 0:
            return "length"
        # A token that was given out must fit, as the next turn of the conversation reads it.
        if self._cache.length + len(self.pending) >= self._cache.context_length:
            return "context"
        return None

    def _read_pending(self) -> None:
        tokens = torch.tensor(self.pending, dtype=torch.int64)
        with torch.inference_mode():
            self._logits = self._decoder(tokens, self._cache, check=self._check).cpu()
        self.pending.clear()
