"""What the kernels around torch's int4 and int8 ops share: how they see a matrix, and the candidate that tries them.

These ops are private to torch: a version may lack one, refuse this device, or mean something else by it. So before a
kernel gets a matrix of some format, it multiplies by a small one, and the result is held against the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from quant import pack, rtn
from quant.kernels.interface import Candidate, Kernel
from quant.spec import ROW_GROUP, QuantSpec
from quant.tensor import QuantTensor

INT4, INT8_GROUP, INT8_ROW = "int4", "int8 by group", "int8 by row"

_TILE_COLUMNS = 128  # a packing may depend on what is left over of a row when so many columns at a time are taken
_TRIAL_ROWS = (1, 3, 512)  # 512 are enough for every kernel to expand its weights
_TRIAL_ERROR = 0.02  # of the result; bfloat16 makes 0.003, weights out of order more than 1


class OpCandidate(Candidate):
    """A kernel around an op of torch.

    Attributes:
        kernel: makes a matrix ready for a device.
        device_type: where it runs.
        formats: that it multiplies by: INT4, INT8_GROUP, INT8_ROW.
    """

    family = "torch"
    kernel: Callable[[QuantTensor, torch.device], Kernel]
    device_type: str
    formats: tuple[str, ...]

    def refusal(self, tensor: QuantTensor, device: torch.device) -> str | None:
        if device.type != self.device_type:
            return f"runs on {self.device_type} only"
        if _format(tensor.spec) not in self.formats:
            return f"is for {' and '.join(self.formats)}"
        return self.lack(device) or trial_failure(self, tensor.spec, tensor.shape[1] % _TILE_COLUMNS, device)

    def lack(self, device: torch.device) -> str | None:  # noqa: ARG002
        """What is known to be missing, where a trial would do harm or not tell why it failed."""
        return None

    def prepare(self, tensor: QuantTensor, device: torch.device) -> Kernel:
        return type(self).kernel(tensor, device)


@cache
def trial_failure(candidate: OpCandidate, spec: QuantSpec, left_over: int, device: torch.device) -> str | None:
    """Why `candidate` cannot take matrices in `spec` on `device`; None when it gives what the reference gives.

    Args:
        left_over: columns of the matrix modulo 128.
    """
    generator, columns = torch.Generator().manual_seed(0), 2 * _TILE_COLUMNS + left_over
    tensor = rtn.quantize(torch.randn(80, columns, generator=generator), spec)
    x = torch.randn(max(_TRIAL_ROWS), columns, generator=generator)
    expected = x @ tensor.dequantize().t()
    try:
        kernel = candidate.prepare(tensor, device)
        results = [kernel.matmul(x[:rows].to(device)).cpu() for rows in _TRIAL_ROWS]
    except (AttributeError, RuntimeError, TypeError) as error:
        return f"torch {torch.__version__} cannot run it here ({str(error).strip().splitlines()[0]})"
    for rows, result in zip(_TRIAL_ROWS, results, strict=True):
        wanted = expected[:rows]
        if not (result - wanted).norm() <= _TRIAL_ERROR * wanted.norm():  # so that NaN fails too
            return f"torch {torch.__version__} runs it here with a wrong result"
    return None


def int4_parts(tensor: QuantTensor) -> tuple[Tensor, Tensor, Tensor]:
    """An int4 matrix as torch sees it: a weight is (code - 8) * scale + zero.

    Returns:
        Codes uint8 [N, K], scales and zeros float32 [N, groups]; N with its padding.
    """
    scales = pack.unpack_scales(tensor.scales).float()
    zeros = torch.zeros_like(scales)
    if tensor.minimums is not None:
        zeros = pack.unpack_scales(tensor.minimums).float() + 8 * scales
    return pack.unpack(tensor.packed, 4), scales, zeros


def int8_parts(tensor: QuantTensor, scales: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """An int8 matrix as two int4 ones, one below the other, whose products add up: code + 128 = 16 * high + low.

    Args:
        scales: float32 [N, groups], with padding.

    Returns:
        What `int4_parts` returns, with 2 N rows: the high nibbles, then the low ones.
    """
    offset = pack.unpack(tensor.packed, 8).view(torch.uint8) ^ 0x80  # code + 128
    codes = torch.cat((offset >> 4, offset & 15))
    # The op takes 8 from a nibble. That is right for the high one, 16 * (high - 8); the low one gets it back.
    return codes, torch.cat((16 * scales, scales)), torch.cat((torch.zeros_like(scales), 8 * scales))


def _format(spec: QuantSpec) -> str:
    if spec.bits == 4:
        return INT4
    return INT8_ROW if spec.group_size == ROW_GROUP else INT8_GROUP
