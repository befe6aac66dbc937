"""Writes safetensors tensor by tensor, with the large ones on 64-byte boundaries.

The library's own writer first copies all tensors into memory and aligns to 8 bytes; kernels read mapped weights in
64-byte registers. The library is the judge of the result: every file written is opened by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

_ALIGNMENT = 64
_DTYPES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int32: "I32",
    torch.int64: "I64",
}


class Sink(Protocol):
    """Where bytes go, such as a file."""

    def write(self, data: bytes | memoryview, /) -> object: ...


def write_safetensors(file: Sink, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write the header and then every tensor, in the order given but with the odd sizes last.

    Sizes that are multiples of 64 bytes, as those of codes are, keep each other aligned to 64; the others follow by
    decreasing size of their elements, so that each lies on a multiple of it.

    Raises:
        ValueError: a dtype that our files do not use.
        OSError: from the file.
    """
    order = sorted(tensors, key=lambda name: _rank(tensors[name]))  # stable
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    start = 0
    for name in order:
        tensor = tensors[name]
        if tensor.dtype not in _DTYPES:
            raise ValueError(f"{name} has the dtype {tensor.dtype}, which is not written")
        end = start + tensor.nbytes
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in order:
        contiguous = tensors[name].detach().cpu().contiguous()
        file.write(contiguous.reshape(-1).view(torch.uint8).numpy().data)


def _rank(tensor: Tensor) -> int:
    return 0 if tensor.nbytes % _ALIGNMENT == 0 else 9 - tensor.element_size()
