"""The oracle: dequantize to float32, multiply in float32. Slow, always there, and right by definition."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from quant.kernels.interface import Candidate, Kernel
from quant.tensor import QuantTensor


class ReferenceKernel(Kernel):
    name = "reference float32"

    def __init__(self, tensor: QuantTensor) -> None:
        self._tensor = tensor

    def matmul(self, x: Tensor) -> Tensor:
        return F.linear(x, self._tensor.dequantize())


class Reference(Candidate):
    name = ReferenceKernel.name
    family = "reference"

    def refusal(self, tensor: QuantTensor, device: torch.device) -> str | None:  # noqa: ARG002
        return None

    def prepare(self, tensor: QuantTensor, device: torch.device) -> Kernel:
        return ReferenceKernel(tensor.to(device))
