"""Keys and values of the tokens read so far, owned by whoever leads the conversation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from localchat.errors import ContextOverflow
from localchat.model.spec import ModelSpec

_FIRST_CAPACITY = 512  # tokens


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
        self._mask: tuple[int, int, Tensor] | None = None  # start, count, mask: the layers of a chunk share it

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes."""
        return sum(block.nbytes for block in (*self._keys, *self._values))

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Put keys and values after the `length` known ones, and attend over all of them, causally.

        Args:
            queries: [num_heads, T, head_dim].
            keys: [num_key_value_heads, T, head_dim]; `values` the same.

        Returns:
            float32 [num_heads, T, head_dim].

        Raises:
            ContextOverflow: the context is full; the cache stays as it was.
        """
        count = queries.shape[1]
        end = self.length + count
        if end > self._capacity:
            self._grow(end)
        all_keys, all_values = self._keys[layer], self._values[layer]
        all_keys[:, self.length : end] = keys
        all_values[:, self.length : end] = values
        known, read = all_keys[None, :, :end], all_values[None, :, :end]
        queries = queries.to(self.dtype)
        if count == 1:
            # The heads that share a key head stand in the place of query positions: no mask, and twice as fast as
            # enable_gqa, which reads the keys once for each head.
            shared = queries.reshape(1, known.shape[1], -1, known.shape[3])
            return F.scaled_dot_product_attention(shared, known, read).view(queries.shape).float()
        mask = None if self.length == 0 else self._causal_mask(count)
        out = F.scaled_dot_product_attention(
            queries[None], known, read, attn_mask=mask, is_causal=mask is None, enable_gqa=True
        )
        return out[0].float()

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

    def _causal_mask(self, count: int) -> Tensor:
        """[T, length + T], minus infinity where a key comes after the query."""
        if self._mask is None or self._mask[:2] != (self.length, count):
            mask = torch.full((count, self.length + count), -torch.inf, dtype=self.dtype, device=self.device)
            self._mask = (self.length, count, mask.triu_(self.length + 1))
        return self._mask[2]

    def _grow(self, needed: int) -> None:
        if needed > self.context_length:
            raise ContextOverflow(
                f"The context of {self.context_length} tokens is full.",
                "Start a new conversation, or shorten this one.",
            )
        capacity = min(self.context_length, max(needed, 2 * self._capacity, _FIRST_CAPACITY))
        shape = (self.spec.num_key_value_heads, capacity, self.spec.head_dim)
        # Ordinary tensors also when the caller is in inference mode, as whoever comes next may not be.
        with torch.inference_mode(False):
            for blocks in (self._keys, self._values):
                for layer in range(self.spec.num_layers):
                    block = torch.zeros(shape, dtype=self.dtype, device=self.device)
                    if self._capacity:
                        block[:, : self.length] = blocks[layer][:, : self.length]
                        blocks[layer] = block
                    else:
                        blocks.append(block)
        self._capacity = capacity
