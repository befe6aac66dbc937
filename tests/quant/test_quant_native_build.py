"""What the C++ build must give: a library wherever there is a compiler, and no code in the wrong instruction set."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from quant.kernels.cpu import library_path

ROOT = Path(__file__).parents[2]


def _needs(*programs: str) -> None:
    if missing := [name for name in programs if not shutil.which(name)]:
        pytest.skip(f"needs {', '.join(missing)}")


def test_what_is_tested_is_this_checkout() -> None:
    """An editable installation comes before the current folder, so another checkout's .venv would test that one."""
    assert library_path().is_relative_to(ROOT)


def test_the_library_is_built_where_there_is_a_compiler() -> None:
    _needs(os.environ.get("CXX", "c++"))
    assert library_path().is_file()


def test_no_instruction_set_supplies_a_function_to_another() -> None:
    """A function that two object files define is taken from either, and could end an older processor's process."""
    _needs("nm")
    objects = sorted((library_path().parent / "cmake/CMakeFiles").rglob("isa_*.o"))
    if not objects:
        pytest.skip("needs the object files of an editable installation")
    for each in objects:
        symbols = subprocess.run(
            ["nm", "--defined-only", "--extern-only", "-C", each], check=True, capture_output=True, text=True
        ).stdout.splitlines()
        assert len(symbols) == 1 and symbols[0].endswith("Table"), f"{each.name}: {symbols}"


def test_the_kernels_work_on_64_bit_arm() -> None:
    """Under qemu; see quant/kernels/cpu/cmake/arm64.cmake for what to install."""
    _needs("make", "cmake", "aarch64-linux-gnu-g++", "qemu-aarch64")
    done = subprocess.run(["make", "arm64"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
