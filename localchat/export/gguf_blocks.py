"""Our weights as the blocks of GGUF, the inverse of `localchat.weights.gguf_blocks`.

int4 by 32 is Q4_1, symmetric Q4_0, int8 by 32 Q8_0, bit for bit; larger groups repeat their scale. A scale for a whole
row is float32, and GGUF's are float16: Q8_0 keeps the codes and is off by at most 2^-11 of a weight, no more than F16
would be at twice the bytes, except where float16 is coarse (below 2^-14): there the matrix becomes F32.
"""

from __future__ import annotations

import math
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import torch
from gguf import GGMLQuantizationType as GGUFType
from torch import Tensor

from localchat.export.precision import dense
from localchat.model.decoder import Weight
from quant import pack
from quant.spec import ROW_GROUP
from quant.tensor import QuantTensor

_BLOCK = 32  # weights of a block in all three types
_AT_ONCE = 1 << 22  # weights taken apart at a time
_DENSE_TYPES = {torch.float32: GGUFType.F32, torch.float16: GGUFType.F16, torch.bfloat16: GGUFType.BF16}


def gguf_type(weight: Weight) -> GGUFType:
    """The type that holds these values with the least loss; vectors are F32, as llama.cpp wants them."""
    if isinstance(weight, Tensor):
        return _DENSE_TYPES[weight.dtype] if weight.dim() > 1 else GGUFType.F32
    if weight.spec.bits == 4:
        return GGUFType.Q4_0 if weight.spec.symmetric else GGUFType.Q4_1
    return GGUFType.Q8_0 if weight.spec.group_size != ROW_GROUP or _float16_holds(weight.scales) else GGUFType.F32


def is_exact(weight: Weight) -> bool:
    """Whether `gguf_type` changes no value."""
    if isinstance(weight, Tensor) or weight.spec.group_size != ROW_GROUP:
        return True
    return gguf_type(weight) is GGUFType.F32


def nbytes(shape: tuple[int, ...], kind: GGUFType) -> int:
    """Bytes of a tensor in a file, without padding."""
    weights, size = gguf.GGML_QUANT_SIZES[kind]
    return math.prod(shape) // int(weights) * int(size)


def encoded(weight: Weight) -> npt.NDArray[np.uint8]:
    """The bytes of a tensor in its `gguf_type`, [rows, bytes of a row]; a vector has a row for each number."""
    kind = gguf_type(weight)
    if isinstance(weight, QuantTensor) and kind is not GGUFType.F32:
        return _blocks(weight)
    floats = dense(weight) if kind is GGUFType.F32 or isinstance(weight, QuantTensor) else weight
    result: npt.NDArray[Any] = floats.contiguous().reshape(-1).view(torch.uint8).view(floats.shape[0], -1).numpy()
    return result


def _float16_holds(scales: Tensor) -> bool:
    """Whether float16 holds all of them to its full precision."""
    magnitude = scales.abs()
    return not bool(((magnitude > 0) & ((magnitude < 2**-14) | (magnitude > 65504))).any())


def _blocks(weight: QuantTensor) -> npt.NDArray[np.uint8]:
    rows, columns = weight.shape
    _, size = gguf.GGML_QUANT_SIZES[gguf_type(weight)]
    result = torch.empty(rows, columns // _BLOCK, size, dtype=torch.uint8)
    for start, some in weight.blocks(_AT_ONCE):
        count = some.shape[0]
        fields = [_per_block(some.scales, some)]
        if some.minimums is not None:
            fields.append(_per_block(some.minimums, some))
        codes = pack.unpack(some.packed, some.spec.bits)[:count].reshape(count, -1, _BLOCK)
        if some.spec.bits == 4:
            codes = codes[..., : _BLOCK // 2] | codes[..., _BLOCK // 2 :] << 4
        result[start : start + count] = torch.cat([*fields, codes.view(torch.uint8)], dim=-1)
    blocks: npt.NDArray[np.uint8] = result.view(rows, -1).numpy()
    return blocks


def _per_block(packed: Tensor, weight: QuantTensor) -> Tensor:
    """Scales or minimums as they stand in blocks: float16, as bytes [rows, blocks, 2]."""
    scales = pack.unpack_scales(packed)[: weight.shape[0]].half()
    repeated = scales.repeat_interleave(weight.shape[1] // _BLOCK // scales.shape[1], dim=1)
    return repeated.contiguous().view(torch.uint8).view(weight.shape[0], -1, 2)
