"""Rotary position embedding (Su et al., RoFormer, 2021), in the half-split form of Hugging Face's checkpoints."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from localchat.model.spec import ModelSpec

_FIRST_TABLE = 2048  # positions; tables grow by doubling, as a full one may be hundreds of megabytes

CosinesAndSines = tuple[Tensor, Tensor]
"""Cosines and signed sines, each [T, rotary_dim]."""


class Angles(NamedTuple):
    """What layers turn queries and keys by: those that see everything, and those that see a window."""

    full: CosinesAndSines
    sliding: CosinesAndSines


def inverse_frequencies(rotary_dim: int, theta: float, factors: tuple[float, ...] | None = None) -> Tensor:
    """Radians per position of each pair of channels, float32 [rotary_dim / 2].

    Computed in float32 on purpose: that is how the models were trained, and the rounding shows at far positions.
    """
    frequencies = 1.0 / (theta ** (torch.arange(0, rotary_dim, 2, dtype=torch.int64).float() / rotary_dim))
    return frequencies if factors is None else frequencies / torch.tensor(factors, dtype=torch.float32)


class RotaryPositions:
    """Cosines and sines by position, made as far as they were needed so far.

    Args:
        rotary_dim: channels of a head that turn, the first ones; channel i with i + rotary_dim / 2.
        theta: base of the frequencies.
        factors: the frequencies are divided by these; None for 1.
        attention_factor: cosines and sines are multiplied by it.
    """

    def __init__(
        self,
        rotary_dim: int,
        theta: float,
        factors: tuple[float, ...] | None,
        device: torch.device,
        attention_factor: float = 1.0,
    ) -> None:
        self._channels, self._attention_factor = rotary_dim, attention_factor
        self._frequencies = inverse_frequencies(rotary_dim, theta, factors).to(device)
        self._make_tables(_FIRST_TABLE)

    def _make_tables(self, positions: int) -> None:
        with torch.inference_mode(False):  # ordinary tensors, as whoever uses them next may train
            angles = torch.outer(torch.arange(positions, device=self._frequencies.device).float(), self._frequencies)
            cos, sin = angles.cos() * self._attention_factor, angles.sin() * self._attention_factor
            self._cos = torch.cat((cos, cos), dim=1)  # [position, rotary_dim]
            self._signed_sin = torch.cat((-sin, sin), dim=1)
        self._starts = self._cos.data_ptr(), self._signed_sin.data_ptr()

    def at(self, start: int, count: int) -> CosinesAndSines:
        """Cosines and signed sines of the positions from `start` on."""
        end = start + count
        self._reach(end)
        return self._cos[start:end], self._signed_sin[start:end]

    def addresses(self, start: int, count: int) -> tuple[int, int]:
        """Where in memory what `at` gives begins, valid until the next call of either: for native code, which asks for
        every token."""
        self._reach(start + count)
        offset = start * self._channels * 4
        return self._starts[0] + offset, self._starts[1] + offset

    def _reach(self, end: int) -> None:
        if end > self._cos.shape[0]:
            self._make_tables(max(end, 2 * self._cos.shape[0]))


class Rope:
    """The rotary positions of all layers of a decoder.

    Which factors hold is decided by the length of the context that a cache allows, not by how much it holds so far: the
    long ones from the first token on where the context is longer than the original one. So what is cached always fits
    what comes after. (transformers decides by the tokens of one call, and so agrees wherever the text is as long as the
    context promises; llama.cpp decides as we do.)
    """

    def __init__(self, spec: ModelSpec, device: torch.device) -> None:
        channels, factor = spec.turning_channels, spec.rope_attention_factor
        self.short = RotaryPositions(channels, spec.rope_theta, spec.rope_factors, device, factor)
        self.long = self.short
        self._original = spec.original_context_length
        if spec.rope_long_factors is not None:
            self.long = RotaryPositions(channels, spec.rope_theta, spec.rope_long_factors, device, factor)
        self.local = None
        if spec.local_rope_theta is not None:
            self.local = RotaryPositions(spec.rotary_dim or spec.head_dim, spec.local_rope_theta, None, device)

    def full(self, context_length: int) -> RotaryPositions:
        """Of the layers that see everything, in a context of so many tokens."""
        return self.short if self._original is None or context_length <= self._original else self.long

    def at(self, start: int, count: int, context_length: int = 0) -> Angles:
        """The angles of the positions from `start` on, in a context of `context_length` tokens."""
        full = self.full(context_length).at(start, count)
        return Angles(full, full if self.local is None else self.local.at(start, count))


def rotate(heads: Tensor, angles: CosinesAndSines) -> Tensor:
    """Turn the first channels of `heads` [head, T, head_dim] by `angles`, as many as these have."""
    cos, signed_sin = angles
    channels = cos.shape[-1]
    if channels == heads.shape[-1]:
        return torch.addcmul(heads * cos, heads.roll(channels // 2, -1), signed_sin)
    turning = heads[..., :channels]
    turned = torch.addcmul(turning * cos, turning.roll(channels // 2, -1), signed_sin)
    return torch.cat((turned, heads[..., channels:]), dim=-1)
