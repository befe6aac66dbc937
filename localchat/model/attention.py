"""What a layer asks of attention besides queries, keys and values, and attention over a cache of any kind."""

from __future__ import annotations

from dataclasses import dataclass, field
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
        sinks: float32 [num_heads], scores of nothing that take part in the softmax (Xiao et al., 2023).
    """

    window: int | None = None
    scale: float | None = None
    softcap: float | None = None
    sinks: Tensor | None = field(default=None, compare=False)

    @property
    def is_fused(self) -> bool:
        """Whether torch's own attention can follow it."""
        return self.softcap is None and self.sinks is None

    @classmethod
    def of(cls, spec: ModelSpec, layer: int, sinks: Tensor | None = None) -> AttentionRule:
        """The rule of the layer; a scale that is the usual one is none of its own."""
        scale = None if spec.attention_scale == spec.head_dim**-0.5 else spec.attention_scale
        return cls(spec.window(layer), scale, spec.attention_softcap, sinks)


_SCORES_AT_ONCE = 1 << 25
"""Numbers in scores that are written out, 128 MB of them."""

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

    def attend(
        self, layer: int, queries: Tensor, keys: Tensor | None, values: Tensor | None, rule: AttentionRule
    ) -> Tensor:
        """Put keys and values [num_key_value_heads, T, head_dim] at positions `length` on, without counting them yet,
        and return causal attention of queries [num_heads, T, head_dim] over all, by the layer's rule: float32, the
        shape of the queries. Without keys and values, over those that the layer has put for the same positions."""
        ...

    def state(self, layer: int) -> tuple[Tensor, ...] | None:
        """What a layer without keys and values keeps of the known tokens; None before the first. Never written to."""
        ...

    def put_state(self, layer: int, state: tuple[Tensor, ...]) -> None:
        """What it keeps after the tokens that are read now, without counting them yet."""
        ...

    def advance(self, count: int) -> None:
        """Count the `count` positions that every layer has put."""
        ...


def written_out(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, rule: AttentionRule) -> Tensor:
    """Attention in float32, operation by operation.

    For soft caps, for sinks, and for MPS, where torch's own is no faster and, depending on its version, lets float16
    queries see later keys (pytorch/pytorch issue 195910) or reads beyond the last one (174861).

    Args:
        queries: [num_heads, T, head_dim].
        keys: [num_key_value_heads, S, head_dim]; `values` the same.
        mask: [T, S], added to the scores; it alone says what a query does not see.

    Returns:
        float32 [num_heads, T, head_dim].
    """
    most = max(1, _SCORES_AT_ONCE // (queries.shape[0] * keys.shape[1]))
    if queries.shape[1] > most:
        masks = [None] * -(-queries.shape[1] // most) if mask is None else torch.split(mask, most)
        pieces = zip(torch.split(queries, most, dim=1), masks, strict=True)
        return torch.cat([written_out(piece, keys, values, each, rule) for piece, each in pieces], dim=1)
    heads, known, head_dim = keys.shape
    shared = queries.float().reshape(heads, -1, head_dim)  # the heads that share a key head, one after the other
    scores = shared @ keys.float().mT * (head_dim**-0.5 if rule.scale is None else rule.scale)
    if rule.softcap is not None:
        scores = (scores / rule.softcap).tanh_().mul_(rule.softcap)
    if mask is not None:
        scores.view(heads, -1, queries.shape[1], known).add_(mask)
    if rule.sinks is not None:
        sinks = rule.sinks.view(heads, -1, 1).repeat_interleave(queries.shape[1], dim=1)  # as the rows of the scores
        scores = torch.cat((scores, sinks), dim=-1)
    attended: Tensor = scores.softmax(-1)[..., :known] @ values.float()
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
