"""The ordered list of ways to multiply by a quantized matrix, and the choice among them.

The first candidate that does not refuse is taken; the reference, last in the list, never does. LOCALCHAT_KERNEL names a
family (`cuda`, `torch` or `reference`) to have nothing else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from quant import rtn
from quant.kernels import torch_cuda, torch_mps
from quant.kernels.cuda.products import Products
from quant.kernels.interface import Candidate, Kernel
from quant.kernels.native import INSTRUCTION_SETS, Native
from quant.kernels.reference import Reference
from quant.kernels.torch_cpu import Int4, Int8Group, Int8Row
from quant.kernels.torch_dense import Dense
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

__all__ = ["KERNEL_NAMES", "KernelReport", "report", "select"]

_CANDIDATES: tuple[Candidate, ...] = (
    Native(),
    Int4(),
    Int8Row(),
    Int8Group(),
    Products(),
    torch_cuda.Int4(),
    torch_cuda.Int8(),
    torch_mps.Int4(),
    torch_mps.Int8Row(),
    torch_mps.Int8Group(),
    Dense(),
    Reference(),
)
KERNEL_NAMES = (*INSTRUCTION_SETS, "cuda", "torch", "reference")
"""What LOCALCHAT_KERNEL may be."""

_REPORTED = (QuantSpec(4), QuantSpec(8, 0), QuantSpec(8, 32))


@dataclass(frozen=True)
class KernelReport:
    """What became of one candidate for one format.

    Attributes:
        format: of the matrix, such as "int4 by 32".
        name: of the candidate.
        chosen: whether it is the one that multiplies.
        reason: why it was not chosen; empty for the chosen one.
    """

    format: str
    name: str
    chosen: bool
    reason: str


def select(tensor: QuantTensor, device: torch.device | str = "cpu") -> Kernel:
    """Make `tensor` ready for the best way to multiply by it on `device`.

    Raises:
        ValueError: LOCALCHAT_KERNEL names no family, or one that cannot multiply by this matrix.
    """
    device = torch.device(device)
    reasons = []
    for candidate in _CANDIDATES:
        reason = _refusal(candidate, tensor, device)
        if reason is None:
            return candidate.prepare(tensor, device)
        reasons.append(f"{candidate.name}: {reason}")
    raise ValueError("No kernel can multiply by this matrix. " + "; ".join(reasons))


def report(device: torch.device | str = "cpu") -> list[KernelReport]:
    """Every candidate for every format that is in use, in the order in which they are tried."""
    device, result = torch.device(device), []
    for spec in _REPORTED:
        tensor = rtn.quantize(torch.ones(16, 32), spec)
        chosen = False
        for candidate in _CANDIDATES:
            reason = _refusal(candidate, tensor, device)
            if reason is None and chosen:
                reason = "not needed"
            result.append(KernelReport(str(spec), candidate.name, reason is None, reason or ""))
            chosen = chosen or reason is None
    return result


def _refusal(candidate: Candidate, tensor: QuantTensor, device: torch.device) -> str | None:
    forced = os.environ.get("LOCALCHAT_KERNEL")
    if forced and forced not in KERNEL_NAMES:
        raise ValueError(
            f"LOCALCHAT_KERNEL is {forced!r}; it may be {', '.join(KERNEL_NAMES[:-1])} or {KERNEL_NAMES[-1]}."
        )
    if forced and candidate.family != ("native" if forced in INSTRUCTION_SETS else forced):
        return f"LOCALCHAT_KERNEL asks for {forced}"
    return candidate.refusal(tensor, device)
