"""What stock torch offers on a CPU: its int4 and int8 products with bfloat16 activations.

These products read every weight once for a few rows, which is decoding. They do not block for the cache and use no
matrix unit, so for many rows, which is prefill, the weights are expanded for one call of a dense product.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from quant import pack
from quant.kernels.interface import Kernel
from quant.kernels.torch_dense import dense_dtype
from quant.kernels.torch_op import INT4, INT8_GROUP, INT8_ROW, OpCandidate, int4_parts, int8_parts
from quant.tensor import QuantTensor

# From this many rows on, expanding is faster. Processor time in ms, one thread with AMX, product / expansion:
# int4 at 576 x 576: 64 rows 0.80 / 0.79; at 4864 x 896: 64 rows 11 / 15, 96 rows 16 / 17, 512 rows 90 / 23;
# int8 by row at 4864 x 896: 16 rows 4.1 / 3.5, 512 rows 102 / 12;
# int8 by group, which multiplies twice: 32 rows 11 / 13, 48 rows 16 / 13, 512 rows 175 / 18.
_INT4_DENSE_ROWS = 80
_INT8_DENSE_ROWS = 16

# torch's packing takes int32 codes, 8 times the size of what they hold, so they are made in pieces. It packs blocks of
# 16, 32 or 64 rows on their own, by processor, so pieces of whole 64s join to what packing at once would give.
_PIECE_WEIGHTS = 1 << 20
_PIECE_ROWS = 64


class Int4Kernel(Kernel):
    """int4 as torch packs it: (code - 8) * scale + zero, scale and zero rounded to bfloat16."""

    name = "torch int4 x bfloat16"

    def __init__(self, tensor: QuantTensor, device: torch.device) -> None:
        self._tensor = tensor.to(device)
        self._product = _Int4Product(*int4_parts(self._tensor), tensor.spec.group_size)

    def matmul(self, x: Tensor) -> Tensor:
        if x.shape[0] >= _INT4_DENSE_ROWS:
            return _expanded_product(x, self._tensor)
        return self._product(x)[:, : self._tensor.shape[0]].float()


class Int8GroupKernel(Kernel):
    """int8 with group scales, for which torch has nothing, as two int4 matrices.

    It reads 10 bits a weight and so is twice as fast as a dense bfloat16 copy, and just as exact.
    """

    name = "torch 2 x int4 x bfloat16"

    def __init__(self, tensor: QuantTensor, device: torch.device) -> None:
        self._tensor = tensor.to(device)
        scales = pack.unpack_scales(self._tensor.scales).float()
        self._product = _Int4Product(*int8_parts(self._tensor, scales), tensor.spec.group_size)

    def matmul(self, x: Tensor) -> Tensor:
        if x.shape[0] >= _INT4_DENSE_ROWS // 2:
            return _expanded_product(x, self._tensor)
        high, low = self._product(x).float().chunk(2, dim=1)
        return (high + low)[:, : self._tensor.shape[0]]


class Int8RowKernel(Kernel):
    """int8 with one scale per row, kept exact: the op gets ones, and the product is scaled in float32 after it."""

    name = "torch int8 x bfloat16"

    def __init__(self, tensor: QuantTensor, device: torch.device) -> None:
        tensor = tensor.to(device)
        self._codes = pack.unpack(tensor.packed, 8)[: tensor.shape[0]]
        self._ones = torch.ones(tensor.shape[0], dtype=torch.bfloat16)
        self._scales = pack.unpack_scales(tensor.scales)[: tensor.shape[0], 0].contiguous()

    def matmul(self, x: Tensor) -> Tensor:
        if x.shape[0] >= _INT8_DENSE_ROWS:
            dtype = dense_dtype(x.device)
            y = F.linear(x.to(dtype), self._codes.to(dtype))  # every code is exact in bfloat16
        else:
            y = torch._weight_int8pack_mm(x.to(torch.bfloat16), self._codes, self._ones)
        return y.float().mul_(self._scales)


class _Int4Product:
    """torch's int4 op with its own packing of codes [N, K] and scales [N, groups]; N a multiple of 16."""

    def __init__(self, codes: Tensor, scales: Tensor, zeros: Tensor, group_size: int) -> None:
        rows = max(1, _PIECE_WEIGHTS // (_PIECE_ROWS * codes.shape[1])) * _PIECE_ROWS
        pieces = [torch._convert_weight_to_int4pack_for_cpu(p.to(torch.int32), 1) for p in torch.split(codes, rows)]
        self._packed = torch.cat(pieces) if len(pieces) > 1 else pieces[0]
        self._scales_and_zeros = torch.stack((scales.t(), zeros.t()), dim=-1).to(torch.bfloat16)  # [groups, N, 2]
        self._group_size = group_size

    def __call__(self, x: Tensor) -> Tensor:
        """x float32 [M, K] to bfloat16 [M, N]."""
        return torch._weight_int4pack_mm_for_cpu(
            x.to(torch.bfloat16), self._packed, self._group_size, self._scales_and_zeros
        )


def _expanded_product(x: Tensor, tensor: QuantTensor) -> Tensor:
    """x [M, K] times `tensor` transposed through weights expanded for this call."""
    dtype = dense_dtype(x.device)
    return F.linear(x.to(dtype), tensor.dequantize(dtype)).float()


class Int4(OpCandidate):
    name = Int4Kernel.name
    kernel = Int4Kernel
    device_type = "cpu"
    formats = (INT4,)


class Int8Group(OpCandidate):
    name = Int8GroupKernel.name
    kernel = Int8GroupKernel
    device_type = "cpu"
    formats = (INT8_GROUP,)


class Int8Row(OpCandidate):
    name = Int8RowKernel.name
    kernel = Int8RowKernel
    device_type = "cpu"
    formats = (INT8_ROW,)
