"""Round to nearest: the quantization that looks at the weights alone."""

from __future__ import annotations

import torch
from torch import Tensor

from quant import pack
from quant.spec import ROW_GROUP, QuantSpec
from quant.tensor import QuantTensor

_BLOCK_WEIGHTS = 1 << 20  # rounded at a time, so that a vocabulary matrix needs no second float32 copy


def quantize(weight: Tensor, spec: QuantSpec) -> QuantTensor:
    """Round `weight` (any float dtype, [N, K]) to `spec`.

    Scale and minimum are rounded to how they are stored first, and the codes are chosen against the stored ones.
    Except for symmetric int4 the stored range covers the group, so no weight is off by more than half a step.

    Raises:
        ValueError: K does not fit the group, a weight is not finite, or a scale is beyond float16.
    """
    if weight.dim() != 2 or not weight.is_floating_point():
        raise ValueError(f"a float matrix is needed, not {weight.dtype} {tuple(weight.shape)}")
    rows, columns = weight.shape
    if rows == 0 or not spec.accepts(columns):
        raise ValueError(f"a matrix of shape {(rows, columns)} cannot be {spec}: see QuantSpec.accepts")
    step = max(1, _BLOCK_WEIGHTS // (pack.TILE_ROWS * columns)) * pack.TILE_ROWS
    blocks = [_quantize_block(block.float(), spec) for block in torch.split(weight, step)]
    parts = {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}
    return QuantTensor.from_parts(spec, (rows, columns), parts)


def _quantize_block(weight: Tensor, spec: QuantSpec) -> dict[str, Tensor]:
    """Some rows [n, K] float32 to the parts of their tiles."""
    if not torch.isfinite(weight).all():
        raise ValueError("a weight is not a finite number")
    rows, columns = weight.shape
    groups = weight.view(rows, spec.groups(columns), -1)
    if spec.bits == 8:
        codes, scales = _int8(groups, by_row=spec.group_size == ROW_GROUP)
        minimums = None
    elif spec.symmetric:
        codes, scales = _int4_symmetric(groups)
        minimums = None
    else:
        codes, scales, minimums = _int4(groups)
    parts = {"packed": pack.pack(codes.view(rows, columns), spec.bits), "scales": pack.pack_scales(scales)}
    for stored in (scales, minimums):
        if stored is not None and not torch.isfinite(stored).all():
            raise ValueError("the weights are too large: a scale or minimum does not fit float16")
    return parts if minimums is None else {**parts, "minimums": pack.pack_scales(minimums)}


def _int4(groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes 0..15, scales and minimums of [rows, group, weight].

    The range is the group's own, whether or not it contains zero: the minimum is free, so nothing is gained by
    wasting codes on zero. The minimum is rounded down and the scale up; that widens a step by 0.05 % on average and
    keeps both ends in range even where float16 is coarse (large offsets, subnormal scales).
    """
    minimums = _float16_down(groups.amin(-1))
    base = minimums.float().unsqueeze(-1)
    scales = _float16_up((groups.amax(-1) - minimums.float()) / 15)
    codes = _divide(groups - base, scales.float()).round_().clamp_(0, 15)
    return codes.to(torch.uint8), scales, minimums


def _int4_symmetric(groups: Tensor) -> tuple[Tensor, Tensor]:
    """Codes 0..15 around 8 and scales: the weight of largest magnitude, whatever its sign, gets the code -8 exactly."""
    extreme = groups.gather(-1, groups.abs().argmax(-1, keepdim=True)).squeeze(-1)
    scales = extreme.div(-8).half()
    codes = _divide(groups, scales.float()).round_().add_(8).clamp_(0, 15)
    return codes.to(torch.uint8), scales


def _int8(groups: Tensor, by_row: bool) -> tuple[Tensor, Tensor]:
    """Codes -127..127 and scales, float32 by row and float16 by group."""
    scales = groups.abs().amax(-1) / 127
    if not by_row:
        scales = _float16_up(scales)
    codes = _divide(groups, scales.float()).round_().clamp_(-127, 127)
    return codes.to(torch.int8), scales


def _divide(values: Tensor, scales: Tensor) -> Tensor:
    """values [rows, group, weight] / scales [rows, group], zero where the scale is zero."""
    return values / torch.where(scales == 0, torch.inf, scales).unsqueeze(-1)


def _float16_up(values: Tensor) -> Tensor:
    """The smallest float16 that is not below `values`."""
    nearest = values.half()
    return torch.where(nearest.float() < values, torch.nextafter(nearest, nearest.new_tensor(torch.inf)), nearest)


def _float16_down(values: Tensor) -> Tensor:
    """The largest float16 that is not above `values`."""
    return -_float16_up(-values)
