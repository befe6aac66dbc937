"""Rotary position embedding (Su et al., RoFormer, 2021), in the half-split form of Hugging Face's checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from localchat.errors import UnsupportedModel

_FIRST_TABLE = 2048  # positions; tables grow by doubling, as a full one may be hundreds of megabytes


def inverse_frequencies(head_dim: int, theta: float, factors: tuple[float, ...] | None = None) -> Tensor:
    """Radians per position of each pair of channels, float32 [head_dim / 2].

    Computed in float32 on purpose: that is how the models were trained, and the rounding shows at far positions.
    """
    frequencies = 1.0 / (theta ** (torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim))
    return frequencies if factors is None else frequencies / torch.tensor(factors, dtype=torch.float32)


class RotaryPositions:
    """Cosines and sines by position, made as far as they were needed so far.

    Args:
        head_dim: channels of a head; channel i is rotated with channel i + head_dim / 2.
        theta: base of the frequencies.
        factors: the frequencies are divided by these; None for 1.
    """

    def __init__(self, head_dim: int, theta: float, factors: tuple[float, ...] | None, device: torch.device) -> None:
        self._half = head_dim // 2
        self._frequencies = inverse_frequencies(head_dim, theta, factors).to(device)
        self._make_tables(_FIRST_TABLE)

    def _make_tables(self, positions: int) -> None:
        with torch.inference_mode(False):  # ordinary tensors, as whoever uses them next may train
            angles = torch.outer(torch.arange(positions, device=self._frequencies.device).float(), self._frequencies)
            cos, sin = angles.cos(), angles.sin()
            self._cos = torch.cat((cos, cos), dim=1)  # [position, head_dim]
            self._signed_sin = torch.cat((-sin, sin), dim=1)
        self._starts = self._cos.data_ptr(), self._signed_sin.data_ptr()

    def at(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines, each [count, head_dim], of the positions from `start` on."""
        end = start + count
        self._reach(end)
        return self._cos[start:end], self._signed_sin[start:end]

    def addresses(self, start: int, count: int) -> tuple[int, int]:
        """Where in memory what `at` gives begins, valid until the next call of either: for native code, which asks for
        every token."""
        self._reach(start + count)
        offset = start * 2 * self._half * 4
        return self._starts[0] + offset, self._starts[1] + offset

    def _reach(self, end: int) -> None:
        if end > self._cos.shape[0]:
            self._make_tables(max(end, 2 * self._cos.shape[0]))

    def rotate(self, heads: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        """Rotate `heads` [head, T, head_dim] by `angles` from `at(start, T)`."""
        cos, signed_sin = angles
        return torch.addcmul(heads * cos, heads.roll(self._half, -1), signed_sin)


def scaling_factors(
    parameters: Mapping[str, Any], head_dim: int, theta: float, family: str
) -> tuple[float, ...] | None:
    """Rope factors from the `rope_scaling` or `rope_parameters` of a Hugging Face configuration.

    Raises:
        UnsupportedModel: a kind of scaling, or a parameter of it, that is not understood.
    """
    given = {key: value for key, value in parameters.items() if key not in ("rope_theta", "rope_type", "type")}
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    wanted = _SCALING_KEYS.get(kind) if isinstance(kind, str) else None
    if wanted is None:
        raise UnsupportedModel(f"{family}: rope scaling of the kind {kind!r} is not known to this version.")
    if unknown := sorted(set(given) - set(wanted)):
        raise UnsupportedModel(f"{family}: {kind} rope scaling has unknown parameters: {', '.join(unknown)}.")
    for key in wanted:
        value = given.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise UnsupportedModel(f"{family}: {kind} rope scaling has {key} = {value!r}, not a positive number.")
    if kind == "llama3":
        return _llama3_factors(inverse_frequencies(head_dim, theta), **given)
    if kind == "linear":
        return (float(given["factor"]),) * (head_dim // 2)
    return None


_SCALING_KEYS: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}


def _llama3_factors(
    frequencies: Tensor,
    factor: float,
    low_freq_factor: float,
    high_freq_factor: float,
    original_max_position_embeddings: float,
) -> tuple[float, ...]:
    """Llama 3.1 scaling: slow frequencies are divided by `factor`, fast ones kept, those between interpolated.

    Source: the reference implementation of Meta's llama-models, `apply_scaling`.
    """
    if high_freq_factor <= low_freq_factor:
        raise UnsupportedModel("llama3 rope scaling has high_freq_factor not above low_freq_factor.")
    turns = original_max_position_embeddings * frequencies.double() / (2 * math.pi)  # within the original context
    smooth = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0)
    return tuple((1.0 / ((1 - smooth) / factor + smooth)).tolist())
