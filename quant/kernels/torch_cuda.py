"""What stock torch offers on CUDA: a product of int4 weights and bfloat16 activations.

It was made for one row and multiplies 16 at the price of one. torch has an int8 product for CUDA too (since 2.9), but
there one thread walks along a whole row of weights and shares no read with its neighbours (aten's int8mm.cu), so int8
goes through int4 twice.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from quant.kernels import torch_gpu
from quant.kernels.interface import Kernel
from quant.kernels.torch_op import INT4, INT8_GROUP, INT8_ROW, OpCandidate
from quant.tensor import QuantTensor

# From this many rows on, weights are expanded. An estimate, not a measurement of ours: on an A100 16 rows of the op
# take some 1.3 ps a weight (from pytorch/ao issue 3496), and expanding, which moves 19 bytes a weight, some 10 ps.
_DENSE_ROWS: Final = 128

_NEEDED_CAPABILITY: Final = (8, 0)  # torch is built without the op's code for older devices


class Int4Product(torch_gpu.Int4Product):
    """Packed for tensor cores: tiles of 8 rows by 16 columns, up to 8 of them beside each other, a thread a word."""

    dtype = torch.bfloat16

    @staticmethod
    def _pack(pairs: Tensor) -> Tensor:
        tiles = next(tiles for tiles in (8, 4, 2) if pairs.shape[1] % (8 * tiles) == 0)
        return torch._convert_weight_to_int4pack(pairs, tiles)

    @staticmethod
    def _unpack(packed: Tensor) -> Tensor:
        """A word of [row tile, column tiles, thread, pair of tiles] has codes of row `thread // 4`.

        Nibble 4 * j + i of a word is of column 8 * i + 2 * (thread % 4) + j of the pair's 32.
        """
        row_tiles, column_tiles, _, pairs = packed.shape
        shape = (row_tiles, column_tiles, 8, 4, pairs, 2, 2)  # ..., row, thread % 4, pair, j, i // 2
        nibbles = packed.view(torch.uint8).view(shape)
        codes = torch.stack((nibbles & 15, nibbles >> 4), dim=-1)  # ..., i % 2
        return codes.permute(0, 2, 1, 4, 6, 7, 3, 5).reshape(8 * row_tiles, -1)


class Int4Kernel(torch_gpu.Int4Kernel):
    name = "torch CUDA int4 x bfloat16"
    dense_rows = _DENSE_ROWS
    product = Int4Product


class Int8Kernel(torch_gpu.Int8Kernel):
    name = "torch CUDA 2 x int4 x bfloat16"
    dense_rows = _DENSE_ROWS // 2
    product = Int4Product


class _CUDA(OpCandidate):
    device_type = "cuda"

    def lack(self, device: torch.device) -> str | None:
        capability = torch.cuda.get_device_capability(device)
        if capability < _NEEDED_CAPABILITY:
            needed, there = (".".join(map(str, each)) for each in (_NEEDED_CAPABILITY, capability))
            return f"needs compute capability {needed}, and this device has {there}"
        return None

    def prepare(self, tensor: QuantTensor, device: torch.device) -> Kernel:
        return super().prepare(tensor.to(device), device)  # unpacked there, as that is faster


class Int4(_CUDA):
    name = Int4Kernel.name
    kernel = Int4Kernel
    formats = (INT4,)


class Int8(_CUDA):
    name = Int8Kernel.name
    kernel = Int8Kernel
    formats = (INT8_GROUP, INT8_ROW)
