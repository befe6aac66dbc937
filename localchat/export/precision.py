"""Matrices that must share one precision, because a format holds them as one or runs them as one.

Smaller groups repeat scales, symmetric int4 is int4 with the minimum -8 scales, and its codes are int8 codes too: none
of this changes a value. int4 with a minimum becomes int8 by `_on_int8_grid`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from localchat.model.decoder import Weight
from quant import pack
from quant.spec import ROW_GROUP, QuantSpec
from quant.tensor import QuantTensor


def common_spec(specs: Collection[QuantSpec]) -> QuantSpec:
    """The coarsest spec that holds matrices of all these with the least loss."""
    groups = {spec.group_size for spec in specs} - {ROW_GROUP}
    bits = max(spec.bits for spec in specs)
    return QuantSpec(bits, min(groups, default=ROW_GROUP), all(spec.symmetric for spec in specs))


def in_common(weights: Sequence[Weight]) -> list[Weight]:
    """The matrices in the precision that they can share; float32 where one of them is not quantized."""
    quantized = [weight for weight in weights if isinstance(weight, QuantTensor)]
    if not quantized and len({weight.dtype for weight in weights if isinstance(weight, Tensor)}) == 1:
        return list(weights)
    if len(quantized) < len(weights):
        return [dense(weight) for weight in weights]
    spec = common_spec([weight.spec for weight in quantized])
    return [converted(weight, spec) for weight in quantized]


def dense(weight: Weight) -> Tensor:
    """All weights in float32."""
    return weight.dequantize() if isinstance(weight, QuantTensor) else weight.float()


def converts_exactly(spec: QuantSpec, target: QuantSpec) -> bool:
    """Whether `converted` changes no value."""
    if spec == target or (spec.symmetric and spec.bits == 4):
        return True
    return spec.bits == target.bits and spec.group_size != ROW_GROUP


def converted(weight: QuantTensor, target: QuantSpec) -> QuantTensor:
    """The same matrix in a spec that has no fewer bits and no larger groups."""
    spec, (rows, columns) = weight.spec, weight.shape
    if spec == target:
        return weight
    codes = pack.unpack(weight.packed, spec.bits)[:rows]
    scales = pack.unpack_scales(weight.scales)[:rows]
    minimums = None if weight.minimums is None else pack.unpack_scales(weight.minimums)[:rows]
    if target.bits == 8 and minimums is not None:
        codes, scales = _on_int8_grid(codes, scales, minimums)
        minimums = None
    elif target.bits == 8 and spec.bits == 4:
        codes = codes.view(torch.int8) - 8
    elif minimums is None and not target.symmetric:
        minimums = scales * -8
    repeat = target.groups(columns) // scales.shape[1]
    parts = {"packed": pack.pack(codes, target.bits)}
    for name, values in (("scales", scales), ("minimums", minimums)):
        if values is not None:
            dtype = torch.float32 if target.group_size == ROW_GROUP else torch.float16
            parts[name] = pack.pack_scales(values.to(dtype).repeat_interleave(repeat, dim=1))
    return QuantTensor.from_parts(target, (rows, columns), parts)


def _on_int8_grid(codes: Tensor, scales: Tensor, minimums: Tensor) -> tuple[Tensor, Tensor]:
    """int8 codes and float16 scales near scales times codes 0..15 plus minimums; codes [N, K], the others [N, groups].

    With a whole fraction of the step as scale, all but the minimum is on the grid of int8. The fraction that the
    minimum is off least is taken, unless rounding each weight to the finest scale promises less.
    """
    rows, groups = scales.shape
    steps, offsets = scales.float().unsqueeze(-1), minimums.float().unsqueeze(-1)  # [row, group, 1]
    values = codes.view(rows, groups, -1) * steps + offsets
    largest = values.abs().amax(-1, keepdim=True)
    found = (largest / 127).half()
    found = torch.where(found.float() * 127 < largest, torch.nextafter(found, found.new_tensor(torch.inf)), found)
    least = found.float() / 12**0.5  # the RMS of a rounding error
    for divisor in range(1, 17):  # with more, 16 steps do not fit 8 bits
        fraction = (steps / divisor).half()
        grid = fraction.float()
        error = (offsets - (offsets / grid).round() * grid).abs() + 8 * (steps - divisor * grid).abs()
        better = (grid.abs() * 127 >= largest) & (error < least)
        found, least = torch.where(better, fraction, found), torch.where(better, error, least)
    divisors = torch.where(found == 0, torch.inf, found.float())
    return (values / divisors).round().clamp(-127, 127).to(torch.int8).view(rows, -1), found.squeeze(-1)
