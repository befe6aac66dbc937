"""Decoding on CUDA with one launch a token: the work of a token is recorded once, as a CUDA graph, and then replayed.

A token of a small model is a thousand kernels of a few microseconds each, which the processor cannot launch that fast.
A graph runs the same kernels on the same addresses every time. So what changes from token to token lies in buffers that
stay: the embedded token, its position, the logits, and with which positions the blocks of layers begin. Keys and values
are written where the position is in its block, and attention always goes over a whole span of the cache, with a mask
over what is not reached yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from localchat.model.attention import AttentionRule, CacheLike, written_out
from localchat.model.cache_room import CacheKind
from localchat.model.decoder import Check, Decoder
from localchat.model.rope import Angles
from localchat.translation import _

_FIRST_SPAN = 512  # tokens; spans grow by doubling, each recorded anew, so that short contexts do not pay for long ones


class GraphCache(CacheLike, Protocol):
    """A cache whose keys and values a graph can write and read."""

    @property
    def kind(self) -> CacheKind:
        """Only one that holds keys and values in full can be recorded."""
        ...

    @property
    def firsts(self) -> Sequence[int]:
        """By layer, the position of the first token of its block; the same for all with the same window."""
        ...

    def blocks(self, count: int) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Keys and values by layer, [num_key_value_heads, capacity, head_dim], with room for `count` tokens more.

        They stay in their place until there is more to hold than the capacity, or `firsts` change.

        Raises:
            ContextOverflow: they do not fit.
        """
        ...


class GraphedDecoder:
    """A decoder on CUDA that replays a graph for single tokens; called like the decoder, and else just that.

    The logits of a single token are only good until the next call. `check` is called once before a replay.

    Attributes:
        reason: why single tokens are not replayed; None as long as they are.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.decoder, self.spec = decoder, decoder.spec
        self.reason = _("the token alone decides what layers are told") if decoder.spec.per_layer_size else None
        if decoder.spec.keeps_states:
            self.reason = _("some layers keep states in the place of keys and values")
        self._recorded: _Recorded | None = None

    @torch.inference_mode()
    def __call__(
        self, tokens: Tensor, cache: GraphCache, *, check: Check | None = None, all_logits: bool = False
    ) -> Tensor:
        """As `Decoder.forward`."""
        if tokens.shape[0] == 1 and not all_logits and self.reason is None and cache.kind == "full":
            if check is not None:
                check()
            if (recorded := self._record_where_needed(cache)) is not None:
                next_logits = recorded.replay(self.decoder.embed(tokens, cache.length), cache.length, cache.firsts)
                cache.advance(1)
                return next_logits
        logits: Tensor = self.decoder(tokens, cache, check=check, all_logits=all_logits)
        return logits

    def _record_where_needed(self, cache: GraphCache) -> _Recorded | None:
        keys, _values = cache.blocks(1)
        span = _FIRST_SPAN
        while span <= cache.length:
            span *= 2
        if self._recorded is None or not self._recorded.is_for(keys, span):
            self._recorded = None  # before the next one takes its memory
            try:
                self._recorded = _Recorded(self.decoder, cache, span)
            except RuntimeError as error:
                self.reason = _("CUDA cannot record a token ({error})").format(error=str(error).strip().splitlines()[0])
        return self._recorded


class _Recorded:
    """One token on one cache, over the first `span` positions, ready to be replayed."""

    def __init__(self, decoder: Decoder, cache: GraphCache, span: int) -> None:
        keys, values = cache.blocks(1)
        device = keys[0].device
        self._decoder, self._keys, self._values, self._span = decoder, list(keys), list(values), span
        self._angles = decoder.rope.at(0, span, cache.context_length)
        self._positions = torch.arange(span, device=device)
        self._visible = torch.zeros(1, span, dtype=keys[0].dtype, device=device)
        self._windows = {decoder.spec.window(layer): layer for layer in range(decoder.spec.num_layers)}  # one of each
        self._masks: dict[int | None, Tensor] = {}  # by window
        self._x = torch.zeros(1, decoder.spec.hidden_size, device=device)
        # A rehearsal writes to the cache as well, so it must be where the first replay will be.
        self._position = torch.full((1,), cache.length, device=device)
        self._known_firsts = list(cache.firsts)
        self._firsts = torch.tensor(self._known_firsts, device=device)
        self._slots = self._position - self._firsts  # by layer, where in its block the token goes
        self._replay = record(self._run)

    def is_for(self, keys: Sequence[Tensor], span: int) -> bool:
        return span == self._span and all(now is then for now, then in zip(keys, self._keys, strict=True))

    def replay(self, embedded: Tensor, position: int, firsts: Sequence[int]) -> Tensor:
        """Logits, float32 [vocab_size], after the token embedded as [1, hidden_size]."""
        self._x.copy_(embedded)
        self._position.fill_(position)
        if firsts != self._known_firsts:
            self._known_firsts = list(firsts)
            self._firsts.copy_(torch.tensor(self._known_firsts))
        return self._replay()

    def attend(
        self, layer: int, queries: Tensor, keys: Tensor | None, values: Tensor | None, rule: AttentionRule
    ) -> Tensor:
        """As `CacheLike.attend`, for one token."""
        all_keys, all_values, slot = self._keys[layer], self._values[layer], self._slots[layer : layer + 1]
        if keys is not None and values is not None:
            all_keys.index_copy_(1, slot, keys.to(all_keys.dtype))
            all_values.index_copy_(1, slot, values.to(all_values.dtype))
        known, read, mask = all_keys[:, : self._span], all_values[:, : self._span], self._masks[rule.window]
        if not rule.is_fused:
            return written_out(queries, known, read, mask, rule)
        # The heads that share a key head stand in the place of query positions.
        shared = queries.to(all_keys.dtype).reshape(1, all_keys.shape[0], -1, all_keys.shape[2])
        out = F.scaled_dot_product_attention(shared, known[None], read[None], attn_mask=mask, scale=rule.scale)
        return out.reshape(queries.shape).float()

    def _run(self) -> Tensor:
        """`Decoder.forward` of the token in the buffers; nothing here may ask the device for a value."""
        full, sliding = (
            (c.index_select(0, self._position), s.index_select(0, self._position)) for c, s in self._angles
        )
        self._slots = self._position - self._firsts
        for window, index in self._windows.items():
            held, slot = self._positions[: self._keys[index].shape[1]], self._slots[index]
            hidden = held > slot
            if window is not None:
                hidden = hidden | (held <= slot - window)
            self._masks[window] = self._visible[:, : len(held)].masked_fill(hidden, -torch.inf)
        x = self._x
        for layer in self._decoder.layers:
            x = layer(x, Angles(full, sliding), self)
        return self._decoder.logits(x)[0]


def record(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """What `run` does on the device, as one thing to replay; its result is always in the same place.

    Raises:
        RuntimeError: something in it cannot be recorded.
    """
    # Libraries set themselves up when they are first used, which cannot be recorded.
    rehearsal = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    rehearsal.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(rehearsal):
        run()
    torch.cuda.current_stream().wait_stream(rehearsal)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = run()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay
