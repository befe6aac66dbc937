"""Activation-aware scaling: columns that meet large activations are made larger before rounding, and so lose less.

Lin, Tang, Tang, Yang, Dang, Gan and Han, "AWQ: Activation-aware Weight Quantization for LLM Compression and
Acceleration", 2023 (arXiv 2306.00978), section 3.2. The scales s multiply the columns of the matrices and divide what
the layer before gives: a norm's gain, or the rows of a matrix with nothing but products between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from quant import rtn
from quant.spec import QuantSpec

_POWERS = (0.15, 0.3, 0.45, 0.6)


def find_scales(
    weights: Sequence[Tensor],
    specs: Sequence[QuantSpec],
    hessian: Tensor,
    magnitude: Tensor,
    tie: Callable[[Tensor], Tensor] = lambda scales: scales,
) -> Tensor:
    """Scales of the columns, float32 [K], that keep the outputs of `weights` nearest to what they are; ones where no
    power of the magnitude helps.

    Args:
        weights: matrices [N, K] that read the same inputs.
        specs: in which each will be held.
        hessian: X'X of the inputs, or a multiple of it, [K, K].
        magnitude: mean |x| by column, [K].
        tie: makes scales equal where the layer before cannot tell columns apart, as heads that share their values.

    Raises:
        ValueError: as `rtn.quantize`.
    """
    base = magnitude.clamp_min(float(magnitude.mean()) * 1e-4 + 1e-12)
    best = torch.ones_like(base)
    least = output_error(weights, specs, hessian, best)
    for power in _POWERS:
        scales = base.pow(power)
        scales = tie(scales / (scales.max() * scales.min()).sqrt())
        error = output_error(weights, specs, hessian, scales)
        if error < least:
            best, least = scales, error
    return best


def output_error(weights: Sequence[Tensor], specs: Sequence[QuantSpec], hessian: Tensor, scales: Tensor) -> float:
    """Sum of squared output errors when the columns are rounded times `scales`, a token."""
    total = 0.0
    for weight, spec in zip(weights, specs, strict=True):
        change = rtn.quantize(weight * scales, spec).dequantize() / scales - weight
        total += float(((change @ hessian) * change).sum())
    return total
