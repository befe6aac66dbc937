"""GGUF's tensor types: how many bytes a block takes, and what numbers its bytes mean.

The `gguf` package's `quants.dequantize` is the reference. These functions do its operations in its order, so the
results are the same bit for bit, on all cores and without copies of a whole tensor. A block is a row of a uint8
matrix [blocks, bytes]; the result is float32 [blocks, weights].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from localchat.weights import mxfp4

_CHUNK_WEIGHTS = 1 << 21  # dequantized at a time


@dataclass(frozen=True)
class GGUFType:
    """One tensor type: `weights` numbers are stored in `size` bytes."""

    name: str
    weights: int
    size: int
    dequantize_blocks: Callable[[Tensor], Tensor]

    def nbytes(self, count: int) -> int:
        """Bytes of `count` weights, a whole number of blocks."""
        return count // self.weights * self.size

    def dequantize(self, raw: Tensor) -> Tensor:
        """uint8 [bytes] to float32 [weights]."""
        blocks = raw.view(-1, self.size)
        result = torch.empty(blocks.shape[0], self.weights)
        step = max(1, _CHUNK_WEIGHTS // self.weights)
        for start in range(0, blocks.shape[0], step):
            result[start : start + step] = self.dequantize_blocks(blocks[start : start + step])
        return result.view(-1)


def half(blocks: Tensor, at: int) -> Tensor:
    """The float16 at byte `at` of each block, [blocks, 1]."""
    return blocks[:, at : at + 2].contiguous().view(torch.float16)


def low_then_high(quants: Tensor) -> Tensor:
    """Nibbles of uint8 [..., bytes] as [..., 2 * bytes]: all the low ones, then all the high ones."""
    return torch.cat((quants & 15, quants >> 4), dim=-1)


def fifth_bits(blocks: Tensor, at: int) -> Tensor:
    """32 bits from byte `at` of each block, lowest first, as 0 or 16 in uint8 [blocks, 32]."""
    bits = blocks[:, at : at + 4, None] >> torch.arange(8, dtype=torch.uint8)
    return ((bits & 1) << 4).flatten(1)


def _f32(blocks: Tensor) -> Tensor:
    return blocks.contiguous().view(torch.float32)


def _f16(blocks: Tensor) -> Tensor:
    return blocks.contiguous().view(torch.float16).float()


def _bf16(blocks: Tensor) -> Tensor:
    return blocks.contiguous().view(torch.bfloat16).float()


def _q4_0(blocks: Tensor) -> Tensor:
    return (low_then_high(blocks[:, 2:]).float() - 8) * half(blocks, 0).float()


def _q4_1(blocks: Tensor) -> Tensor:
    return low_then_high(blocks[:, 4:]).float() * half(blocks, 0).float() + half(blocks, 2).float()


def _q5_0(blocks: Tensor) -> Tensor:
    codes = low_then_high(blocks[:, 6:]) | fifth_bits(blocks, 2)
    return (codes.float() - 16) * half(blocks, 0).float()


def _q5_1(blocks: Tensor) -> Tensor:
    codes = low_then_high(blocks[:, 8:]) | fifth_bits(blocks, 4)
    return codes.float() * half(blocks, 0).float() + half(blocks, 2).float()


def _q8_0(blocks: Tensor) -> Tensor:
    return blocks[:, 2:].view(torch.int8).float() * half(blocks, 0).float()


def k_scales(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Scales and minimums of the 8 groups of a Q4_K or Q5_K block, float32 [blocks, 8, 1] each.

    12 bytes hold 16 numbers of 6 bits: 4 scales, 4 minimums, and then the low nibbles of the other 4 of each, whose
    high bits lie on top of the first 8 bytes.
    """
    scales, minimums, mixed = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scales_of_group = torch.cat((scales & 0x3F, (mixed & 0x0F) | ((scales >> 2) & 0x30)), dim=-1)
    minimums_of_group = torch.cat((minimums & 0x3F, (mixed >> 4) | ((minimums >> 2) & 0x30)), dim=-1)
    step = half(blocks, 0).float() * scales_of_group.float()
    offset = half(blocks, 2).float() * minimums_of_group.float()
    return step.unsqueeze(-1), offset.unsqueeze(-1)


def _q4_k(blocks: Tensor) -> Tensor:
    step, offset = k_scales(blocks)
    codes = low_then_high(blocks[:, 16:].reshape(-1, 4, 32)).view(-1, 8, 32)
    return (codes.float() * step - offset).flatten(1)


def _q5_k(blocks: Tensor) -> Tensor:
    step, offset = k_scales(blocks)
    low = low_then_high(blocks[:, 48:].reshape(-1, 4, 32)).view(-1, 8, 32)
    high = (blocks[:, 16:48].unsqueeze(1) >> torch.arange(8, dtype=torch.uint8).view(8, 1)) & 1
    return ((low | (high << 4)).float() * step - offset).flatten(1)


def _q6_k(blocks: Tensor) -> Tensor:
    low = low_then_high(blocks[:, :128].reshape(-1, 2, 64)).view(-1, 8, 32)
    twos = torch.arange(0, 8, 2, dtype=torch.uint8).view(4, 1)
    high = ((blocks[:, 128:192].reshape(-1, 2, 1, 32) >> twos) & 3).view(-1, 8, 32)
    scales = blocks[:, 192:208].view(torch.int8).float() * half(blocks, 208).float()
    codes = (low | (high << 4)).float() - 32
    return (codes.view(-1, 16, 16) * scales.unsqueeze(-1)).flatten(1)


def _mxfp4(blocks: Tensor) -> Tensor:
    return mxfp4.halves(low_then_high(blocks[:, 1:])).float() * mxfp4.scales(blocks[:, :1])


_READABLE = {
    0: GGUFType("F32", 1, 4, _f32),
    1: GGUFType("F16", 1, 2, _f16),
    2: GGUFType("Q4_0", 32, 18, _q4_0),
    3: GGUFType("Q4_1", 32, 20, _q4_1),
    6: GGUFType("Q5_0", 32, 22, _q5_0),
    7: GGUFType("Q5_1", 32, 24, _q5_1),
    8: GGUFType("Q8_0", 32, 34, _q8_0),
    12: GGUFType("Q4_K", 256, 144, _q4_k),
    13: GGUFType("Q5_K", 256, 176, _q5_k),
    14: GGUFType("Q6_K", 256, 210, _q6_k),
    30: GGUFType("BF16", 1, 2, _bf16),
    39: GGUFType("MXFP4", 32, 17, _mxfp4),
}

_OTHERS = {
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    24: "I8",
    25: "I16",
    26: "I32",
    27: "I64",
    28: "F64",
    29: "IQ1_M",
    34: "TQ1_0",
    35: "TQ2_0",
}


def readable(number: int) -> GGUFType | None:
    """The type with this number in a file, or None when it cannot be read here."""
    return _READABLE.get(number)


def name_of(number: int) -> str | None:
    """What GGUF calls the type with this number; None when there is no such type."""
    known = _READABLE.get(number)
    return known.name if known else _OTHERS.get(number)


def readable_names() -> list[str]:
    return [each.name for each in _READABLE.values()]
