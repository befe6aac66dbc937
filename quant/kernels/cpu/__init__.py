"""Kernels in C++, and where the library that is made from them lies."""

from __future__ import annotations

import sys
from pathlib import Path

_NAME = "libquant_cpu.dylib" if sys.platform == "darwin" else "libquant_cpu.so"


def library_path() -> Path:
    """The library, installed or built in place; no such file exists where there was no compiler."""
    return Path(__file__).parent / _NAME
