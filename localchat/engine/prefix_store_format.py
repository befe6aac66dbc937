"""One file of keys and values: blocks that follow each other in a text, each a row of bytes with a check sum.

Nothing in a file is believed: it is used where its check sums say that it is whole, and where its keys, which are
hashes of the text, are those asked for.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch
from torch import Tensor

from localchat.engine.cache_blocks import Block
from localchat.errors import BadWeights
from localchat.translation import _
from localchat.weights.safetensors_file import SafetensorsFile
from localchat.weights.safetensors_writer import write_safetensors

FORMAT: Final = 1
"""Of the files, and of what a block holds. A change makes every older file one that is never asked for."""

_ALIGNMENT = 64
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int32)
}
_Layout = list[tuple[str, list[int]] | None]
"""Dtype and shape of each part of a block."""


class Snapshot:
    """A file, mapped.

    Attributes:
        keys: of its blocks, in order.

    Raises:
        BadWeights: it is damaged, or not one of ours.
    """

    def __init__(self, path: Path) -> None:
        self._file = SafetensorsFile(path)
        contents = self._file.metadata.get("contents", "")
        if self._file.metadata.get("check") != _digest(contents):
            raise BadWeights(_("{file} is damaged.").format(file=path))
        values: dict[str, Any] = json.loads(contents)
        self.keys: tuple[str, ...] = tuple(values["keys"])
        self._sums: list[int] = values["sums"]
        self._layouts: list[_Layout] = [values["layouts"][place] for place in values["layout_of"]]

    def block(self, index: int) -> Block:
        """The block at `index`, in the mapped file.

        Raises:
            BadWeights: it is not what was written.
        """
        row = self._file.tensor(str(index))
        if _sum(row) != self._sums[index]:
            raise BadWeights(_("{file} is damaged.").format(file=self._file.path))
        parts: list[Tensor | None] = []
        start = 0
        for described in self._layouts[index]:
            if described is None:
                parts.append(None)
                continue
            dtype, shape = _DTYPES[described[0]], described[1]
            end = start + prod(shape) * dtype.itemsize
            parts.append(row[start:end].view(dtype).reshape(shape))
            start = _aligned(end)
        return tuple(parts)


def write_snapshot(file: BinaryIO, keys: Sequence[str], blocks: list[Block]) -> None:
    """Write these blocks; the list is emptied meanwhile, so that they are not in memory twice.

    Raises:
        OSError: from the file.
    """
    rows: dict[str, Tensor] = {}
    layouts: list[_Layout] = []
    layout_of: list[int] = []
    sums: list[int] = []
    for index in range(len(blocks)):
        block, blocks[index] = blocks[index], ()
        layout: _Layout = [None if part is None else (_name(part.dtype), list(part.shape)) for part in block]
        if layout not in layouts:
            layouts.append(layout)
        layout_of.append(layouts.index(layout))
        rows[str(index)] = _row(block)
        sums.append(_sum(rows[str(index)]))
    blocks.clear()
    contents = json.dumps(
        {"keys": list(keys), "sums": sums, "layouts": layouts, "layout_of": layout_of}, separators=(",", ":")
    )
    write_safetensors(file, rows, {"contents": contents, "check": _digest(contents)})


def _row(block: Block) -> Tensor:
    """All parts one after the other, each at a multiple of 64 bytes. By numpy, whose copies leave torch's threads to
    the reply that may be written meanwhile."""
    parts = [part.reshape(-1).view(torch.uint8) for part in block if part is not None]
    row = torch.zeros(sum(_aligned(part.nbytes) for part in parts), dtype=torch.uint8)
    start = 0
    for part in parts:
        row.numpy()[start : start + part.nbytes] = part.numpy()
        start += _aligned(part.nbytes)
    return row


def _sum(row: Tensor) -> int:
    bytes_of: memoryview = row.numpy().data
    return zlib.crc32(bytes_of)


def _aligned(count: int) -> int:
    return -(-count // _ALIGNMENT) * _ALIGNMENT


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _digest(contents: str) -> str:
    return hashlib.sha256(contents.encode()).hexdigest()
