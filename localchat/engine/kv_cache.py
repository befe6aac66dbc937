"""Keys and values of the tokens read so far, owned by whoever leads the conversation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from localchat.engine.cache_blocks import BLOCK, Block, copied, firsts_of, put_back
from localchat.engine.layer_states import LayerStates, State
from localchat.engine.native_layers import NativeLayers
from localchat.errors import ContextOverflow
from localchat.model.attention import PLAIN, AttentionRule, sliding_mask, written_out
from localchat.model.cache_room import STATE_MARKS, CacheKind, kept_from, most_room, needed_from
from localchat.model.spec import ModelSpec
from localchat.translation import _
from quant.kernels import native

Rows = tuple[Tensor, Tensor, Tensor, Tensor]
"""Codes and scales of keys, and then of values."""
_FIRST_CAPACITY = 512  # tokens
_STEP = 16  # capacities are multiples of it


class KVCache:
    """One contiguous block of keys and one of values a layer, [num_key_value_heads, capacity, head_dim].

    Of a layer that sees a window, what lies far before that is let go of: see `localchat.model.cache_room`.

    Args:
        spec: of the decoder that will use it.
        context_length: tokens that it may hold; memory grows towards that by doubling.
        dtype: of keys and values. float32 is exact; see `localchat.model.load` for what quantized models use, and why.

    Attributes:
        kind: how keys and values are held; see `localchat.engine.quantized_cache` for the others.
        firsts: by layer, the position of the first token that its block holds.
    """

    def __init__(
        self,
        spec: ModelSpec,
        context_length: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.spec = spec
        self.context_length = context_length
        self.kind: CacheKind = "full"
        self.dtype = dtype
        self.device = torch.device(device)
        self.length = 0
        self.firsts = [0] * spec.num_layers
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self._states = LayerStates(STATE_MARKS)
        self._end = 0  # position up to which every block has room
        self._moves = 0  # times that blocks were made anew or moved
        self._mask_place: tuple[int, int] | None = None  # start and count of the chunk whose layers share the masks
        self._masks: dict[int | None, Tensor] = {}  # by window

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes."""
        return sum(block.nbytes for block in (*self._keys, *self._values)) + self._states.nbytes

    def attend(
        self, layer: int, queries: Tensor, keys: Tensor | None, values: Tensor | None, rule: AttentionRule = PLAIN
    ) -> Tensor:
        """Put keys and values after the `length` known ones, and attend over all that the rule lets each query see.

        Args:
            queries: [num_heads, T, head_dim].
            keys: [num_key_value_heads, T, head_dim]; `values` the same. None where the layer has put them already.

        Returns:
            float32 [num_heads, T, head_dim].

        Raises:
            ContextOverflow: the context is full; the cache stays as it was.
        """
        count = queries.shape[1]
        if keys is not None and values is not None:
            self._put(layer, keys, values)
        first = 0 if rule.window is None else max(0, self.length + 1 - rule.window)  # that the first query sees
        known, read = self._held(layer, first, self.length + count)
        if self.device.type == "mps" or not rule.is_fused:
            mask = None if count == 1 else self._mask(count, first, rule.window)
            return written_out(queries, known, read, mask, rule)
        known, read, queries = known[None], read[None], queries.to(known.dtype)
        if count == 1:
            # The heads that share a key head stand in the place of query positions: no mask, and twice as fast as
            # enable_gqa, which reads the keys once for each head.
            shared = queries.reshape(1, known.shape[1], -1, known.shape[3])
            out = F.scaled_dot_product_attention(shared, known, read, scale=rule.scale)
            return out.reshape(queries.shape).float()
        causal = self.length == 0 and (rule.window is None or count <= rule.window)
        mask = None if causal else self._mask(count, first, rule.window)
        out = F.scaled_dot_product_attention(
            queries[None], known, read, attn_mask=mask, is_causal=causal, enable_gqa=True, scale=rule.scale
        )
        return out[0].float()

    def blocks(self, count: int) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Keys and values by layer, with room for `count` tokens after the known ones.

        Raises:
            ContextOverflow: the context is full; the cache stays as it was.
        """
        if self.length + count > self._end:
            self._make_room(self.length + count)
        return self._keys, self._values

    def begin_pass(self, count: int) -> None:
        """Have room for `count` tokens that are read now. Raises as `blocks` does."""
        self.blocks(count)

    def coded(self, layer: int) -> Rows | None:  # noqa: ARG002
        """What complete spans are held in, as `localchat.engine.cache_codes` lays it out; None where all is in full."""
        return None

    def state(self, layer: int) -> State | None:
        """What a layer without keys and values keeps of the known tokens; None before the first."""
        return self._states.of(layer)

    def put_state(self, layer: int, state: State) -> None:
        """What it keeps after the tokens that are read now; they count with `advance`. Never written to from now on."""
        self._states.put(layer, state)

    def advance(self, count: int) -> None:
        """Count `count` positions that every layer has put."""
        self._states.advance(self.length, count)
        self.length += count

    def truncate(self, length: int) -> int:
        """Forget all but the first `length` tokens; memory is kept.

        Returns:
            How many tokens are kept: fewer where a layer keeps a state, of which there is only an earlier one, and none
            where a layer no longer holds what the next token would see.

        Raises:
            ValueError: fewer than `length` are held.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot keep {length} of {self.length} tokens")
        length = self._way_back(length)
        if any(first > needed_from(self.spec, layer, length) for layer, first in enumerate(self.firsts)):
            length = 0
        if length < self.length:
            self._states.go_back(length)
        if length == 0:
            self.firsts = [0] * self.spec.num_layers
            self._note_room()
        self.length = length
        return length

    def _way_back(self, length: int) -> int:
        """The most tokens, at most `length`, that there is a way back to."""
        return self._states.earlier(length) if length < self.length and self.spec.keeps_states else length

    def take(self, index: int) -> Block | None:
        """A copy of what the layers hold of the tokens from `index * BLOCK` on, one block of them; None where that is
        not known, or cannot be all: what a layer keeps as a state is not there for any place of a text."""
        if self.spec.keeps_states or (index + 1) * BLOCK > self.length:
            return None
        return copied(list(zip(self._keys, self._values, strict=True)), self.firsts, index)

    def give(self, blocks: Sequence[Block]) -> None:
        """Hold these blocks, the first of a text, and nothing else. See `localchat.engine.cache_blocks.usable`.

        Raises:
            ContextOverflow: they do not fit; the cache is empty then.
        """
        self.truncate(0)
        self.firsts = firsts_of(blocks, self.spec)
        self._note_room()
        keys, values = self.blocks(len(blocks) * BLOCK)
        put_back(list(zip(keys, values, strict=True)), self.firsts, blocks)
        self.length = len(blocks) * BLOCK

    def _put(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Write keys and values [num_key_value_heads, T, head_dim] after the known ones."""
        start, (keys_by_layer, values_by_layer) = self.length, self.blocks(keys.shape[1])
        slots = slice(start - self.firsts[layer], start - self.firsts[layer] + keys.shape[1])
        keys_by_layer[layer][:, slots], values_by_layer[layer][:, slots] = keys, values

    def _held(self, layer: int, first: int, end: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the positions from `first` to `end`, [num_key_value_heads, end - first, head_dim]."""
        slots = slice(first - self.firsts[layer], end - self.firsts[layer])
        return self._keys[layer][:, slots], self._values[layer][:, slots]

    def _mask(self, count: int, first: int, window: int | None) -> Tensor:
        """See `sliding_mask`: of the next `count` tokens over what is held from `first` on."""
        if self._mask_place != (self.length, count):
            self._mask_place, self._masks = (self.length, count), {}
        if window not in self._masks:
            self._masks[window] = sliding_mask(self.length, first, count, window, self.dtype, self.device)
        return self._masks[window]

    def _make_room(self, end: int) -> None:
        """Let every layer have room up to position `end`."""
        if end > self.context_length:
            raise ContextOverflow(
                _("The context of {context_length} tokens is full.").format(context_length=self.context_length),
                _("Start a new conversation, or shorten this one."),
            )
        # Ordinary tensors also when the caller is in inference mode, as whoever comes next may not be.
        with torch.inference_mode(False):
            if not self._keys:
                nothing = [torch.empty(0, 0, 0, dtype=self.dtype, device=self.device)] * self.spec.num_layers
                self._keys, self._values = nothing[:], nothing[:]
            for layer in range(self.spec.num_layers):
                if end > self._end_of(layer):
                    self._make_room_in(layer, end)
        self._note_room()

    def _make_room_in(self, layer: int, end: int) -> None:
        """Let go of what lies far before the window where the room is used up, and take memory where it is not."""
        room, held = most_room(self.spec, layer, self.context_length), self._values[layer].shape[1]
        first = self._first_to_hold(layer, end)
        wanted = max(end - first, held, min(room, max(2 * held, _FIRST_CAPACITY)))
        capacity = -(-wanted // _STEP) * _STEP
        left_out = first - self.firsts[layer]
        self._keys[layer], self._values[layer], self.firsts[layer] = (
            self._moved(self._keys[layer], held, left_out, self._key_shape(layer, capacity)),
            self._moved(self._values[layer], held, left_out, self._value_shape(layer, capacity)),
            first,
        )

    def _first_to_hold(self, layer: int, end: int) -> int:
        """The position with which a layer begins that is to have room up to `end`."""
        first = self.firsts[layer]
        if end - first <= most_room(self.spec, layer, self.context_length):
            return first
        # Beginning where the kernels' spans begin, so that results are the same to the bit.
        return max(first, kept_from(self.spec, layer, self.length) // native.SPAN * native.SPAN)

    def _moved(self, block: Tensor, held: int, left_out: int, shape: tuple[int, ...]) -> Tensor:
        """Keys or values of `held` tokens without the first ones, in the same memory where it has the shape."""
        fits = block.shape == shape
        moved = block if fits else torch.zeros(shape, dtype=self.dtype, device=self.device)
        if held:
            known = block[:, left_out * block.shape[1] // held :]
            moved[:, : known.shape[1]] = known.clone() if fits else known
        return moved

    def _end_of(self, layer: int) -> int:
        return self.firsts[layer] + self._values[layer].shape[1]

    def _note_room(self) -> None:
        self._end = min(self.context_length, min(map(self._end_of, range(len(self._values))), default=0))
        self._moves += 1

    def _key_shape(self, layer: int, capacity: int) -> tuple[int, ...]:
        return self._value_shape(layer, capacity)

    def _value_shape(self, layer: int, capacity: int) -> tuple[int, ...]:
        return self.spec.layer_key_value_heads(layer), capacity, self.spec.layer_head_dim(layer)


class NativeKVCache(KVCache):
    """Keys and values as the CPU kernels read them: float16, and keys in blocks of 16 tokens,
    [num_key_value_heads, capacity / 16, head_dim, 16]."""

    def __init__(self, spec: ModelSpec, context_length: int) -> None:
        super().__init__(spec, context_length, torch.float16)
        self._native = NativeLayers(spec)
        self._written = 0  # moves that the kernels know of

    def reserve(self, count: int) -> int:
        """The address of a `native.CacheLayer` for every layer, with room for `count` tokens more.

        Raises:
            ContextOverflow: the context is full; the cache stays as it was.
        """
        keys, values = self.blocks(count)
        if self._written != self._moves:
            layers = self._native.layers
            for layer, layer_keys, layer_values, first in zip(layers, keys, values, self.firsts, strict=True):
                layer.keys, layer.values = layer_keys.data_ptr(), layer_values.data_ptr()
                layer.capacity, layer.first = layer_values.shape[1], first
            self._written = self._moves
        return self._native.address

    def attend(
        self, layer: int, queries: Tensor, keys: Tensor | None, values: Tensor | None, rule: AttentionRule = PLAIN
    ) -> Tensor:
        """As `KVCache.attend`, in float32 over what float16 keeps of keys and values, which are never None here: no
        plan is made of decoders whose layers share them."""
        assert keys is not None and values is not None
        self.reserve(queries.shape[1])
        return self._native.attend(layer, self.length, queries, keys, values, rule)

    def _key_shape(self, layer: int, capacity: int) -> tuple[int, ...]:
        return self.spec.layer_key_value_heads(layer), capacity // 16, self.spec.layer_head_dim(layer), 16
