"""Attention over latents: all heads of a token share one key, which is their value too (DeepSeek-AI, DeepSeek-V2, 2024,
section 2.1).

A token's keys and values are made of a few channels that are kept, and of the channels that rope turns. Instead of
making every head's keys of all tokens again for each token, the matrix that makes them is applied to the query, and the
one that makes the values to what was attended to, which is the same. So the cache holds one head.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from localchat.model.attention import AttentionRule, CacheLike
from localchat.model.modules import Weight, dense, linear
from localchat.model.norm import RMSNorm
from localchat.model.rope import CosinesAndSines, rotate
from localchat.model.spec import ModelSpec

_EPS = 1e-6  # of the norms of latents, whatever the others have


class LatentAttention(nn.Module):
    """A layer's attention, from its normed input to what is added to the residual stream."""

    def __init__(self, spec: ModelSpec, own: Mapping[str, Weight], index: int, device: torch.device) -> None:
        super().__init__()
        self.index, self.rule = index, AttentionRule.of(spec, index)
        self.heads, self.turning = spec.num_heads, spec.turning_channels
        self.query_down, self.query_up, self.key_value_down, self.output = (
            linear(own, f"latent.{name}", device=device)
            for name in ("query_down", "query_up", "key_value_down", "output")
        )
        self.query_norm, self.key_value_norm = (
            RMSNorm(dense(own[f"latent.{name}"]).to(device), _EPS) for name in ("query_norm", "key_value_norm")
        )
        up = dense(own["latent.key_value_up"]).to(device).view(spec.num_heads, -1, spec.key_value_rank)
        self.register_buffer("to_keys", up[:, : spec.plain_head_dim].contiguous(), persistent=False)
        self.register_buffer("to_values", up[:, spec.plain_head_dim :].mT.contiguous(), persistent=False)
        self.to_keys: Tensor  # [head, plain_head_dim, key_value_rank]
        self.to_values: Tensor  # [head, key_value_rank, value_head_dim]

    def forward(self, h: Tensor, angles: CosinesAndSines, cache: CacheLike) -> Tensor:
        """float32 [T, hidden_size] to the same shape."""
        count = len(h)
        projected = self.query_up(self.query_norm(self.query_down(h))).view(count, self.heads, -1).transpose(0, 1)
        plain, turning = projected[..., : -self.turning], projected[..., -self.turning :]
        queries = rotate(torch.cat((turning, plain @ self.to_keys), dim=-1), angles)  # rope turns the first channels
        down = self.key_value_down(h)
        latents = self.key_value_norm(down[:, : -self.turning])
        keys = rotate(torch.cat((down[:, -self.turning :], latents), dim=-1)[None], angles)
        attended = cache.attend(self.index, queries, keys, keys, self.rule)[..., self.turning :]
        output: Tensor = self.output((attended @ self.to_values).transpose(0, 1).reshape(count, -1))
        return output
