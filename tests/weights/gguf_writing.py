"""Small GGUF files for tests: written by the `gguf` package, or byte by byte where they must be wrong."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

READABLE = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
_HALVES_AT = {  # where the float16 numbers of a block lie
    "Q4_0": [0],
    "Q4_1": [0, 2],
    "Q5_0": [0],
    "Q5_1": [0, 2],
    "Q8_0": [0],
    "Q4_K": [0, 2],
    "Q5_K": [0, 2],
    "Q6_K": [208],
}
EXTREME_HALVES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF]


def block_size(kind: str) -> tuple[int, int]:
    """Weights and bytes of a block."""
    weights, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    return weights, size


def random_rows(kind: str, rows: int, columns: int, seed: int, extreme: bool = False) -> NDArray[np.uint8]:
    """Bytes [rows, bytes of a row] of a matrix of this type: every bit random, every number in it finite."""
    random = np.random.default_rng(seed)
    if kind in ("F32", "F16", "BF16"):
        bits = 32 if kind == "F32" else 16
        exponent = {"F32": 0x7F800000, "F16": 0x7C00, "BF16": 0x7F80}[kind]
        values = random.integers(0, 1 << bits, (rows, columns), dtype=np.uint32)
        values[(values & exponent) == exponent] = 0
        return values.astype(np.uint32 if bits == 32 else np.uint16).view(np.uint8).reshape(rows, -1)
    weights, size = block_size(kind)
    blocks = random.integers(0, 256, (rows * columns // weights, size), dtype=np.uint8)
    for at in _HALVES_AT[kind]:
        halves = random.standard_normal(len(blocks)).astype(np.float16)
        if extreme:
            halves = random.choice(np.array(EXTREME_HALVES, np.uint16), len(blocks)).view(np.float16)
        blocks[:, at : at + 2] = halves.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, -1)


def write_gguf(path: Path, tensors: Mapping[str, tuple[str, NDArray[np.uint8]]], alignment: int | None = None) -> Path:
    """A GGUF file with some metadata of every kind and these tensors: name to type and bytes [rows, bytes of a row]."""
    writer = gguf.GGUFWriter(path, "llama")
    if alignment:
        writer.add_custom_alignment(alignment)
    writer.add_context_length(512)
    writer.add_rope_freq_base(10000.0)
    writer.add_add_bos_token(True)
    writer.add_token_list(["<s>", "一", "🙂", " the", ""])
    writer.add_token_scores([0.0, -1.5, 2.0, 3.25, 4.0])
    writer.add_token_types([3, 1, 1, 1, 1])
    writer.add_int64("test.negative", -5)
    writer.add_float64("test.double", 0.1)
    writer.add_array("test.flags", [True, False, True])
    for name, (kind, data) in tensors.items():
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def string(text: str | bytes) -> bytes:
    encoded = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(encoded)) + encoded


def entry(key: str | bytes, kind: int, value: bytes) -> bytes:
    """One metadata entry."""
    return string(key) + struct.pack("<I", kind) + value


def tensor(name: str, shape: list[int], kind: int, offset: int) -> bytes:
    """One directory entry; the shape is in the file's order, innermost first."""
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def header(
    entries: list[bytes], tensors: list[bytes], *, version: int = 3, counts: tuple[int, int] | None = None
) -> bytes:
    """A header with these entries; `counts` (tensors, entries) lies about how many there are."""
    claimed = counts or (len(tensors), len(entries))
    return b"GGUF" + struct.pack("<IQQ", version, *claimed) + b"".join(entries) + b"".join(tensors)
