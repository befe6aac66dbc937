"""A GGUF file, mapped: metadata and tensor directory at once, numbers only when asked for.

A model may lie in several files, `NAME-00001-of-00003.gguf` and so on; any of them stands for all.
"""

from __future__ import annotations

import mmap
import re
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
from localchat.translation import _
from localchat.weights import gguf_types
from localchat.weights.gguf_header import HeaderReader, shown
from localchat.weights.gguf_types import GGUFType

_VERSIONS = (2, 3)
_MAX_DIMENSIONS = 4
_LEAST_ENTRY = 8 + 4 + 1  # bytes of the shortest metadata entry: key length, type, a one-byte value
_LEAST_TENSOR = 8 + 4 + 8 + 4 + 8  # bytes of the shortest directory entry, of one dimension
_PART_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


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
    """The contents of one GGUF file, version 2 or 3, little-endian, or of all the parts of one.

    Attributes:
        path: the file, or its first part.
        metadata: as stored in it; arrays of strings are lists, arrays of numbers numpy arrays.
        tensors: the directory, in the order of the files.
        file_bytes: of all parts.

    Raises:
        BadWeights: it is not a GGUF file, is truncated, lacks a part, or claims what it does not have.
        UnsupportedModel: it has a version or a tensor type that cannot be read here.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = _first_part(Path(path))
        first = _Part(self.path)
        self.metadata: Mapping[str, Any] = MappingProxyType(first.metadata)
        parts = [first, *_further_parts(self.path, first)]
        self._entries: dict[str, _Entry] = {}
        for part in parts:
            if twice := self._entries.keys() & part.entries.keys():
                part.reader.fail(_("the tensor {name} is in another part too").format(name=shown(min(twice))))
            self._entries |= part.entries
        if len(parts) > 1 and first.metadata.get("split.tensors.count", len(self._entries)) != len(self._entries):
            first.reader.fail(
                _("its parts hold {count} tensors, and it announces another number").format(count=len(self._entries))
            )
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType({n: e.info for n, e in self._entries.items()})
        self.file_bytes = sum(part.reader.size for part in parts)

    def quant_type(self, name: str) -> str:
        """GGUF's name of the tensor's block format."""
        return self._entry(name).info.type

    def raw(self, name: str, index: int | None = None) -> NDArray[np.uint8]:
        """The tensor's bytes as they lie in the file, uint8 [nbytes], or those of one `index` along its first
        dimension; a view, nothing is read until it is used."""
        entry = self._entry(name)
        if index is None:
            return np.frombuffer(entry.data, np.uint8, entry.info.nbytes, entry.start)
        nbytes = entry.info.nbytes // entry.info.shape[0]
        return np.frombuffer(entry.data, np.uint8, nbytes, entry.start + index * nbytes)

    def float32(self, name: str, index: int | None = None) -> Tensor:
        """The tensor dequantized, a new float32 tensor of its shape, or one `index` along its first dimension."""
        entry = self._entry(name)
        shape = entry.info.shape if index is None else entry.info.shape[1:]
        return entry.format.dequantize(torch.from_numpy(self.raw(name, index))).view(shape)

    def _entry(self, name: str) -> _Entry:
        try:
            return self._entries[name]
        except KeyError:
            raise BadWeights(
                _("{path} has no tensor {name}.").format(path=self.path, name=name), _("Fetch the file again.")
            ) from None


@dataclass(frozen=True)
class _Entry:
    info: TensorInfo
    format: GGUFType
    data: mmap.mmap
    start: int  # byte in the file


class _Part:
    """One file: its metadata and the tensors that lie in it."""

    def __init__(self, path: Path) -> None:
        data = _map(path)
        self.reader = HeaderReader(path, data)
        tensor_count, entry_count = _read_preamble(self.reader)
        self.metadata = _read_metadata(self.reader, entry_count)
        alignment = self.metadata.get("general.alignment", 32)
        if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1):
            self.reader.fail(_("general.alignment is not a power of two"))
        self.entries = _read_directory(self.reader, data, tensor_count, alignment)


def _first_part(path: Path) -> Path:
    found = _PART_NAME.fullmatch(path.name)
    return path if found is None else path.with_name(f"{found['stem']}-00001-of-{found['count']}.gguf")


def _further_parts(path: Path, first: _Part) -> list[_Part]:
    """The parts after the first, which says how many there are."""
    count = first.metadata.get("split.count", 1)
    if type(count) is not int:
        first.reader.fail(_("split.count is not a number"))
    if count <= 1:
        return []
    found = _PART_NAME.fullmatch(path.name)
    if found is None or int(found["count"]) != count or first.metadata.get("split.no") != 0:
        first.reader.fail(
            _("it is one of {count} parts, and its name does not say so: NAME-00001-of-{number}.gguf").format(
                count=count, number=f"{count:05d}"
            )
        )
    parts = []
    for number in range(1, count):
        other = path.with_name(f"{found['stem']}-{number + 1:05d}-of-{found['count']}.gguf")
        if not other.is_file():
            raise BadWeights(
                _("{other} is missing.").format(other=other),
                _("Put all {count} parts of the model into one folder.").format(count=count),
            )
        part = _Part(other)
        if part.metadata.get("split.no") != number or part.metadata.get("split.count") != count:
            part.reader.fail(
                _("it does not say that it is part {number} of {count}").format(number=number + 1, count=count)
            )
        parts.append(part)
    return parts


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            # A private mapping is writable, which torch wants of what it wraps; nothing ever reaches the file.
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except ValueError as error:
        raise BadWeights(_("{path} is empty.").format(path=path), _("Fetch the file again.")) from error
    except OSError as error:
        raise BadWeights(
            _("{path} cannot be read ({reason}).").format(path=path, reason=error.strerror or error)
        ) from error


def _read_preamble(reader: HeaderReader) -> tuple[int, int]:
    """Magic, version and the two counts: tensors, metadata entries."""
    if reader.uint32(_("its first bytes")) != int.from_bytes(b"GGUF", "little"):
        reader.fail(_("it does not begin with GGUF"))
    version = reader.uint32(_("its version"))
    if version not in _VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS
        kind = _("a big-endian file") if swapped else _("version {version}").format(version=version)
        raise UnsupportedModel(
            _("{path} is GGUF of a kind that cannot be read: {kind}.").format(path=reader.path, kind=kind)
        )
    return reader.count(_LEAST_TENSOR, _("tensors")), reader.count(_LEAST_ENTRY, _("metadata entries"))


def _read_metadata(reader: HeaderReader, count: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for _entry in range(count):
        key = reader.string(_("a metadata key"))
        if key in metadata:
            reader.fail(_("the metadata key {key} is there twice").format(key=shown(key)))
        metadata[key] = reader.value(reader.uint32(_("the type of {key}").format(key=shown(key))), shown(key))
    return metadata


def _read_directory(reader: HeaderReader, data: mmap.mmap, count: int, alignment: int) -> dict[str, _Entry]:
    """All tensor entries, each held against the end of the file."""
    claimed: dict[str, tuple[TensorInfo, GGUFType, int]] = {}
    for _entry in range(count):
        name = reader.string(_("a tensor name"))
        if name in claimed:
            reader.fail(_("the tensor {name} is there twice").format(name=shown(name)))
        claimed[name] = _read_tensor(reader, name, alignment)
    start = -(-reader.position // alignment) * alignment
    for info, _type, offset in claimed.values():
        if start + offset + info.nbytes > reader.size:
            reader.fail(
                _("it ends at byte {size}, before the end of the tensor {name}").format(
                    size=reader.size, name=shown(info.name)
                )
            )
    return {name: _Entry(info, kind, data, start + offset) for name, (info, kind, offset) in claimed.items()}


def _read_tensor(reader: HeaderReader, name: str, alignment: int) -> tuple[TensorInfo, GGUFType, int]:
    """One directory entry after its name: what it is, and its offset from where the data starts."""
    label = _("the tensor {name}").format(name=shown(name))
    dimensions = reader.uint32(label)
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        reader.fail(_("{label} claims {dimensions} dimensions").format(label=label, dimensions=dimensions))
    shape = tuple(
        reversed([reader.uint64(label) for _dimension in range(dimensions)])
    )  # the file has the innermost first
    number, offset = reader.uint32(label), reader.uint64(label)
    kind = gguf_types.readable(number)
    if kind is None:
        if (type_name := gguf_types.name_of(number)) is None:
            reader.fail(_("{label} has the unknown type {number}").format(label=label, number=number))
        raise UnsupportedModel(
            _("{path} holds {label} as {type_name}, which cannot be read.").format(
                path=reader.path, label=label, type_name=type_name
            ),
            _("Take a file of one of the types {types}.").format(types=", ".join(gguf_types.readable_names())),
        )
    if 0 in shape or prod(shape) > reader.size * kind.weights or shape[-1] % kind.weights:
        reader.fail(
            _("{label} claims the shape {shape}, which {name} cannot have").format(
                label=label, shape=list(shape), name=kind.name
            )
        )
    if offset % alignment:
        reader.fail(
            _("{label} does not lie on a multiple of {alignment} bytes").format(label=label, alignment=alignment)
        )
    return TensorInfo(name, shape, kind.name, kind.nbytes(prod(shape))), kind, offset
