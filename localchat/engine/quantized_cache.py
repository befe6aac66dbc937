"""A cache of keys and values in int8 or int4: half or a third of the memory, the newest tokens in full.

Complete spans of 128 tokens are held in codes (`localchat.engine.cache_codes`), and the newest tokens in full beside
them: a query sees the spans before its own in codes, and its own in full. That depends on its position alone, so that a
text gives the same however it comes, in pieces, from blocks or after a cut.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from localchat.engine import cache_codes
from localchat.engine.cache_blocks import BLOCK, Block, firsts_of
from localchat.engine.cache_codes import Codes
from localchat.engine.kv_cache import KVCache, Rows
from localchat.engine.native_layers import NativeLayers
from localchat.errors import InvalidSetting
from localchat.model.attention import PLAIN, AttentionRule, written_out
from localchat.model.cache_room import CODE_BITS, SPAN, TAIL, CacheKind, code_rows, most_room
from localchat.model.spec import ModelSpec
from localchat.translation import _

_FIRST_CAPACITY = 512  # tokens


class QuantizedKVCache(KVCache):
    """Codes of complete spans, and the newest tokens in full in a ring; torch operations, on any device.

    By layer, with H key heads of D channels: the rows of `cache_codes`, each [H, capacity / 128, numbers], and a ring
    of the last 144 keys and values in float16, [H, 144, D]: the token at position p is in slot p % 144.

    A text that is cut within the last 16 tokens goes on as if the others had never been; further back it may be cut
    where a span begins. So it may after a call of the decoder that was given up: cut the cache, to the length that it
    has, before the next call.

    Args:
        kind: "int8" or "int4".

    Raises:
        InvalidSetting: the model's heads cannot be cut into tiles of 16 channels.
    """

    def __init__(
        self, spec: ModelSpec, context_length: int, kind: CacheKind, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__(spec, context_length, torch.float16, device)
        self.kind, self.bits = kind, CODE_BITS[kind]
        if any(spec.layer_head_dim(layer) % 16 for layer in range(spec.num_layers)):
            raise InvalidSetting(
                _("The cache of this model cannot be quantized: its heads have {channels} channels.").format(
                    channels=spec.head_dim
                ),
                _('Set cache to "full".'),
            )
        self._codes: list[Codes] = []
        self._full_from = 0  # first position that is held in full
        self._fresh: dict[int, tuple[Tensor, Tensor]] = {}  # by layer, in full from where the first token's span begins
        self._seen: tuple[int, int] | None = None  # start and count of the chunk whose layers share what was made

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes."""
        return super().nbytes + sum(row.nbytes for codes in self._codes for row in codes.tensors())

    def coded(self, layer: int) -> Rows | None:
        return self._codes[layer].tensors()

    def attend(
        self, layer: int, queries: Tensor, keys: Tensor | None, values: Tensor | None, rule: AttentionRule = PLAIN
    ) -> Tensor:
        """As `KVCache.attend`."""
        start, end = self.length, self.length + queries.shape[1]
        begin = start // SPAN * SPAN
        if keys is not None and values is not None:
            self._extend(layer, keys, values)
        own_keys, own_values = self._fresh[layer]
        first = 0 if rule.window is None else max(0, start + 1 - rule.window) // SPAN * SPAN
        spans = slice((first - self.firsts[layer]) // SPAN, ((end - 1) // SPAN * SPAN - self.firsts[layer]) // SPAN)
        coded = Codes(*(row[:, spans] for row in self._codes[layer].tensors()))
        known, read = cache_codes.decode(coded, self.bits)
        mask = self._span_mask(queries.shape[1], first, first + known.shape[1], begin, rule.window)
        known, read = (torch.cat(pair, dim=1) for pair in ((known, own_keys.float()), (read, own_values.float())))
        if self.device.type == "mps" or not rule.is_fused:
            return written_out(queries, known, read, mask, rule)
        dtype = torch.float32 if self.device.type == "cpu" else self.dtype
        queries, known, read, mask = (each.to(dtype) for each in (queries, known, read, mask))
        out = F.scaled_dot_product_attention(
            queries[None], known[None], read[None], attn_mask=mask, enable_gqa=True, scale=rule.scale
        )
        return out[0].float()

    def advance(self, count: int) -> None:
        super().advance(count)
        self._fresh.clear()

    def begin_pass(self, count: int) -> None:
        """Have room for `count` tokens, and note which of those held in full they will take the place of.

        Raises:
            ContextOverflow: the context is full; the cache stays as it was.
        """
        self.blocks(count)
        self._full_from = max(self._full_from, self.length + count - TAIL)

    def _way_back(self, length: int) -> int:
        while True:
            place = super()._way_back(length)
            length = place // SPAN * SPAN
            if length == place or length >= self._full_from:
                return place

    def truncate(self, length: int) -> int:
        kept = super().truncate(length)
        self._full_from = min(self._full_from, kept)
        self._fresh.clear()
        return kept

    def take(self, index: int) -> Block | None:
        """As `KVCache.take`: the codes of a span."""
        if self.spec.keeps_states or (index + 1) * BLOCK > self.length:
            return None
        parts: list[Tensor | None] = []
        for codes, first in zip(self._codes, self.firsts, strict=True):
            place = index - first // SPAN
            parts += [None if place < 0 else row[:, place].to("cpu", copy=True) for row in codes.tensors()]
        return tuple(parts)

    def give(self, blocks: Sequence[Block]) -> None:
        """As `KVCache.give`."""
        self.truncate(0)
        self.firsts = firsts_of(blocks, self.spec)
        self._note_room()
        self.blocks(len(blocks) * BLOCK)
        for layer, (codes, first) in enumerate(zip(self._codes, self.firsts, strict=True)):
            rows = codes.tensors()
            for place, block in enumerate(blocks[first // SPAN :]):
                for row, part in zip(rows, block[layer * len(rows) : (layer + 1) * len(rows)], strict=True):
                    assert part is not None
                    row[:, place] = part
        self.length = self._full_from = len(blocks) * BLOCK

    def _extend(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Put keys and values [H, T, D] after the known ones, in codes where they complete spans."""
        start, end = self.length, self.length + keys.shape[1]
        begin, complete = start // SPAN * SPAN, end // SPAN * SPAN
        self.begin_pass(keys.shape[1])
        slots = torch.arange(begin, end, device=self.device) % TAIL
        rings, kept = (self._keys[layer], self._values[layer]), max(start, end - TAIL) - begin
        sides = [
            torch.cat((ring[:, slots[: start - begin]], self._half(new)), dim=1)
            for ring, new in zip(rings, (keys, values), strict=True)
        ]
        for ring, side in zip(rings, sides, strict=True):
            ring[:, slots[kept:]] = side[:, kept:]
        if complete > begin:
            done = cache_codes.encode(sides[0][:, : complete - begin], sides[1][:, : complete - begin], self.bits)
            spans = slice((begin - self.firsts[layer]) // SPAN, (complete - self.firsts[layer]) // SPAN)
            for row, new in zip(self._codes[layer].tensors(), done.tensors(), strict=True):
                row[:, spans] = new
        if self._seen != (start, end - start):
            self._seen, self._masks = (start, end - start), {}
        self._fresh[layer] = sides[0], sides[1]

    def _half(self, x: Tensor) -> Tensor:
        return x.float().clamp(-cache_codes.MOST, cache_codes.MOST).half()

    def _span_mask(self, count: int, first: int, coded_end: int, begin: int, window: int | None) -> Tensor:
        """[count, coded tokens from `first` on, tokens in full from `begin` on], minus infinity where a query at
        `length` on does not see a token, or not in that form."""
        if window not in self._masks:
            query = torch.arange(self.length, self.length + count, device=self.device)[:, None]
            own = query // SPAN * SPAN
            coded = torch.arange(first, coded_end, device=self.device)
            full = torch.arange(begin, self.length + count, device=self.device)
            since = query + 1 - (self.length + count if window is None else window)
            hidden = torch.cat(
                ((coded >= own) | (coded < since), (full < own) | (full > query) | (full < since)), dim=1
            )
            mask = torch.zeros(hidden.shape, dtype=self.dtype, device=self.device)
            self._masks[window] = mask.masked_fill_(hidden, -torch.inf)
        return self._masks[window]

    def _make_room_in(self, layer: int, end: int) -> None:
        heads, channels = self.spec.layer_key_value_heads(layer), self.spec.layer_head_dim(layer)
        if not self._codes:
            nothing = torch.empty(0, 0, 0, dtype=torch.uint8, device=self.device)
            self._codes = [Codes(nothing, nothing, nothing, nothing)] * self.spec.num_layers
        if not self._keys[layer].numel():
            self._keys[layer] = torch.zeros(self._ring_shape(heads, channels), dtype=self.dtype, device=self.device)
            self._values[layer] = torch.zeros(heads, TAIL, channels, dtype=self.dtype, device=self.device)
        held, first = self._codes[layer].key_codes.shape[1] * SPAN, self._first_to_hold(layer, end)
        room = most_room(self.spec, layer, self.context_length)
        wanted = max(end - first, held, min(room, max(2 * held, _FIRST_CAPACITY)))
        rows = zip(self._codes[layer].tensors(), code_rows(self.bits, channels), strict=True)
        left_out, spans = (first - self.firsts[layer]) // SPAN, -(-wanted // SPAN)
        dtypes = itertools.cycle((torch.uint8, torch.float16))  # codes and scales
        self._codes[layer] = Codes(
            *(
                self._rows_moved(row, left_out, (heads, spans, numbers), dtype)
                for (row, numbers), dtype in zip(rows, dtypes, strict=False)
            )
        )
        self.firsts[layer] = first

    def _rows_moved(self, rows: Tensor, left_out: int, shape: tuple[int, int, int], dtype: torch.dtype) -> Tensor:
        """Codes or scales without those of the first spans, in the same memory if they have the shape."""
        fits = rows.shape == shape
        moved = rows if fits else torch.zeros(shape, dtype=dtype, device=self.device)
        if rows.numel():
            known = rows[:, left_out:]
            moved[:, : known.shape[1]] = known.clone() if fits else known
        return moved

    def _end_of(self, layer: int) -> int:
        return self.firsts[layer] + (self._codes[layer].key_codes.shape[1] * SPAN if self._codes else 0)

    def _ring_shape(self, heads: int, channels: int) -> tuple[int, ...]:
        return heads, TAIL, channels


class NativeQuantizedKVCache(QuantizedKVCache):
    """As the CPU kernels read it: the keys of the ring in blocks of 16 tokens, [H, 9, D, 16]."""

    def __init__(self, spec: ModelSpec, context_length: int, kind: CacheKind) -> None:
        super().__init__(spec, context_length, kind)
        self._native = NativeLayers(spec)
        self._written = 0  # moves that the kernels know of

    def reserve(self, count: int) -> int:
        """As `NativeKVCache.reserve`."""
        self.begin_pass(count)
        if self._written != self._moves:
            rows = zip(self._native.layers, self._keys, self._values, self._codes, self.firsts, strict=True)
            for layer, keys, values, codes, first in rows:
                layer.keys, layer.values, layer.bits, layer.first = keys.data_ptr(), values.data_ptr(), self.bits, first
                layer.capacity = codes.key_codes.shape[1] * SPAN
                layer.key_codes, layer.value_codes = codes.key_codes.data_ptr(), codes.value_codes.data_ptr()
                layer.key_scales, layer.value_scales = codes.key_scales.data_ptr(), codes.value_scales.data_ptr()
            self._written = self._moves
        return self._native.address

    def attend(
        self, layer: int, queries: Tensor, keys: Tensor | None, values: Tensor | None, rule: AttentionRule = PLAIN
    ) -> Tensor:
        """As `NativeKVCache.attend`."""
        assert keys is not None and values is not None
        self.reserve(queries.shape[1])
        return self._native.attend(layer, self.length, queries, keys, values, rule)

    def _ring_shape(self, heads: int, channels: int) -> tuple[int, ...]:
        return heads, TAIL // 16, channels, 16
