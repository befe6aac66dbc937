"""GGUF blocks moved into our own format: no value changes, or the matrix by less than rounding it anew would change it.

Q4_0 and Q4_1 become int4 by 32, Q5_0, Q8_0 and MXFP4 int8 by 32, bit for bit. For the others, figures are the relative
RMS change of the weights and the mean KL divergence over 2 x 512 tokens of Qwen2.5-Coder-0.5B, all computed in float32.

Q4_K keeps its codes, as int4 by 32. Its scales and minimums, each a float16 times a number of 6 bits, are rounded to
float16: off by at most 2^-11 of themselves, and small ones not at all, for every float16 is a multiple of 2^-24 and
below 2^-13 float16 holds all such multiples. The model's 12 matrices in Q4_K change by 0.07 % (KL 0.000001). Rounded
anew they would change by 0.57 % as int8 (0.00004, and 8.5 bits a weight instead of 5) and by 4.3 % as int4.

Q5_1 and Q5_K have codes of 5 bits and a minimum, which int8 lacks. Rounded to int8 by 32 they change by 0.55 %, with
a KL of 0.00066 and 0.00063 when every matrix is in the one or the other; with `_int8_on_grid`, by 0.35 % and 0.0003.

Q6_K has two scales in 32 weights and is left to the caller. Rounded to int8 by 32 it changes by 0.53 %: 0.00046 when
every matrix is in it, 0.00004 for the 12 matrices that are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from localchat.errors import BadWeights
from localchat.translation import _
from localchat.weights import mxfp4
from localchat.weights.gguf_file import GGUFFile
from localchat.weights.gguf_types import fifth_bits, half, k_scales, low_then_high
from quant import pack
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

_GROUP = 32
_INT4_SYMMETRIC = QuantSpec(4, _GROUP, symmetric=True)
_INT4 = QuantSpec(4, _GROUP)
_INT8 = QuantSpec(8, _GROUP)
_SPECS = {
    "Q4_0": _INT4_SYMMETRIC,
    "Q4_1": _INT4,
    "Q4_K": _INT4,
    "Q5_0": _INT8,
    "Q5_1": _INT8,
    "Q5_K": _INT8,
    "Q8_0": _INT8,
}


def to_quant_tensor(file: GGUFFile, name: str, index: int | None = None) -> QuantTensor | None:
    """The matrix `name`, or one of a stack of them, in our format with the values said above; None when it is of
    another type.

    Also None when a scale or minimum of such a matrix does not fit float16.

    Raises:
        BadWeights: there is no such tensor, or a scale in it is not a finite number.
    """
    info = file.tensors.get(name)
    if info is None:
        raise BadWeights(
            _("{path} has no tensor {name}.").format(path=file.path, name=name), _("Fetch the file again.")
        )
    shape = info.shape if index is None else info.shape[1:]
    if len(shape) != 2 or (info.type not in _SPECS and info.type != "MXFP4"):
        return None
    rows, columns = shape
    block_weights = 256 if info.type.endswith("_K") else _GROUP
    blocks = torch.from_numpy(file.raw(name, index)).view(rows * columns // block_weights, -1)
    if info.type == "MXFP4":
        values, worth = mxfp4.halves(low_then_high(blocks[:, 1:])), mxfp4.scales(blocks[:, 0])
        return mxfp4.to_quant_tensor(values.view(shape), worth.view(rows, -1))
    spec = _SPECS[info.type]
    scales, minimums = _scales(info.type, blocks)
    if not _all_finite(scales, minimums):
        raise BadWeights(
            _("{path} is damaged: a scale of {name} is not a number.").format(path=file.path, name=name),
            _("Fetch the file again."),
        )
    if minimums is not None and spec.bits == 8:
        codes, scales = _int8_on_grid(file.float32(name, index).view(-1, _GROUP), scales, minimums)
        minimums = None
    else:
        codes = _codes(info.type, blocks)
    scales, minimums = scales.half(), None if minimums is None else minimums.half()
    if not _all_finite(scales, minimums):
        return None
    parts = {
        "packed": pack.pack(codes.view(rows, columns), spec.bits),
        "scales": pack.pack_scales(scales.view(rows, -1)),
    }
    if minimums is not None:
        parts["minimums"] = pack.pack_scales(minimums.view(rows, -1))
    return QuantTensor.from_parts(spec, (rows, columns), parts)


def _all_finite(scales: Tensor, minimums: Tensor | None) -> bool:
    return bool(torch.isfinite(scales).all()) and (minimums is None or bool(torch.isfinite(minimums).all()))


def _scales(kind: str, blocks: Tensor) -> tuple[Tensor, Tensor | None]:
    """Scales and minimums [groups, 1] of blocks [n, bytes]; float32 when they are products."""
    if kind in ("Q4_K", "Q5_K"):
        scales, offsets = k_scales(blocks)
        return scales.flatten(0, 1), -offsets.flatten(0, 1)
    return half(blocks, 0), half(blocks, 2) if kind in ("Q4_1", "Q5_1") else None


def _codes(kind: str, blocks: Tensor) -> Tensor:
    """Blocks [n, bytes] to codes in the order of the columns: uint8 0..15 for int4, int8 for int8."""
    if kind == "Q4_0":
        return low_then_high(blocks[:, 2:])
    if kind == "Q4_1":
        return low_then_high(blocks[:, 4:])
    if kind == "Q4_K":
        return low_then_high(blocks[:, 16:].reshape(-1, 4, 32))
    if kind == "Q5_0":
        return (low_then_high(blocks[:, 6:]) | fifth_bits(blocks, 2)).view(torch.int8) - 16
    return blocks[:, 2:].contiguous().view(torch.int8)


def _int8_on_grid(values: Tensor, steps: Tensor, minimums: Tensor) -> tuple[Tensor, Tensor]:
    """Codes [groups, 32] and scales [groups, 1] near `values`, which are steps times 0..31 plus the minimum.

    With a whole fraction of the step as scale only the minimum is off our grid, the whole group by the same distance
    (and float16 may hold the fraction badly, when it is subnormal). The fraction that is off least is taken, unless
    rounding each value to the finest scale promises less. `values` is overwritten.
    """
    steps, minimums = steps.float().abs(), minimums.float()
    largest = torch.maximum(values.amax(-1, keepdim=True), -values.amin(-1, keepdim=True))
    scales = (largest / 127).half()
    scales = torch.where(scales.float() * 127 < largest, torch.nextafter(scales, scales.new_tensor(torch.inf)), scales)
    least = scales.float() / 12**0.5  # of a rounding error, the RMS
    for divisor in range(1, 9):  # with more, 31 steps do not fit 8 bits
        fraction = (steps / divisor).half()
        grid = fraction.float()
        error = (minimums - (minimums / grid).round() * grid).abs() + 16 * (steps - divisor * grid).abs()
        better = (grid * 127 >= largest) & (error < least)
        scales, least = torch.where(better, fraction, scales), torch.where(better, error, least)
    codes = values.div_(scales.float().clamp_min(2**-24)).round_().clamp_(-127, 127)
    return codes.to(torch.int8), scales
