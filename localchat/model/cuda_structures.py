"""What our CUDA kernels take, as they know it: `fused.cu` and `cache.cu` of quant/kernels/cuda."""

from __future__ import annotations

import ctypes

from torch import Tensor

from quant import pack
from quant.kernels.cuda.products import CUDAKernel, Matrix
from quant.linear import QuantLinear

Rows = tuple[Tensor, Tensor, Tensor, Tensor]
"""Codes and scales of keys, and then of values, that complete spans of a cache are held in."""


class Stack(ctypes.Structure):
    """`Stack` of fused.cu."""

    _fields_ = [("matrices", Matrix * 3), ("biases", ctypes.c_void_p * 3), ("tiles", ctypes.c_int * 3)]


class Heads(ctypes.Structure):
    """`Heads` of fused.cu."""

    _fields_ = [
        ("queries", ctypes.c_int),
        ("keys", ctypes.c_int),
        ("head_dim", ctypes.c_int),
        ("rotary_dim", ctypes.c_int),
        ("query_norm", ctypes.c_void_p),
        ("key_norm", ctypes.c_void_p),
        ("eps", ctypes.c_float),
        ("capacity", ctypes.c_longlong),
    ]


class Coded(ctypes.Structure):
    """`Coded` of cache.cu."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("key_codes", "key_scales", "value_codes", "value_scales")),
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("spans", ctypes.c_longlong),
    ]

    @classmethod
    def of(cls, rows: Rows | None, keys: Tensor, values: Tensor) -> Coded | None:
        """Of one layer; None where its cache is in full. Keep the tensors as long as this."""
        return None if rows is None else cls(*(each.data_ptr() for each in (*rows, keys, values)), rows[0].shape[1])


def matrix_of(layer: QuantLinear) -> Matrix:
    assert isinstance(layer.kernel, CUDAKernel)
    return layer.kernel.matrix


def tiles_of(layer: QuantLinear) -> int:
    return pack.padded(layer.out_features) // pack.TILE_ROWS
