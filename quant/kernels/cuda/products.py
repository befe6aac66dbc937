"""Multiplying on CUDA by weights as they are stored: few rows by our own kernel, many by expanding to bfloat16."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from quant import pack
from quant.kernels.cuda.module import Module, Unavailable
from quant.kernels.interface import Kernel
from quant.kernels.torch_op import INT4, INT8_GROUP, INT8_ROW, OpCandidate
from quant.spec import ROW_GROUP
from quant.tensor import QuantTensor

SOURCES: Final = ("products.cu", "fused.cu", "cache.cu")
NEEDED_CAPABILITY: Final = (8, 0)  # for bfloat16

_TOKENS: Final = (1, 2, 4, 8)  # that the kernel is compiled for
_FEW: Final = 8  # rows; more, and weights are expanded
_PIECE_WEIGHTS: Final = 1 << 24  # expanded at a time: 32 MB, which second-level caches of large devices hold
_THREADS: Final = 256


class Matrix(ctypes.Structure):
    """`Matrix` of products.cu: a quantized matrix on the device. Keep the tensor as long as this."""

    _fields_ = [
        ("packed", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("minimums", ctypes.c_void_p),
        ("rows", ctypes.c_int),
        ("blocks", ctypes.c_int),
        ("group_blocks", ctypes.c_int),
        ("bits", ctypes.c_int),
    ]

    @classmethod
    def of(cls, tensor: QuantTensor) -> Matrix:
        minimums = None if tensor.minimums is None else tensor.minimums.data_ptr()
        spec, (rows, columns) = tensor.spec, tensor.shape
        blocks = columns // pack.TILE_COLUMNS
        in_group = 0 if spec.group_size == ROW_GROUP else spec.group_size // pack.TILE_COLUMNS
        return cls(tensor.packed.data_ptr(), tensor.scales.data_ptr(), minimums, rows, blocks, in_group, spec.bits)


def threads(columns: int) -> int:
    """Of a block that multiplies a tile with rows of so many columns."""
    return 128 if columns < 1024 else _THREADS


@cache
def module(device: torch.device, added: str = "") -> Module:
    """The compiled kernels.

    Args:
        added: source behind ours.

    Raises:
        Unavailable: they cannot be compiled here.
    """
    folder = Path(__file__).parent
    return Module("".join((folder / name).read_text("utf-8") for name in SOURCES) + added, device)


class Codes:
    """Rows of activations in the 16 bits that the kernels multiply by.

    Attributes:
        codes: uint8 [rows, K / 4, 8]; scales: float32 [rows, K / 32].
    """

    def __init__(self, rows: int, columns: int, device: torch.device) -> None:
        self.codes = torch.zeros(rows, 2 * columns, dtype=torch.uint8, device=device)
        self.scales = torch.zeros(rows, columns // pack.TILE_COLUMNS, device=device)


class CUDAKernel(Kernel):
    """int4 or int8 weights times activations of 16 bits."""

    def __init__(self, tensor: QuantTensor, device: torch.device) -> None:
        self.name = f"CUDA int{tensor.spec.bits} x int16"
        self.tensor = tensor.to(device)
        self.matrix = Matrix.of(self.tensor)
        compiled, bits = module(device), tensor.spec.bits
        self._quantize = compiled.kernel("quantize")
        self._products = {tokens: compiled.kernel(f"product_int{bits}_{tokens}") for tokens in _TOKENS}
        self._expand = compiled.kernel(f"expand_int{bits}")

    def matmul(self, x: Tensor) -> Tensor:
        """x float32 [M, K] times the matrix transposed: float32 [M, N]."""
        if x.shape[0] > _FEW:
            return self._many(x.to(torch.bfloat16))
        largest = _TOKENS[-1]
        pieces = [self._few(piece.contiguous()) for piece in torch.split(x, largest)]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _few(self, x: Tensor) -> Tensor:
        count, columns = x.shape
        tokens = next(size for size in _TOKENS if size >= count)
        quantized = Codes(tokens, columns, x.device)
        groups = x.numel() // pack.TILE_COLUMNS
        self._quantize(-(-groups // 8), 256, x, ctypes.c_longlong(groups), quantized.codes, quantized.scales)
        y = torch.empty(tokens, self.tensor.shape[0], device=x.device)
        tiles = pack.padded(self.tensor.shape[0]) // pack.TILE_ROWS
        self._products[tokens](tiles, threads(columns), self.matrix, quantized.codes, quantized.scales, y)
        return y[:count]

    def _many(self, x: Tensor) -> Tensor:
        tiles, columns = pack.padded(self.tensor.shape[0]) // pack.TILE_ROWS, self.tensor.shape[1]
        step = max(1, _PIECE_WEIGHTS // (pack.TILE_ROWS * columns))
        pieces = [F.linear(x, self._weights(start, min(step, tiles - start))) for start in range(0, tiles, step)]
        y = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)
        return y.narrow(1, 0, self.tensor.shape[0]).float()

    def _weights(self, first: int, count: int) -> Tensor:
        """Some tiles of the matrix, bfloat16 [16 * count, K]."""
        columns = self.tensor.shape[1]
        out = torch.empty(count * pack.TILE_ROWS, columns, dtype=torch.bfloat16, device=self.tensor.device)
        quads = columns // pack.TILE_COLUMNS * 4 * self.tensor.spec.bits
        self._expand((count, -(-quads // _THREADS)), _THREADS, self.matrix, ctypes.c_int(first), out)
        return out


class Products(OpCandidate):
    """Every format of ours, on CUDA."""

    name = "CUDA"
    family = "cuda"
    kernel = CUDAKernel
    device_type = "cuda"
    formats = (INT4, INT8_GROUP, INT8_ROW)

    def lack(self, device: torch.device) -> str | None:
        capability = torch.cuda.get_device_capability(device)
        if capability < NEEDED_CAPABILITY:
            needed, there = (".".join(map(str, each)) for each in (NEEDED_CAPABILITY, capability))
            return f"needs compute capability {needed}, and this device has {there}"
        try:
            module(device)
        except Unavailable as error:
            return str(error)
        return None
