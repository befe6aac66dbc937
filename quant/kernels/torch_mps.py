"""What stock torch offers on MPS, Apple's GPUs: int4 and int8 products, in float32 throughout.

float32 because nothing is rounded then: in 16 bits these ops also compute `zero - 8 * scale` in 16 bits, where large
minimums cancel, and float16 overflows on the largest activations. The price is 6 bits a weight instead of 5 with groups
of 32.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from quant import pack
from quant.kernels import torch_gpu
from quant.kernels.interface import Kernel
from quant.kernels.torch_op import INT4, INT8_GROUP, INT8_ROW, OpCandidate
from quant.tensor import QuantTensor

# From this many rows on, weights are expanded. An estimate, not a measurement: the op reads its 6 bits a weight again
# for every row, in part from caches, and expanding moves 29 bytes a weight.
_DENSE_ROWS: Final = 64

_INT8_ROWS: Final = 32  # the int8 op takes whole multiples of so many rows of weights


class Int4Product(torch_gpu.Int4Product):
    """Row after row; the first of two codes in the low half of their byte. The packed shape is CUDA's in name only."""

    dtype = torch.float32

    @staticmethod
    def _pack(pairs: Tensor) -> Tensor:
        return torch._convert_weight_to_int4pack(pairs, 2)  # 2 suits every number of columns and changes no byte

    @staticmethod
    def _unpack(packed: Tensor) -> Tensor:
        pairs = packed.view(torch.uint8).view(8 * packed.shape[0], -1)
        return torch.stack((pairs & 15, pairs >> 4), dim=-1).flatten(1)


class Int4Kernel(torch_gpu.Int4Kernel):
    name = "torch MPS int4 x float32"
    dense_rows = _DENSE_ROWS
    product = Int4Product


class Int8GroupKernel(torch_gpu.Int8Kernel):
    name = "torch MPS 2 x int4 x float32"
    dense_rows = _DENSE_ROWS // 2
    product = Int4Product


class Int8RowKernel(Kernel):
    """int8 with one scale per row; the op has code for one row of activations and for many."""

    name = "torch MPS int8 x float32"

    def __init__(self, tensor: QuantTensor, device: torch.device) -> None:
        self._rows = tensor.shape[0]
        codes, scales = pack.unpack(tensor.packed, 8), pack.unpack_scales(tensor.scales).squeeze(1)
        missing = -codes.shape[0] % _INT8_ROWS
        self._codes = F.pad(codes, (0, 0, 0, missing)).to(device)
        self._scales = F.pad(scales, (0, missing)).to(device)

    def matmul(self, x: Tensor) -> Tensor:
        y = torch._weight_int8pack_mm(x.contiguous(), self._codes, self._scales)
        return y.narrow(1, 0, self._rows)


class Int4(OpCandidate):
    name = Int4Kernel.name
    kernel = Int4Kernel
    device_type = "mps"
    formats = (INT4,)


class Int8Group(OpCandidate):
    name = Int8GroupKernel.name
    kernel = Int8GroupKernel
    device_type = "mps"
    formats = (INT8_GROUP,)


class Int8Row(OpCandidate):
    name = Int8RowKernel.name
    kernel = Int8RowKernel
    device_type = "mps"
    formats = (INT8_ROW,)
