"""What every way to multiply by a quantized matrix looks like."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from quant.tensor import QuantTensor


class Kernel(ABC):
    """One matrix made ready for one way of multiplying."""

    name: str

    @abstractmethod
    def matmul(self, x: Tensor) -> Tensor:
        """x float32 [M, K] times the matrix transposed: float32 [M, N]."""


class Candidate(ABC):
    """One way of multiplying, which may or may not suit a machine and a matrix."""

    name: str
    family: str  # what LOCALCHAT_KERNEL may ask for

    @abstractmethod
    def refusal(self, tensor: QuantTensor, device: torch.device) -> str | None:
        """Why this candidate cannot multiply by `tensor` on `device`; None when it can."""

    @abstractmethod
    def prepare(self, tensor: QuantTensor, device: torch.device) -> Kernel:
        """Make `tensor` ready. Only after `refusal` returned None."""
