"""What CUDA and MPS have in common: torch's int4 product for few rows, and weights expanded from its packing for many.

The packing is all that is kept of a matrix: prefill expands the very weights that decoding multiplies by, a piece at a
time, with a handful of element-wise operations and one dense product.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from quant import pack
from quant.kernels.interface import Kernel
from quant.kernels.torch_op import int4_parts, int8_parts
from quant.spec import ROW_GROUP
from quant.tensor import QuantTensor

_PIECE_WEIGHTS = 1 << 25  # expanded at a time, which takes up to 300 MB on the device
_OP_GROUPS = (256, 128, 64, 32)  # group sizes that the op knows


class Int4Product(ABC):
    """A matrix of weights (code - 8) * scale + zero, as torch's int4 op of a device wants it.

    Args:
        codes: uint8 [N, K], N a multiple of 16 and K of 32, on any device.
        scales, zeros: float32 [N, groups].
    """

    dtype: ClassVar[torch.dtype]  # of activations, scales, zeros and results

    def __init__(self, codes: Tensor, scales: Tensor, zeros: Tensor, group_size: int, device: torch.device) -> None:
        # Two codes a byte, the first in the high half: what torch packs on every device but the CPU.
        first, second = codes.view(codes.shape[0], -1, 2).unbind(-1)
        self._packed = self._pack((first << 4 | second).to(device))
        scales_and_zeros = torch.stack((scales.t(), zeros.t()), dim=-1)  # [groups, N, 2]
        self._scales_and_zeros = scales_and_zeros.to(device, self.dtype)
        self._group_size = group_size

    def __call__(self, x: Tensor) -> Tensor:
        """x [M, K] in `dtype` to [M, N]."""
        return torch._weight_int4pack_mm(x, self._packed, self._group_size, self._scales_and_zeros)

    def codes(self, start: int, stop: int) -> Tensor:
        """The codes of some rows, multiples of 8: uint8 [stop - start, K]."""
        return self._unpack(self._packed.narrow(0, start // 8, (stop - start) // 8))

    def scales_and_zeros(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Their scales and zeros, each [stop - start, groups, 1]."""
        scales, zeros = self._scales_and_zeros.narrow(1, start, stop - start).permute(2, 1, 0).unsqueeze(-1).unbind()
        return scales, zeros

    @staticmethod
    @abstractmethod
    def _pack(pairs: Tensor) -> Tensor:
        """Pairs of codes, uint8 [N, K / 2], to int32 [N / 8, ...]."""

    @staticmethod
    @abstractmethod
    def _unpack(packed: Tensor) -> Tensor:
        """int32 [N / 8, ...] to codes, uint8 [N, K]."""


class GPUKernel(Kernel):
    """Few rows through the op, many through expanded weights.

    Attributes:
        dense_rows: from so many rows on, expanding should be faster.
    """

    dense_rows: ClassVar[int]
    product: ClassVar[type[Int4Product]]
    _op: Int4Product
    _shape: tuple[int, int]

    def matmul(self, x: Tensor) -> Tensor:
        x = x.to(self.product.dtype).contiguous()
        y = self._few(x) if x.shape[0] < self.dense_rows else self._many(x)
        return y.narrow(1, 0, self._shape[0]).float()

    def _many(self, x: Tensor) -> Tensor:
        rows, columns = pack.padded(self._shape[0]), self._shape[1]
        step = max(1, _PIECE_WEIGHTS // (pack.TILE_ROWS * columns)) * pack.TILE_ROWS
        pieces = [(start, min(start + step, rows)) for start in range(0, rows, step)]
        return torch.cat([F.linear(x, self._weights(start, stop)) for start, stop in pieces], dim=1)

    @abstractmethod
    def _few(self, x: Tensor) -> Tensor:
        """x [M, K] to [M, padded N] through the op."""

    @abstractmethod
    def _weights(self, start: int, stop: int) -> Tensor:
        """Some rows of the matrix, [stop - start, K]."""


class Int4Kernel(GPUKernel):
    """int4, its scales and zeros rounded to what the op takes."""

    def __init__(self, tensor: QuantTensor, device: torch.device) -> None:
        self._shape = tensor.shape
        self._op = self.product(*int4_parts(tensor), tensor.spec.group_size, device)

    def _few(self, x: Tensor) -> Tensor:
        return self._op(x)

    def _weights(self, start: int, stop: int) -> Tensor:
        scales, zeros = self._op.scales_and_zeros(start, stop)
        codes = self._op.codes(start, stop).to(scales.dtype).sub_(8).view(*scales.shape[:2], -1)
        return torch.addcmul(zeros, codes, scales, out=codes).view(stop - start, -1)  # rounded once, as in the op


class Int8Kernel(GPUKernel):
    """int8 as two int4 matrices. A scale for a whole row stays out of them, so that nothing of it is rounded."""

    def __init__(self, tensor: QuantTensor, device: torch.device) -> None:
        self._shape = tensor.shape
        scales = pack.unpack_scales(tensor.scales).float()
        group_size = tensor.spec.group_size
        self._row_scales: Tensor | None = None
        if group_size == ROW_GROUP:
            self._row_scales = scales.narrow(0, 0, tensor.shape[0]).squeeze(1).to(device)
            group_size = next(size for size in _OP_GROUPS if tensor.shape[1] % size == 0)
            scales = torch.ones(scales.shape[0], tensor.shape[1] // group_size, device=scales.device)
        self._op = self.product(*int8_parts(tensor, scales), group_size, device)

    def matmul(self, x: Tensor) -> Tensor:
        y = super().matmul(x)
        return y if self._row_scales is None else y.mul_(self._row_scales)

    def _few(self, x: Tensor) -> Tensor:
        high, low = self._op(x).float().chunk(2, dim=1)
        return high + low

    def _weights(self, start: int, stop: int) -> Tensor:
        low = pack.padded(self._shape[0])  # where the low nibbles begin
        scales, _ = self._op.scales_and_zeros(low + start, low + stop)
        # Whole numbers up to 255 are exact in every dtype.
        codes = self._op.codes(start, stop).to(scales.dtype).mul_(16)
        codes.add_(self._op.codes(low + start, low + stop)).sub_(128)
        return codes.view(*scales.shape[:2], -1).mul_(scales).view(stop - start, -1)
