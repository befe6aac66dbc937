"""The layers of a cache as the CPU kernels see them."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from localchat.model.attention import AttentionRule
from localchat.model.plan import native_shape
from localchat.model.spec import ModelSpec
from quant.kernels import native


class NativeLayers:
    """Where the keys and values of each layer are in memory, and attention over them.

    Attributes:
        layers: to be filled in by whoever owns the memory.
        address: of the first.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._library = native.ready_library()
        self._shape = native_shape(spec)
        self.layers = (native.CacheLayer * spec.num_layers)()
        self.address = ctypes.addressof(self.layers)

    def attend(
        self, layer: int, position: int, queries: Tensor, keys: Tensor, values: Tensor, rule: AttentionRule
    ) -> Tensor:
        """Put keys and values [num_key_value_heads, T, head_dim] at `position` on, and attend.

        Returns:
            float32, the shape of the queries [num_heads, T, head_dim].
        """
        count, scale = queries.shape[1], self._spec.head_dim**-0.5 if rule.scale is None else rule.scale
        self._shape.attention_scale, self._shape.attention_softcap = scale, rule.softcap or 0
        rows = [heads.transpose(0, 1).float().contiguous() for heads in (queries, keys, values)]
        out = torch.empty_like(rows[0])
        status = self._library.quant_attend(
            ctypes.addressof(self._shape),
            self.address + layer * ctypes.sizeof(native.CacheLayer),
            rule.window or 0,
            position,
            count,
            *(row.data_ptr() for row in rows),
            out.data_ptr(),
        )
        native.check(status)
        return out.transpose(0, 1)
