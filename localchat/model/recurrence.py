"""Layers that keep a state in the place of keys and values, of the same size however long the text is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from localchat.model.attention import CacheLike
from localchat.model.modules import Weight, dense, linear
from localchat.model.norm import RMSNorm
from localchat.model.spec import ModelSpec

_CHUNK = 64  # tokens whose changes of the state are found together


class ShortConvolution(nn.Module):
    """A causal convolution over the last few tokens, each channel by itself, gated before and after (LFM2)."""

    def __init__(self, _: ModelSpec, own: Mapping[str, Weight], index: int, device: torch.device) -> None:
        super().__init__()
        self.index = index
        self.input, self.output = (linear(own, f"mix.{name}", device=device) for name in ("input", "output"))
        self.taps = _taps(own, device)

    def forward(self, h: Tensor, cache: CacheLike) -> Tensor:
        """float32 [T, hidden_size] to the same shape."""
        before, after, x = self.input(h).chunk(3, dim=-1)
        convolved, last = convolve(before * x, self.taps, *(cache.state(self.index) or ()))
        cache.put_state(self.index, (last,))
        output: Tensor = self.output(after * convolved)
        return output


class GatedDelta(nn.Module):
    """Linear attention whose memory fades and is corrected by what it got wrong (Yang et al., Gated Delta Networks,
    2024), as in Qwen 3.5 with a short convolution before."""

    def __init__(self, spec: ModelSpec, own: Mapping[str, Weight], index: int, device: torch.device) -> None:
        super().__init__()
        self.index = index
        names = ("input", "gates", "rates", "fading", "output")
        self.input, self.gates, self.rates, self.fading, self.output = (
            linear(own, f"mix.{name}", device=device) for name in names
        )
        self.taps = _taps(own, device)
        for name in ("speeds", "fading_bias"):
            self.register_buffer(name, dense(own[f"mix.{name}"]).to(device), persistent=False)
        self.speeds: Tensor
        self.fading_bias: Tensor
        self.norm = RMSNorm(dense(own["mix.norm_of_heads"]).to(device), spec.rms_norm_eps)
        self.heads, self.value_heads = spec.linear_key_heads, spec.linear_value_heads
        self.sizes = [spec.linear_key_size, spec.linear_key_size, spec.linear_value_size]
        self.tiled = spec.tiled_value_heads

    def forward(self, h: Tensor, cache: CacheLike) -> Tensor:
        """float32 [T, hidden_size] to the same shape."""
        before, memory = cache.state(self.index) or (None, None)
        convolved, last = convolve(self.input(h), self.taps, before)
        queries, keys, values = (
            heads.view(len(h), count, -1).transpose(0, 1)
            for heads, count in zip(
                torch.split(F.silu(convolved), self.sizes, dim=-1),
                (self.heads, self.heads, self.value_heads),
                strict=True,
            )
        )
        queries = self._for_values(_of_length_1(queries) * queries.shape[-1] ** -0.5)
        keys = self._for_values(_of_length_1(keys))
        fading = (self.speeds * F.softplus(self.fading(h) + self.fading_bias)).t()
        attended, memory = gated_delta(queries, keys, values, fading, self.rates(h).sigmoid().t(), memory)
        cache.put_state(self.index, (last, memory))
        gates = self.gates(h).view(len(h), self.value_heads, -1)
        output: Tensor = self.output((self.norm(attended.transpose(0, 1)) * F.silu(gates)).reshape(len(h), -1))
        return output

    def _for_values(self, heads: Tensor) -> Tensor:
        """[key head, ...] to [value head, ...]: those that share a key head follow each other, or take turns."""
        times = self.value_heads // self.heads
        return heads.repeat(times, 1, 1) if self.tiled else heads.repeat_interleave(times, 0)


RECURRENCES: Mapping[str, type[ShortConvolution] | type[GatedDelta]] = {
    "convolution": ShortConvolution,
    "linear": GatedDelta,
}
"""By the kind of the layer."""


def convolve(x: Tensor, taps: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Causal convolution of each channel by itself.

    Args:
        x: [T, channels].
        taps: [count, channels], the last for the token itself.
        before: [count - 1, channels], what came before `x`; None for zeros.

    Returns:
        [T, channels], and what comes before the next token, [count - 1, channels].
    """
    before = x.new_zeros(len(taps) - 1, x.shape[1]) if before is None else before
    whole = torch.cat((before, x))
    convolved = whole[: len(x)] * taps[0]
    for place in range(1, len(taps)):
        convolved.addcmul_(whole[place : place + len(x)], taps[place])
    return convolved, whole[len(x) :].clone()


def gated_delta(
    queries: Tensor, keys: Tensor, values: Tensor, fading: Tensor, rates: Tensor, memory: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What the queries find in a memory that each token fades and then corrects.

    For every token: memory *= exp(fading); memory += rate * key (value - memory' key)'; result = memory' query. Tokens
    go in chunks, within which the corrections are the solution of a triangular system (Yang et al., 2024, section 3.3).

    Args:
        queries: float32 [head, T, key channel]; `keys` the same.
        values: [head, T, value channel].
        fading: [head, T], not positive; `rates` the same shape, from 0 to 1.
        memory: [head, key channel, value channel] before the first token; None for zeros. It is not written to.

    Returns:
        [head, T, value channel], and the memory after the last token.
    """
    if memory is None:
        memory = keys.new_zeros(keys.shape[0], keys.shape[2], values.shape[2])
    results, later = [], torch.ones(_CHUNK, _CHUNK, dtype=torch.bool, device=keys.device).triu_(1)
    for start in range(0, keys.shape[1], _CHUNK):
        at = slice(start, start + _CHUNK)
        query, key, value, rate = queries[:, at], keys[:, at], values[:, at], rates[:, at, None]
        faded = fading[:, at].cumsum(-1)  # [head, token], since the chunk began
        # How much is left, when a token comes, of what another one put: [head, token, other], for those up to it.
        left = (
            (faded[:, :, None] - faded[:, None, :])
            .masked_fill_(later[: key.shape[1], : key.shape[1]], -torch.inf)
            .exp_()
        )
        since_start = faded.exp()[..., None]
        wrong = rate * torch.addcmul(value, since_start, key @ memory, value=-1)
        system = (key @ key.mT) * (rate * left)  # of which only what lies below the diagonal is read
        put = torch.linalg.solve_triangular(system, wrong, upper=False, unitriangular=True)
        results.append(torch.baddbmm(since_start * (query @ memory), left * (query @ key.mT), put))
        memory = torch.baddbmm(since_start[:, -1:] * memory, (key * left[:, -1, :, None]).mT, put)
    return torch.cat(results, dim=1), memory


def _taps(own: Mapping[str, Weight], device: torch.device) -> Tensor:
    """[count, channels] of [channels, count]."""
    return dense(own["mix.convolution"]).to(device).t().contiguous()


def _of_length_1(heads: Tensor) -> Tensor:
    """How long each is made to be: [head, T, channel] to the same shape."""
    return heads * (heads.square().sum(-1, keepdim=True) + 1e-6).rsqrt()
