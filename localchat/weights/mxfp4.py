"""MXFP4: 32 codes of 4 bits that share a power of two (Open Compute Project, Microscaling Formats 1.0).

A code is a sign and 0, 0.5, 1, 1.5, 2, 3, 4 or 6. What is here counts in halves, so that codes are whole numbers, and
scales are half of what the byte says. Twelve halves fit int8 and powers of two fit float16 from 2^-24 to 2^15: then our
int8 by groups of 32 holds the same numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from quant import pack
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

GROUP = 32
_SPEC = QuantSpec(8, GROUP)
_HALVES = torch.tensor([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], dtype=torch.int8)


def halves(codes: Tensor) -> Tensor:
    """Codes 0..15 to what they mean, in halves, int8 of the same shape."""
    return _HALVES[codes.long()]


def scales(exponents: Tensor) -> Tensor:
    """Bytes of scales to what a half is worth, float32 of the same shape; 255 is no number."""
    worth = torch.exp2(exponents.float() - 128)
    return torch.where(exponents == 255, torch.nan, worth)


def to_quant_tensor(values: Tensor, worth: Tensor) -> QuantTensor | None:
    """Halves int8 [N, K] and their worth, float32 [N, K / 32], in our format; None where that cannot hold them."""
    rows, columns = values.shape
    used = (values.view(rows, -1, GROUP) != 0).any(-1)
    kept = torch.where(used, worth, 1.0).half()
    if not torch.equal(kept.float()[used], worth[used]):
        return None
    parts = {"packed": pack.pack(values, 8), "scales": pack.pack_scales(kept)}
    return QuantTensor.from_parts(_SPEC, (rows, columns), parts)


class PackedExperts:
    """The matrices of all experts of a layer, [expert, out, in], as gpt-oss's checkpoints have them.

    Args:
        blocks: uint8 [expert, out, in / 32, 16], two codes in a byte, the first one low.
        exponents: uint8 [expert, out, in / 32].

    Raises:
        ValueError: they do not fit each other.
    """

    def __init__(self, blocks: Tensor, exponents: Tensor) -> None:
        if blocks.dtype != torch.uint8 or exponents.dtype != torch.uint8 or blocks.dim() != 4:
            raise ValueError(f"blocks {blocks.dtype} {list(blocks.shape)}, scales {exponents.dtype}")
        if blocks.shape[:3] != exponents.shape or blocks.shape[3] != GROUP // 2:
            raise ValueError(f"blocks {list(blocks.shape)} with scales {list(exponents.shape)}")
        self._blocks, self._exponents = blocks, exponents

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of all matrices, under the name that they have unpacked: [expert, in, out]."""
        experts, rows, groups, _ = self._blocks.shape
        return experts, groups * GROUP, rows

    def float32(self, expert: int) -> Tensor:
        """One matrix as it would be unpacked, float32 [in, out]."""
        values, worth = self._read(expert)
        dense = values.view(len(values), -1, GROUP).float() * worth.unsqueeze(-1)
        return dense.flatten(1).T

    def quant_tensor(self, expert: int) -> QuantTensor | None:
        """One matrix in our format, [out, in], with the same numbers; None where that cannot hold it."""
        return to_quant_tensor(*self._read(expert))

    def _read(self, expert: int) -> tuple[Tensor, Tensor]:
        blocks = self._blocks[expert]
        codes = torch.stack((blocks & 15, blocks >> 4), dim=-1)
        return halves(codes).flatten(1), scales(self._exponents[expert])
