"""GGUF blocks that our own format can hold exactly, moved into it without touching a value.

Q4_0 and Q4_1 become int4 by 32; Q5_0 and Q8_0 become int8 by 32. The other formats have finer or nested scales.
"""

from __future__ import annotations

import torch
from torch import Tensor

from localchat.errors import BadWeights
from localchat.weights.gguf_file import GGUFFile
from localchat.weights.gguf_types import fifth_bits, half, low_then_high
from quant import pack
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

_BLOCK = 32
_INT4_SYMMETRIC = QuantSpec(4, _BLOCK, symmetric=True)
_INT4 = QuantSpec(4, _BLOCK)
_INT8 = QuantSpec(8, _BLOCK)


def to_quant_tensor(file: GGUFFile, name: str) -> QuantTensor | None:
    """The matrix `name` in our format with the very same values, or None when the format cannot hold it exactly.

    Raises:
        BadWeights: there is no such tensor, or a scale in it is not a finite number.
    """
    info = file.tensors.get(name)
    if info is None:
        raise BadWeights(f"{file.path} has no tensor {name}.", "Fetch the file again.")
    if len(info.shape) != 2 or info.type not in ("Q4_0", "Q4_1", "Q5_0", "Q8_0"):
        return None
    rows, columns = info.shape
    raw = torch.from_numpy(file.raw(name))
    blocks = raw.view(rows * columns // _BLOCK, -1)
    spec, codes, minimums = _split(info.type, blocks)
    scales = half(blocks, 0)
    for stored in (scales, minimums):
        if stored is not None and not torch.isfinite(stored).all():
            raise BadWeights(f"{file.path} is damaged: a scale of {name} is not a number.", "Fetch the file again.")
    parts = {
        "packed": pack.pack(codes.view(rows, columns), spec.bits),
        "scales": pack.pack_scales(scales.view(rows, -1)),
    }
    if minimums is not None:
        parts["minimums"] = pack.pack_scales(minimums.view(rows, -1))
    return QuantTensor.from_parts(spec, (rows, columns), parts)


def _split(kind: str, blocks: Tensor) -> tuple[QuantSpec, Tensor, Tensor | None]:
    """Blocks [n, bytes] to their spec, codes [n, 32] and minimums [n, 1]."""
    if kind == "Q4_0":
        return _INT4_SYMMETRIC, low_then_high(blocks[:, 2:]), None
    if kind == "Q4_1":
        return _INT4, low_then_high(blocks[:, 4:]), half(blocks, 2)
    if kind == "Q5_0":
        return _INT8, (low_then_high(blocks[:, 6:]) | fifth_bits(blocks, 2)).view(torch.int8) - 16, None
    return _INT8, blocks[:, 2:].contiguous().view(torch.int8), None
