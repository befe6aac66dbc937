"""The C++ kernels of `quant/kernels/cpu`, through their C interface (`api.h`).

They compute on float32 activations that they quantize to int8 by groups of 32, read the tile layout of `quant.pack` as
it is, and share one pool of threads. One thread may call them at a time.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Final

import torch
from torch import Tensor

from quant.kernels.cpu import library_path
from quant.kernels.interface import Candidate, Kernel
from quant.tensor import QuantTensor

INSTRUCTION_SETS: Final = ("avx512", "avxvnni", "avx2", "neon", "portable")
"""All there are, on any processor; LOCALCHAT_KERNEL may name one."""

ACTIVATIONS: Final = ("silu", "gelu_tanh")
"""Of the gate, in the order of `QuantActivation`."""

PARTS: Final = (
    "embedding",
    "norm",
    "query, key, value",
    "rope",
    "attention",
    "attention output",
    "gate, up",
    "down",
    "output",
)
"""Of a forward pass, in the order of `QuantPart`."""

SPAN: Final = 128
"""`QUANT_SPAN`."""

TAIL: Final = SPAN + 16
"""`QUANT_TAIL`."""

_OK, _NOT_FINITE, _NO_MEMORY, _BAD_ID = range(4)

_Pointer = ctypes.c_void_p
_Int = ctypes.c_int64


class Matrix(ctypes.Structure):
    """`QuantMatrix`. Points into the tensors of a `QuantTensor`, which must outlive it."""

    _fields_ = [
        ("rows", _Int),
        ("columns", _Int),
        ("bits", ctypes.c_int32),
        ("group", ctypes.c_int32),
        ("packed", _Pointer),
        ("scales", _Pointer),
        ("minimums", _Pointer),
    ]

    @classmethod
    def of(cls, tensor: QuantTensor) -> Matrix:
        minimums = None if tensor.minimums is None else tensor.minimums.data_ptr()
        spec, (rows, columns) = tensor.spec, tensor.shape
        return cls(
            rows, columns, spec.bits, spec.group_size, tensor.packed.data_ptr(), tensor.scales.data_ptr(), minimums
        )


class Expert(ctypes.Structure):
    """`QuantExpert`."""

    _fields_ = [("gate", Matrix), ("up", Matrix), ("down", Matrix)]


class Layer(ctypes.Structure):
    """`QuantLayer`."""

    _fields_ = [
        ("attention_norm", _Pointer),
        ("query", Matrix),
        ("key", Matrix),
        ("value", Matrix),
        ("query_bias", _Pointer),
        ("key_bias", _Pointer),
        ("value_bias", _Pointer),
        ("query_norm", _Pointer),
        ("key_norm", _Pointer),
        ("attention_output", Matrix),
        ("post_attention_norm", _Pointer),
        ("mlp_norm", _Pointer),
        ("gate", Matrix),
        ("up", Matrix),
        ("down", Matrix),
        ("router", Matrix),
        ("experts", _Pointer),
        ("post_mlp_norm", _Pointer),
        ("window", _Int),
        ("rotation", ctypes.c_int32),
    ]


class Shape(ctypes.Structure):
    """`QuantShape`."""

    _fields_ = [
        ("hidden_size", _Int),
        ("intermediate_size", _Int),
        ("num_layers", _Int),
        ("num_heads", _Int),
        ("num_key_value_heads", _Int),
        ("head_dim", _Int),
        ("num_experts", _Int),
        ("experts_per_token", _Int),
        ("expert_intermediate_size", _Int),
        ("normalize_expert_weights", ctypes.c_int32),
        ("rotary_dim", _Int),
        ("rms_norm_eps", ctypes.c_float),
        ("norm_heads", ctypes.c_int32),
        ("activation", ctypes.c_int32),
        ("attention_scale", ctypes.c_float),
        ("attention_softcap", ctypes.c_float),
        ("embedding_scale", ctypes.c_float),
        ("residual_scale", ctypes.c_float),
        ("logit_scale", ctypes.c_float),
        ("logit_softcap", ctypes.c_float),
    ]


class CacheLayer(ctypes.Structure):
    """`QuantCacheLayer`."""

    _fields_ = [
        ("keys", _Pointer),
        ("values", _Pointer),
        ("capacity", _Int),
        ("first", _Int),
        ("bits", ctypes.c_int32),
        ("key_codes", _Pointer),
        ("value_codes", _Pointer),
        ("key_scales", _Pointer),
        ("value_scales", _Pointer),
    ]


class Rotation(ctypes.Structure):
    """`QuantRotation`."""

    _fields_ = [("cosines", _Pointer), ("sines", _Pointer)]


class Step(ctypes.Structure):
    """`QuantStep`."""

    _fields_ = [
        ("ids", _Pointer),
        ("hidden", _Pointer),
        ("count", _Int),
        ("position", _Int),
        ("rotations", Rotation * 2),
        ("cache", _Pointer),
        ("first_layer", _Int),
        ("last_layer", _Int),
        ("logits", _Pointer),
        ("all_logits", ctypes.c_int32),
    ]


class NotFinite(ValueError):
    """An activation is NaN or infinite."""


def check(status: int) -> None:
    """Raise what a status of the library means.

    Raises:
        NotFinite, MemoryError, IndexError: as the name says; IndexError is a row that the matrix does not have.
    """
    if status == _OK:
        return
    if status == _NOT_FINITE:
        raise NotFinite("an activation is not a finite number")
    if status == _BAD_ID:
        raise IndexError("a row id is not in the matrix")
    raise MemoryError("the CPU kernels ran out of memory")


def check_memory(pointer: int | None) -> None:
    """Raise MemoryError for a null pointer."""
    if not pointer:
        raise MemoryError("the CPU kernels ran out of memory")


@cache
def library() -> ctypes.CDLL | str:
    """The loaded library, or why there is none."""
    path = library_path()
    if not path.exists():
        return "not built: no C++ compiler was found when localchat was installed"
    try:
        lib = ctypes.CDLL(str(path))
    except OSError as error:
        return f"cannot be loaded ({error})"
    lib.quant_instruction_sets.restype = ctypes.c_char_p
    lib.quant_plan_new.restype = _Pointer
    lib.quant_probe_bandwidth.restype = lib.quant_probe_operations.restype = ctypes.c_double
    lib.quant_use.argtypes = [ctypes.c_char_p]
    lib.quant_set_threads.argtypes = [ctypes.c_int32]
    lib.quant_matmul.argtypes = [_Pointer, _Pointer, _Int, _Pointer]
    lib.quant_rows.argtypes = [_Pointer, _Pointer, _Int, _Pointer]
    lib.quant_attend.argtypes = [_Pointer, _Pointer, _Int, _Int, _Int, *([_Pointer] * 4)]
    lib.quant_plan_new.argtypes = [_Pointer] * 5
    lib.quant_plan_free.argtypes = [_Pointer]
    lib.quant_plan_free.restype = None
    lib.quant_plan_run.argtypes = [_Pointer, _Pointer]
    lib.quant_plan_times.argtypes = [_Pointer, _Pointer]
    lib.quant_plan_times.restype = None
    lib.quant_probe_bandwidth.argtypes = [_Pointer, _Int]
    return lib


def instruction_sets() -> tuple[str, ...]:
    """Those that this processor can run, best first; none without a library."""
    lib = library()
    return () if isinstance(lib, str) else tuple(lib.quant_instruction_sets().decode().split())


def refusal() -> str | None:
    """Why the library cannot be used now, None when it can; LOCALCHAT_KERNEL may force an instruction set."""
    lib = library()
    if isinstance(lib, str):
        return lib
    forced = os.environ.get("LOCALCHAT_KERNEL")
    if forced in INSTRUCTION_SETS and forced not in instruction_sets():
        return f"this processor cannot run {forced}"
    return None


def ready_library() -> ctypes.CDLL:
    """The library with the instruction set that is asked for, or the best. Only after `refusal` returned None."""
    lib = library()
    assert not isinstance(lib, str)
    lib.quant_use(name_in_use().encode())
    return lib


def set_threads(count: int) -> None:
    """Share the work among `count` threads, the caller's included, from the next call on; one until this is called."""
    lib = library()
    if not isinstance(lib, str):
        lib.quant_set_threads(count)


def name_in_use() -> str:
    """The instruction set that `ready_library` chooses."""
    forced = os.environ.get("LOCALCHAT_KERNEL")
    return forced if forced in INSTRUCTION_SETS else instruction_sets()[0]


class NativeKernel(Kernel):
    """int4 and int8 weights times activations quantized to int8."""

    def __init__(self, tensor: QuantTensor) -> None:
        self._library = ready_library()
        self.name = f"{name_in_use()} int{tensor.spec.bits} x int8"
        self.tensor = tensor
        self.matrix = Matrix.of(tensor)

    def matmul(self, x: Tensor) -> Tensor:
        """x float32 [M, K] times the matrix transposed: float32 [M, N].

        Raises:
            NotFinite: a value of x is NaN or infinite.
        """
        x = x.contiguous()
        y = torch.empty(x.shape[0], self.tensor.shape[0])
        check(self._library.quant_matmul(ctypes.addressof(self.matrix), x.data_ptr(), x.shape[0], y.data_ptr()))
        return y

    def rows(self, ids: Tensor) -> Tensor:
        """Rows `ids` (int64 [T]) of the matrix as float32 [T, K].

        Raises:
            IndexError: an id is negative or not below N.
        """
        ids = ids.contiguous()
        y = torch.empty(ids.shape[0], self.tensor.shape[1])
        check(self._library.quant_rows(ctypes.addressof(self.matrix), ids.data_ptr(), ids.shape[0], y.data_ptr()))
        return y


class Native(Candidate):
    """Every format of ours, on the CPU."""

    name = "native"
    family = "native"

    def refusal(self, tensor: QuantTensor, device: torch.device) -> str | None:  # noqa: ARG002
        return "runs on the CPU only" if device.type != "cpu" else refusal()

    def prepare(self, tensor: QuantTensor, device: torch.device) -> Kernel:
        return NativeKernel(tensor.to(device))
