"""What stock torch offers on a CPU: its int4 and int8 products with bfloat16 activations.

These products read every weight once for a few rows, which is decoding. They do not block for the cache and use no
matrix unit, so for many rows, which is prefill, the weights are expanded for one call of a dense product.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from quant import pack
from quant.kernels.interface import Candidate, Kernel
from quant.kernels.torch_dense import dense_dtype
from quant.spec import ROW_GROUP
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

    def __init__(self, tensor: QuantTensor) -> None:
        self._tensor = tensor
        scales = pack.unpack_scales(tensor.scales).float()
        zeros = torch.zeros_like(scales)
        if tensor.minimums is not None:
            zeros = pack.unpack_scales(tensor.minimums).float() + 8 * scales
        self._product = _Int4Product(pack.unpack(tensor.packed, 4), scales, zeros, tensor.spec.group_size)

    def matmul(self, x: Tensor) -> Tensor:
        if x.shape[0] >= _INT4_DENSE_ROWS:
            return _expanded_product(x, self._tensor)
        return self._product(x)[:, : self._tensor.shape[0]].float()


class Int8GroupKernel(Kernel):
    """int8 with group scales, for which torch has nothing, as two int4 matrices: code = 16 * high + low.

    It reads 10 bits a weight and so is twice as fast as a dense bfloat16 copy, and just as exact.
    """

    name = "torch 2 x int4 x bfloat16"

    def __init__(self, tensor: QuantTensor) -> None:
        self._tensor = tensor
        offset = pack.unpack(tensor.packed, 8).view(torch.uint8) ^ 0x80  # code + 128
        codes = torch.cat((offset >> 4, offset & 15))
        scales = pack.unpack_scales(tensor.scales).float()
        # The op takes 8 from a nibble. That is right for the high one, 16 * (high - 8); the low one gets it back.
        self._product = _Int4Product(
            codes,
            torch.cat((16 * scales, scales)),
            torch.cat((torch.zeros_like(scales), 8 * scales)),
            tensor.spec.group_size,
        )

    def matmul(self, x: Tensor) -> Tensor:
        if x.shape[0] >= _INT4_DENSE_ROWS // 2:
            return _expanded_product(x, self._tensor)
        high, low = self._product(x).float().chunk(2, dim=1)
        return (high + low)[:, : self._tensor.shape[0]]


class Int8RowKernel(Kernel):
    """int8 with one scale per row, kept exact: the op gets ones, and the product is scaled in float32 after it."""

    name = "torch int8 x bfloat16"

    def __init__(self, tensor: QuantTensor) -> None:
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


@cache
def _int4_failure() -> str | None:
    def trial() -> Tensor:
        codes, ones = torch.full((16, 32), 9, dtype=torch.uint8), torch.ones(16, 1)
        return _Int4Product(codes, ones, ones, 32)(torch.ones(1, 32))

    return _trial_failure(trial)


@cache
def _int8_failure() -> str | None:
    def trial() -> Tensor:
        codes, ones = torch.full((16, 32), 2, dtype=torch.int8), torch.ones(16, dtype=torch.bfloat16)
        return torch._weight_int8pack_mm(torch.ones(1, 32, dtype=torch.bfloat16), codes, ones)

    return _trial_failure(trial)


def _trial_failure(trial: Callable[[], Tensor]) -> str | None:
    """Why an op cannot be used: these are private to torch, so a version may lack one or mean something else by it.

    Args:
        trial: a product of 32 ones with rows of twos.
    """
    try:
        result = trial()
    except (AttributeError, RuntimeError, TypeError) as error:
        return f"torch {torch.__version__} cannot run it here ({str(error).splitlines()[0]})"
    if result.shape != (1, 16) or not bool((result == 64).all()):
        return f"torch {torch.__version__} runs it here with a wrong result"
    return None


class Int4(Candidate):
    name = Int4Kernel.name
    family = "torch"

    def refusal(self, tensor: QuantTensor, device: torch.device) -> str | None:
        if device.type != "cpu":
            return "runs on the CPU only"
        return _int4_failure() if tensor.spec.bits == 4 else "is for int4"

    def prepare(self, tensor: QuantTensor, device: torch.device) -> Kernel:
        return Int4Kernel(tensor.to(device))


class Int8Group(Candidate):
    name = Int8GroupKernel.name
    family = "torch"

    def refusal(self, tensor: QuantTensor, device: torch.device) -> str | None:
        if device.type != "cpu":
            return "runs on the CPU only"
        if tensor.spec.bits != 8 or tensor.spec.group_size == ROW_GROUP:
            return "is for int8 by group"
        return _int4_failure()

    def prepare(self, tensor: QuantTensor, device: torch.device) -> Kernel:
        return Int8GroupKernel(tensor.to(device))


class Int8Row(Candidate):
    name = Int8RowKernel.name
    family = "torch"

    def refusal(self, tensor: QuantTensor, device: torch.device) -> str | None:
        if device.type != "cpu":
            return "runs on the CPU only"
        if tensor.spec.bits != 8 or tensor.spec.group_size != ROW_GROUP:
            return "is for int8 by row"
        return _int8_failure()

    def prepare(self, tensor: QuantTensor, device: torch.device) -> Kernel:
        return Int8RowKernel(tensor.to(device))
