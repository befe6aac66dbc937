"""CUDA C++ compiled when it is needed, by the compiler library that every CUDA build of torch brings along (NVRTC).

So no CUDA toolkit is needed, a new device needs no new release, and what is not used is not compiled. Both libraries
are asked through their stable C interfaces; torch has made the context, and its stream is used.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from typing import Any

import torch


class Unavailable(RuntimeError):
    """The compiler or the driver is not there, or refuses; the message says why."""


class Module:
    """Kernels compiled from one source for one device.

    Args:
        source: CUDA C++ without includes; kernels are `extern "C"`.

    Raises:
        Unavailable: it cannot be compiled or loaded here.
    """

    def __init__(self, source: str, device: torch.device) -> None:
        self._driver = _library(["libcuda.so.1", "libcuda.so"] if sys.platform != "win32" else ["nvcuda.dll"])
        self._module = ctypes.c_void_p()
        code = _compile(source, torch.cuda.get_device_capability(device))
        with torch.cuda.device(device):
            torch.cuda.current_stream()  # there is a context from here on
            self._check(self._driver.cuModuleLoadData(ctypes.byref(self._module), code))

    def kernel(self, name: str) -> Launcher:
        function = ctypes.c_void_p()
        self._check(self._driver.cuModuleGetFunction(ctypes.byref(function), self._module, name.encode()))
        return Launcher(self, function)

    def launch(self, function: ctypes.c_void_p, grid: tuple[int, int], block: int, arguments: Sequence[Any]) -> None:
        pointers = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(argument) for argument in arguments))
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        self._check(self._driver.cuLaunchKernel(function, grid[0], grid[1], 1, block, 1, 1, 0, stream, pointers, None))

    def _check(self, status: int) -> None:
        if status:
            words = ctypes.c_char_p()
            self._driver.cuGetErrorString(status, ctypes.byref(words))
            raise Unavailable(f"CUDA: {(words.value or b'error').decode()} ({status})")


class Launcher:
    """One kernel of a module."""

    def __init__(self, module: Module, function: ctypes.c_void_p) -> None:
        self._module, self._function = module, function

    def __call__(self, grid: int | tuple[int, int], block: int, *arguments: Any) -> None:
        """Run it on torch's present stream.

        Args:
            grid: blocks, at most in two dimensions.
            block: threads of each.
            arguments: tensors, whose address is passed; None for a null pointer; or ctypes values.
        """
        grid = (grid, 1) if isinstance(grid, int) else grid
        self._module.launch(self._function, grid, block, [_value(argument) for argument in arguments])


def _value(argument: Any) -> Any:
    if isinstance(argument, torch.Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    return ctypes.c_void_p(None) if argument is None else argument


def _compile(source: str, capability: tuple[int, int]) -> bytes:
    """Machine code for devices of this capability."""
    version = (torch.version.cuda or "").split(".")[0]
    compiler = _library(
        [f"libnvrtc.so.{version}", "libnvrtc.so"] if sys.platform != "win32" else [f"nvrtc64_{version}0_0.dll"]
    )
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    options = [f"--gpu-architecture=sm_{capability[0]}{capability[1]}".encode(), b"--std=c++17"]
    _checked(compiler, compiler.nvrtcCreateProgram(ctypes.byref(program), source.encode(), None, 0, None, None))
    try:
        if compiler.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options)):
            compiler.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            compiler.nvrtcGetProgramLog(program, log)
            raise Unavailable(f"the kernels cannot be compiled ({log.value.decode(errors='replace').strip()})")
        _checked(compiler, compiler.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        code = ctypes.create_string_buffer(size.value)
        _checked(compiler, compiler.nvrtcGetCUBIN(program, code))
    finally:
        compiler.nvrtcDestroyProgram(ctypes.byref(program))
    return code.raw


def _checked(compiler: ctypes.CDLL, status: int) -> None:
    if status:
        compiler.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise Unavailable(f"the CUDA compiler says {compiler.nvrtcGetErrorString(status).decode()}")


def _library(names: Sequence[str]) -> ctypes.CDLL:
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise Unavailable(f"there is no {names[0]}")
