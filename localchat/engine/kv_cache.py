"""Keys and values of the tokens read so far, owned by whoever leads the conversation."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor
from torch.nn import functional as F

from localchat.errors import ContextOverflow
from localchat.model.attention import PLAIN, AttentionRule, sliding_mask, written_out
from localchat.model.load import LoadedModel
from localchat.model.plan import Plan, native_shape
from localchat.model.spec import ModelSpec
from quant.kernels import native

_FIRST_CAPACITY = 512  # tokens
_STEP = 16  # capacities are multiples of it


class KVCache:
    """One contiguous block of keys and one of values a layer, [num_key_value_heads, capacity, head_dim].

    Args:
        spec: of the decoder that will use it.
        context_length: tokens that it may hold; memory grows towards that by doubling.
        dtype: of keys and values. float32 is exact; see `localchat.model.load` for what quantized models use, and why.
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
        self.dtype = dtype
        self.device = torch.device(device)
        self.length = 0
        self._capacity = 0
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self._mask_place: tuple[int, int] | None = None  # start and count of the chunk whose layers share the masks
        self._masks: dict[int | None, Tensor] = {}  # by window

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes."""
        return sum(block.nbytes for block in (*self._keys, *self._values))

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, rule: AttentionRule = PLAIN) -> Tensor:
        """Put keys and values after the `length` known ones, and attend over all that the rule lets each query see.

        Args:
            queries: [num_heads, T, head_dim].
            keys: [num_key_value_heads, T, head_dim]; `values` the same.

        Returns:
            float32 [num_heads, T, head_dim].

        Raises:
            ContextOverflow: the context is full; the cache stays as it was.
        """
        count = queries.shape[1]
        self._put(layer, keys, values)
        first = 0 if rule.window is None else max(0, self.length + 1 - rule.window)  # that the first query sees
        known, read = self._held(layer, first, self.length + count)
        if self.device.type == "mps" or rule.softcap is not None:
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

    def blocks(self, count: int) -> tuple[list[Tensor], list[Tensor]]:
        """Keys and values by layer, with room for `count` tokens after the known ones.

        Raises:
            ContextOverflow: the context is full; the cache stays as it was.
        """
        if self.length + count > min(self._capacity, self.context_length):
            self._grow(self.length + count)
        return self._keys, self._values

    def advance(self, count: int) -> None:
        """Count `count` positions that every layer has put."""
        self.length += count

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens; memory is kept.

        Raises:
            ValueError: fewer are held.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot keep {length} of {self.length} tokens")
        self.length = length

    def _put(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Write keys and values [num_key_value_heads, T, head_dim] after the known ones."""
        end = self.length + keys.shape[1]
        keys_by_layer, values_by_layer = self.blocks(keys.shape[1])
        keys_by_layer[layer][:, self.length : end] = keys
        values_by_layer[layer][:, self.length : end] = values

    def _held(self, layer: int, first: int, end: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the positions from `first` to `end`, [num_key_value_heads, end - first, head_dim]."""
        return self._keys[layer][:, first:end], self._values[layer][:, first:end]

    def _mask(self, count: int, first: int, window: int | None) -> Tensor:
        """See `sliding_mask`: of the next `count` tokens over what is held from `first` on."""
        if self._mask_place != (self.length, count):
            self._mask_place, self._masks = (self.length, count), {}
        if window not in self._masks:
            self._masks[window] = sliding_mask(self.length, first, count, window, self.dtype, self.device)
        return self._masks[window]

    def _grow(self, needed: int) -> None:
        if needed > self.context_length:
            raise ContextOverflow(
                f"The context of {self.context_length} tokens is full.",
                "Start a new conversation, or shorten this one.",
            )
        wanted = min(self.context_length, max(needed, 2 * self._capacity, _FIRST_CAPACITY))
        capacity = -(-wanted // _STEP) * _STEP
        # Ordinary tensors also when the caller is in inference mode, as whoever comes next may not be.
        with torch.inference_mode(False):
            for blocks, shape in ((self._keys, self._key_shape(capacity)), (self._values, self._value_shape(capacity))):
                for layer in range(self.spec.num_layers):
                    block = torch.zeros(shape, dtype=self.dtype, device=self.device)
                    if self._capacity:
                        known = blocks[layer]
                        block[:, : known.shape[1]] = known
                        blocks[layer] = block
                    else:
                        blocks.append(block)
        self._capacity = capacity

    def _key_shape(self, capacity: int) -> tuple[int, ...]:
        return self._value_shape(capacity)

    def _value_shape(self, capacity: int) -> tuple[int, ...]:
        return self.spec.num_key_value_heads, capacity, self.spec.head_dim


class NativeKVCache(KVCache):
    """Keys and values as the CPU kernels read them: float16, and keys in blocks of 16 tokens,
    [num_key_value_heads, capacity / 16, head_dim, 16]."""

    def __init__(self, spec: ModelSpec, context_length: int) -> None:
        super().__init__(spec, context_length, torch.float16)
        self._library = native.ready_library()
        self._shape = native_shape(spec)
        self._layers = (native.CacheLayer * spec.num_layers)()
        self._cache = native.Cache(ctypes.addressof(self._layers), 0)

    def reserve(self, count: int) -> native.Cache:
        """Where the kernels find keys and values, with room for `count` tokens more.

        Raises:
            ContextOverflow: the context is full; the cache stays as it was.
        """
        keys, values = self.blocks(count)
        if self._cache.capacity != self._capacity:
            for layer, layer_keys, layer_values in zip(self._layers, keys, values, strict=True):
                layer.keys, layer.values = layer_keys.data_ptr(), layer_values.data_ptr()
            self._cache.capacity = self._capacity
        return self._cache

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, rule: AttentionRule = PLAIN) -> Tensor:
        """As `KVCache.attend`, in float32 over what float16 keeps of keys and values."""
        count, scale = queries.shape[1], self.spec.head_dim**-0.5 if rule.scale is None else rule.scale
        self.reserve(count)
        self._shape.attention_scale, self._shape.attention_softcap = scale, rule.softcap or 0
        rows = [heads.transpose(0, 1).float().contiguous() for heads in (queries, keys, values)]
        out = torch.empty_like(rows[0])
        status = self._library.quant_attend(
            ctypes.addressof(self._shape),
            ctypes.addressof(self._cache),
            layer,
            rule.window or 0,
            self.length,
            count,
            *(row.data_ptr() for row in rows),
            out.data_ptr(),
        )
        native.check(status)
        return out.transpose(0, 1)

    def _key_shape(self, capacity: int) -> tuple[int, ...]:
        return self.spec.num_key_value_heads, capacity // 16, self.spec.head_dim, 16


def cache_for(model: LoadedModel, context_length: int) -> KVCache:
    """An empty cache of the kind that the model's decoder works on."""
    if isinstance(model.decoder, Plan):
        return NativeKVCache(model.spec, context_length)
    return KVCache(model.spec, context_length, model.cache_dtype, model.device)
