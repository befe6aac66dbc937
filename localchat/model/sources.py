"""Foreign weights under our names: a GGUF file or a Hugging Face checkpoint folder, tensor by tensor.

Whoever imports or runs a foreign model opens it here, walks over `source.plan`, and asks for each tensor as float32 or,
where the file's blocks can be moved into our format, as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from localchat.errors import BadWeights, ModelNotFound
from localchat.model.configuration import read_huggingface_config, read_recommended_sampling, spec_from_huggingface
from localchat.model.families import SourceKind, TensorSource, check_tensors, tensor_plan
from localchat.model.gguf_configuration import spec_from_gguf
from localchat.model.spec import ModelSpec
from localchat.translation import _
from localchat.weights.gguf_blocks import to_quant_tensor
from localchat.weights.gguf_file import GGUFFile
from localchat.weights.packed_checkpoint import CheckpointFile
from localchat.weights.packed_format import CONFIG_KEYS, PackedFormat, read_packed_format
from quant.tensor import QuantTensor


class WeightSource(ABC):
    """One opened source.

    Attributes:
        spec: the model that it holds.
        plan: for each of our tensors, in the decoder's order, where it lies; shapes are already checked.
        file_bytes: of all its files of weights.
    """

    spec: ModelSpec
    plan: dict[str, TensorSource]
    file_bytes: int

    @property
    def facts(self) -> dict[str, Any]:
        """What else the source says that config.json keeps: "title", "licence", "sampling", as far as it does."""
        return {}

    def is_quantized(self, name: str) -> bool:  # noqa: ARG002
        """Whether the source holds our tensor `name` in fewer bits than a float has."""
        return False

    @abstractmethod
    def float32(self, name: str) -> Tensor:
        """Our tensor `name` in our order of rows; may share memory with the file, so do not write to it."""

    def floats(self, name: str) -> Tensor:
        """Our matrix `name` as `float32`, but in the precision of the source, where that is less: of a large one no
        copy is made then."""
        return self.float32(name)

    def moved(self, name: str) -> QuantTensor | None:  # noqa: ARG002
        """Our tensor `name` made of the source's own blocks, nearer to it than rounding anew; None where none fit."""
        return None


class GGUFSource(WeightSource):
    """A GGUF file of a family that we know.

    Raises:
        BadWeights: the file is damaged, or tensors are missing or of the wrong shape.
        UnsupportedModel: the file says something that we do not understand.
    """

    def __init__(self, path: Path) -> None:
        self.file = GGUFFile(path)
        self.spec, self.file_bytes = spec_from_gguf(self.file), self.file.file_bytes
        shapes = {name: tuple(info.shape) for name, info in self.file.tensors.items()}
        self.plan = _checked_plan(self.spec, "gguf", shapes)

    @property
    def facts(self) -> dict[str, Any]:
        found = {"title": "general.name", "licence": "general.license"}
        metadata = self.file.metadata
        return {ours: metadata[theirs] for ours, theirs in found.items() if isinstance(metadata.get(theirs), str)}

    def is_quantized(self, name: str) -> bool:
        return self.file.quant_type(self.plan[name].name) not in ("F32", "F16", "BF16")

    def float32(self, name: str) -> Tensor:
        source = self.plan[name]
        return source.of(self.file.float32(source.name, source.index))

    def moved(self, name: str) -> QuantTensor | None:
        source = self.plan[name]
        tensor = to_quant_tensor(self.file, source.name, source.index)
        if tensor is None or source.row_order is None:
            return tensor
        return tensor.reordered(torch.from_numpy(source.row_order))


class CheckpointSource(WeightSource):
    """A Hugging Face checkpoint folder: config.json and safetensors, in full precision or quantized.

    Raises:
        BadWeights: a file is missing or damaged, or tensors are missing or of the wrong shape.
        UnsupportedModel: the configuration says something that we do not understand.
    """

    def __init__(self, folder: Path) -> None:
        self.spec, form = describe_checkpoint(folder)
        self.file = CheckpointFile(folder, form)
        self.plan = _checked_plan(self.spec, "huggingface", self.file.shapes)
        self.file_bytes = sum(part.stat().st_size for part in folder.glob("*.safetensors"))
        self._folder = folder

    @property
    def facts(self) -> dict[str, Any]:
        return {"sampling": read_recommended_sampling(self._folder)}

    def float32(self, name: str) -> Tensor:
        source = self.plan[name]
        return source.of(self.file.float32(source.name, source.index))

    def floats(self, name: str) -> Tensor:
        source = self.plan[name]
        return source.of(self.file.floats(source.name, source.index))

    def is_quantized(self, name: str) -> bool:  # noqa: ARG002
        # What was left in full precision in a quantized checkpoint was so for a reason: few bits are not for it.
        return self.file.is_quantized

    def moved(self, name: str) -> QuantTensor | None:
        source = self.plan[name]
        if source.transposed and source.index is None:
            return None  # stacks of experts are not: only what they would be unpacked is
        tensor = self.file.quant_tensor(source.name, source.index)
        if tensor is None or source.row_order is None:
            return tensor
        return tensor.reordered(torch.from_numpy(source.row_order))


def describe_checkpoint(folder: Path) -> tuple[ModelSpec, PackedFormat | None]:
    """What a checkpoint folder holds and how it is quantized; needs none of its weights.

    Raises:
        BadWeights: config.json is missing or damaged.
        UnsupportedModel: it says something that we do not understand.
    """
    config = read_huggingface_config(folder)
    form = read_packed_format(config, folder)
    return spec_from_huggingface({key: value for key, value in config.items() if key not in CONFIG_KEYS}), form


def open_source(path: Path) -> WeightSource:
    """A GGUF file, or a Hugging Face checkpoint folder.

    Raises:
        ModelNotFound: there is nothing at `path`.
        BadWeights, UnsupportedModel: see the classes.
    """
    if path.is_dir():
        return CheckpointSource(path)
    if not path.exists():
        raise ModelNotFound(_("There is no file {path}.").format(path=path))
    return GGUFSource(path)


def _checked_plan(spec: ModelSpec, kind: SourceKind, shapes: dict[str, tuple[int, ...]]) -> dict[str, TensorSource]:
    check_tensors(spec, kind, shapes)
    plan = tensor_plan(spec, kind, shapes)
    for source in plan.values():
        if shapes[source.name] != (wanted := source.stored_shape or source.shape):
            raise BadWeights(
                _("The tensor {name} has the shape {shape}, but the model's description says {wanted}.").format(
                    name=source.name, shape=shapes[source.name], wanted=wanted
                ),
                _("Get the file again; it may be damaged."),
            )
    return plan
