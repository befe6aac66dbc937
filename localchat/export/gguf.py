"""A model as a GGUF file that llama.cpp runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType as GGUFType
from gguf import GGUFValueType, LlamaFileType
from torch import Tensor

from localchat.export import gguf_blocks as blocks
from localchat.export.gguf_metadata import architecture_metadata, rope_tensors
from localchat.export.gguf_vocabulary import vocabulary_metadata
from localchat.export.model import OpenedModel, Part, Target, check_read_back, part_weights, targets
from localchat.export.output import unfinished
from localchat.export.precision import converts_exactly, in_common
from localchat.model.decoder import Weight
from localchat.model.gguf_configuration import spec_from_gguf
from localchat.translation import _
from localchat.weights.gguf_file import TensorInfo
from quant.tensor import QuantTensor

_FILE_TYPES = {
    GGUFType.Q4_0: LlamaFileType.MOSTLY_Q4_0,
    GGUFType.Q4_1: LlamaFileType.MOSTLY_Q4_1,
    GGUFType.Q8_0: LlamaFileType.MOSTLY_Q8_0,
    GGUFType.F16: LlamaFileType.MOSTLY_F16,
    GGUFType.BF16: LlamaFileType.MOSTLY_BF16,
    GGUFType.F32: LlamaFileType.ALL_F32,
}


@dataclass(frozen=True, slots=True)
class _Contents:
    """The file before it is written, as `spec_from_gguf` reads one."""

    metadata: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]
    small: Mapping[str, Tensor]

    def float32(self, name: str) -> Tensor:
        return self.small[name]


def write_gguf(
    model: OpenedModel, path: Path, on_progress: Callable[[int, int], None], check: Callable[[], None]
) -> list[str]:
    """Write `path`; returns sentences for the user on what is in it.

    Args:
        on_progress: called with the bytes of weights written, and their total.
        check: called between tensors; raises to abandon.

    Raises:
        UnsupportedModel: llama.cpp would not compute what we do.
        StorageFailed: the file cannot be written.
    """
    spec, weights = model.spec, dict(model.weights)
    rope = rope_tensors(spec)
    weights |= rope
    plan = targets(spec, "gguf") + [Target(name, tuple(each.shape), (Part(name),)) for name, each in rope.items()]
    tensors = {target.name: _info(target, weights) for target in plan}
    vocabulary, notes = vocabulary_metadata(model.text, spec.vocab_size)
    metadata = {**_general(model, tensors), **architecture_metadata(spec), **vocabulary}
    check_read_back(spec, spec_from_gguf(_Contents(metadata, tensors, rope)), "GGUF")

    total, done = sum(info.nbytes for info in tensors.values()), 0
    with unfinished(path, total + _header_bytes(metadata)) as new:
        writer = gguf.GGUFWriter(new, metadata["general.architecture"])
        try:
            _begin(writer, metadata, tensors)
            for target in plan:
                check()
                writer.write_tensor_data(_bytes(target, weights))
                done += tensors[target.name].nbytes
                on_progress(done, total)
        finally:
            writer.close()
    return [_types_sentence(plan, tensors, weights), *notes]


def _parts(target: Target, weights: Mapping[str, Weight]) -> list[Weight]:
    """The parts of a tensor in the one type that it will have."""
    return in_common(part_weights(target, weights))


def _info(target: Target, weights: Mapping[str, Weight]) -> TensorInfo:
    kinds = {blocks.gguf_type(weight) for weight in _parts(target, weights)}
    kind = kinds.pop() if len(kinds) == 1 else GGUFType.F32
    return TensorInfo(target.name, target.shape, kind.name, blocks.nbytes(target.shape, kind))


def _bytes(target: Target, weights: Mapping[str, Weight]) -> npt.NDArray[np.uint8]:
    """The tensor as it lies in the file, uint8 [rows, bytes of a row]."""
    parts = [blocks.encoded(weight) for weight in _parts(target, weights)]
    if target.stacked:
        return np.concatenate(parts)
    if len(parts) == 1 and target.parts[0].rows is None:
        return parts[0]
    result = np.empty((target.shape[0], parts[0].shape[1]), np.uint8)
    for part, rows in zip(target.parts, parts, strict=True):
        result[part.rows] = rows
    return result


def _begin(writer: gguf.GGUFWriter, metadata: Mapping[str, Any], tensors: Mapping[str, TensorInfo]) -> None:
    """Write everything up to the first weight."""
    for key, value in metadata.items():
        if key != "general.architecture":  # which the writer has from its making
            writer.add_key_value(key, value, _value_type(value))
    for info in tensors.values():
        writer.add_tensor_info(info.name, info.shape, np.dtype(np.float32), info.nbytes, GGUFType[info.type])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()


def _value_type(value: Any) -> GGUFValueType:
    if isinstance(value, bool):
        return GGUFValueType.BOOL
    return GGUFValueType.UINT32 if isinstance(value, int) else GGUFValueType.get_type(value)


def _header_bytes(metadata: Mapping[str, Any]) -> int:
    """No less than what stands before the weights takes."""
    entries = [entry for value in metadata.values() if isinstance(value, list) for entry in value]
    return (1 << 20) + sum(8 + (len(entry.encode()) if isinstance(entry, str) else 0) for entry in entries)


def _general(model: OpenedModel, tensors: Mapping[str, TensorInfo]) -> dict[str, Any]:
    sizes: Counter[GGUFType] = Counter()
    for info in tensors.values():
        sizes[GGUFType[info.type]] += prod(info.shape)
    names = {"title": "general.name", "licence": "general.license"}
    found = {theirs: model.config[ours] for ours, theirs in names.items() if model.config.get(ours)}
    return {
        "general.type": "model",
        **{key: text for key, text in found.items() if isinstance(text, str)},
        "general.file_type": int(_FILE_TYPES[sizes.most_common(1)[0][0]]),
        "general.quantization_version": gguf.GGML_QUANT_VERSION,
    }


def _types_sentence(plan: Sequence[Target], tensors: Mapping[str, TensorInfo], weights: Mapping[str, Weight]) -> str:
    matrices = Counter(info.type for info in tensors.values() if len(info.shape) > 1)
    held = ", ".join(_("{count} as {kind}").format(count=count, kind=kind) for kind, count in matrices.most_common())
    changed = [target.name for target in plan if not _is_exact(target, weights)]
    if not changed:
        return _("Matrices: {held}. No weight is changed.").format(held=held)
    return _("Matrices: {held}. The weights of {count} are rounded a little, among them {name}.").format(
        held=held, count=len(changed), name=changed[0]
    )


def _is_exact(target: Target, weights: Mapping[str, Weight]) -> bool:
    for part, weight in zip(target.parts, _parts(target, weights), strict=True):
        ours = weights[part.ours]
        if not blocks.is_exact(weight):
            return False
        specs = [each.spec for each in (ours, weight) if isinstance(each, QuantTensor)]
        if len(specs) == 2 and not converts_exactly(*specs):
            return False
    return True
