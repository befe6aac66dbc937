"""The fallback for what no product of quantized weights serves: a dense copy, 2 or 4 bytes a weight, on any device."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from quant.kernels.interface import Candidate, Kernel
from quant.tensor import QuantTensor


def dense_dtype(device: torch.device) -> torch.dtype:
    """What dense products are fastest in: bfloat16, except on CPUs that only emulate it."""
    return torch.bfloat16 if device.type != "cpu" or _cpu_multiplies_bfloat16() else torch.float32


@cache
def _cpu_multiplies_bfloat16() -> bool:
    """Whether oneDNN takes bfloat16 here; without it, torch's own loop is slower than float32."""
    return bool(torch._C._has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported())


class DenseKernel(Kernel):
    name = "torch dense copy"

    def __init__(self, tensor: QuantTensor, device: torch.device) -> None:
        self._weight = tensor.dequantize(dense_dtype(device)).to(device)

    def matmul(self, x: Tensor) -> Tensor:
        return F.linear(x.to(self._weight.dtype), self._weight).float()


class Dense(Candidate):
    """Any format, at the price of the copy, which is also what is read per token."""

    name = DenseKernel.name
    family = "torch"

    def refusal(self, tensor: QuantTensor, device: torch.device) -> str | None:  # noqa: ARG002
        return None

    def prepare(self, tensor: QuantTensor, device: torch.device) -> Kernel:
        return DenseKernel(tensor, device)
