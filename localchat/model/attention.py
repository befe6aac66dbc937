"""What a layer asks of attention besides queries, keys and values, and attention over a cache of any kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from localchat.model.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class AttentionRule:
    """Decided once a layer.

    Attributes:
        window: tokens that a query sees, itself included; None for all before it.
        scale: of the scores; None for head_dim ** -0.5.
        softcap: scaled scores s become softcap * tanh(s / softcap).
    """

    window: int | None = None
    scale: float | None = None
    softcap: float | None = None

    @classmethod
    def of(cls, spec: ModelSpec, layer: int) -> AttentionRule:
        """The rule of the layer; a scale that is the usual one is none of its own."""
        scale = None if spec.attention_scale == spec.head_dim**-0.5 else spec.attention_scale
        return cls(spec.sliding_window if spec.is_sliding(layer) else None, scale, spec.attention_softcap)


PLAIN = AttentionRule()
"""All tokens before, the usual scale, no cap."""


class CacheLike(Protocol):
    """What the decoder asks of a cache of keys and values."""

    @property
    def length(self) -> int:
        """Tokens whose keys and values are held; the next token's position."""
        ...

    @property
    def context_length(self) -> int:
        """Tokens that it may hold."""
        ...

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, rule: AttentionRule) -> Tensor:
        """Put keys and values [num_key_value_heads, T, head_dim] at positions `length` on, without counting them yet,
        and return causal attention of queries [num_heads, T, head_dim] over all, by the layer's rule: float32, the
        shape of the queries."""
        ...

    def advance(self, count: int) -> None:
        """Count the `count` positions that every layer has put."""
        ...


def written_out(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, rule: AttentionRule) -> Tensor:
    """Attention in float32, operation by operation.

    For soft caps, and for MPS, where torch's own is no faster and, depending on its version, lets float16 queries see
    later keys (pytorch/pytorch issue 195910) or reads beyond the last one (174861).

    Args:
        queries: [num_heads, T, head_dim].
        keys: [num_key_value_heads, S, head_dim]; `values` the same.
        mask: [T, S], added to the scores; it alone says what a query does not see.

    Returns:
        float32 [num_heads, T, head_dim].
    """
    heads, known, head_dim = keys.shape
    shared = queries.float().reshape(heads, -1, head_dim)  # the heads that share a key head, one after the other
    scores = shared @ keys.float().mT * (head_dim**-0.5 if rule.scale is None else rule.scale)
    if rule.softcap is not None:
        scores = (scores / rule.softcap).tanh_().mul_(rule.softcap)
    if mask is not None:
        scores.view(heads, -1, queries.shape[1], known).add_(mask)
    attended: Tensor = scores.softmax(-1) @ values.float()
    return attended.view(queries.shape)


def sliding_mask(
    start: int, first: int, count: int, window: int | None, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """[count, start + count - first], minus infinity where a query at `start` on does not see a key at `first` on: one
    that comes after it, or lies before its window."""
    shape = count, start + count - first
    mask = torch.full(shape, -torch.inf, dtype=dtype, device=device).triu_(start - first + 1)
    if window is not None:
        before = torch.full(shape, -torch.inf, dtype=dtype, device=device).tril_(start - first - window)
        mask = mask + before
    return mask
