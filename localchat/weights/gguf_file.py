"""A GGUF file, mapped: metadata and tensor directory at once, numbers only when asked for."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from localchat.errors import BadWeights, UnsupportedModel
from localchat.weights import gguf_types
from localchat.weights.gguf_header import HeaderReader, shown
from localchat.weights.gguf_types import GGUFType

_VERSIONS = (2, 3)
_MAX_DIMENSIONS = 4
_LEAST_ENTRY = 8 + 4 + 1  # bytes of the shortest metadata entry: key length, type, a one-byte value
_LEAST_TENSOR = 8 + 4 + 8 + 4 + 8  # bytes of the shortest directory entry, of one dimension


@dataclass(frozen=True)
class TensorInfo:
    """One entry of the tensor directory.

    Attributes:
        shape: in torch's order, [out_features N, in_features K] for a matrix.
        type: GGUF's name of the block format, such as "Q4_1".
        nbytes: size in the file.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    nbytes: int


class GGUFFile:
    """The contents of one GGUF file, version 2 or 3, little-endian.

    Attributes:
        metadata: as stored; arrays of strings are lists, arrays of numbers numpy arrays.
        tensors: the directory, in the file's order.

    Raises:
        BadWeights: it is not a GGUF file, is truncated, or claims what it does not have.
        UnsupportedModel: it has a version or a tensor type that cannot be read here.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._data = _map(self.path)
        reader = HeaderReader(self.path, self._data)
        tensor_count, entry_count = _read_preamble(reader)
        self.metadata: Mapping[str, Any] = MappingProxyType(_read_metadata(reader, entry_count))
        alignment = self.metadata.get("general.alignment", 32)
        if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1):
            reader.fail("general.alignment is not a power of two")
        self._entries = _read_directory(reader, tensor_count, alignment)
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType({n: e.info for n, e in self._entries.items()})

    def quant_type(self, name: str) -> str:
        """GGUF's name of the tensor's block format."""
        return self._entry(name).info.type

    def raw(self, name: str) -> NDArray[np.uint8]:
        """The tensor's bytes as they lie in the file, uint8 [nbytes]; a view, nothing is read until it is used."""
        entry = self._entry(name)
        return np.frombuffer(self._data, np.uint8, entry.info.nbytes, entry.start)

    def float32(self, name: str) -> Tensor:
        """The tensor dequantized, a new float32 tensor of its shape."""
        entry = self._entry(name)
        return entry.format.dequantize(torch.from_numpy(self.raw(name))).view(entry.info.shape)

    def _entry(self, name: str) -> _Entry:
        try:
            return self._entries[name]
        except KeyError:
            raise BadWeights(f"{self.path} has no tensor {name}.", "Fetch the file again.") from None


@dataclass(frozen=True)
class _Entry:
    info: TensorInfo
    format: GGUFType
    start: int  # byte in the file


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            # A private mapping is writable, which torch wants of what it wraps; nothing ever reaches the file.
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except ValueError as error:
        raise BadWeights(f"{path} is empty.", "Fetch the file again.") from error
    except OSError as error:
        raise BadWeights(f"{path} cannot be read ({error.strerror or error}).") from error


def _read_preamble(reader: HeaderReader) -> tuple[int, int]:
    """Magic, version and the two counts: tensors, metadata entries."""
    if reader.uint32("its first bytes") != int.from_bytes(b"GGUF", "little"):
        reader.fail("it does not begin with GGUF")
    version = reader.uint32("its version")
    if version not in _VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS
        kind = "a big-endian file" if swapped else f"version {version}"
        raise UnsupportedModel(f"{reader.path} is GGUF of a kind that cannot be read: {kind}.")
    return reader.count(_LEAST_TENSOR, "tensors"), reader.count(_LEAST_ENTRY, "metadata entries")


def _read_metadata(reader: HeaderReader, count: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for _ in range(count):
        key = reader.string("a metadata key")
        if key in metadata:
            reader.fail(f"the metadata key {shown(key)} is there twice")
        metadata[key] = reader.value(reader.uint32(f"the type of {shown(key)}"), shown(key))
    return metadata


def _read_directory(reader: HeaderReader, count: int, alignment: int) -> dict[str, _Entry]:
    """All tensor entries, each held against the end of the file."""
    claimed: dict[str, tuple[TensorInfo, GGUFType, int]] = {}
    for _ in range(count):
        name = reader.string("a tensor name")
        if name in claimed:
            reader.fail(f"the tensor {shown(name)} is there twice")
        claimed[name] = _read_tensor(reader, name, alignment)
    start = -(-reader.position // alignment) * alignment
    for info, _, offset in claimed.values():
        if start + offset + info.nbytes > reader.size:
            reader.fail(f"it ends at byte {reader.size}, before the end of the tensor {shown(info.name)}")
    return {name: _Entry(info, kind, start + offset) for name, (info, kind, offset) in claimed.items()}


def _read_tensor(reader: HeaderReader, name: str, alignment: int) -> tuple[TensorInfo, GGUFType, int]:
    """One directory entry after its name: what it is, and its offset from where the data starts."""
    label = f"the tensor {shown(name)}"
    dimensions = reader.uint32(label)
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        reader.fail(f"{label} claims {dimensions} dimensions")
    shape = tuple(reversed([reader.uint64(label) for _ in range(dimensions)]))  # the file has the innermost first
    number, offset = reader.uint32(label), reader.uint64(label)
    kind = gguf_types.readable(number)
    if kind is None:
        if (type_name := gguf_types.name_of(number)) is None:
            reader.fail(f"{label} has the unknown type {number}")
        raise UnsupportedModel(
            f"{reader.path} holds {label} as {type_name}, which cannot be read.",
            f"Take a file of one of the types {', '.join(gguf_types.readable_names())}.",
        )
    if 0 in shape or prod(shape) > reader.size * kind.weights or shape[-1] % kind.weights:
        reader.fail(f"{label} claims the shape {list(shape)}, which {kind.name} cannot have")
    if offset % alignment:
        reader.fail(f"{label} does not lie on a multiple of {alignment} bytes")
    return TensorInfo(name, shape, kind.name, kind.nbytes(prod(shape))), kind, offset
