"""A checkpoint folder whose matrices are quantized, seen as one of full precision: names, shapes, numbers."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from localchat.errors import BadWeights, UnsupportedModel
from localchat.translation import _
from localchat.weights.mxfp4 import PackedExperts
from localchat.weights.packed_format import PackedFormat
from localchat.weights.packed_matrix import PARTS, PackedMatrix, matrix_shape, read_matrix
from localchat.weights.safetensors_file import SafetensorsFile
from quant.tensor import QuantTensor

_EXPERT_PARTS = ("_blocks", "_scales")  # of MXFP4


class CheckpointFile:
    """The tensors of a checkpoint folder, with each quantized matrix under the name that it would have unquantized.

    Attributes:
        shapes: of all tensors by name.

    Raises:
        BadWeights: a file is missing or damaged, or a matrix lacks a part.
    """

    def __init__(self, folder: Path, form: PackedFormat | None = None) -> None:
        self._file = SafetensorsFile(folder)
        self._form = form
        self._experts = _packed_experts(self._file) if form is not None and form.method == "mxfp4" else {}
        self._modules = {} if form is None or form.method == "mxfp4" else _modules(self._file.names, form)
        packed = {f"{module}.{part}" for module, parts in self._modules.items() for part in parts}
        packed |= {name + end for name in self._experts for end in _EXPERT_PARTS}
        self.shapes: dict[str, tuple[int, ...]] = {
            name: tuple(self._file.tensor(name).shape) for name in self._file.names if name not in packed
        }
        for module in self._modules:
            assert form is not None
            self.shapes[f"{module}.weight"] = matrix_shape(module, form, self._parts(module))
        self.shapes |= {name: experts.shape for name, experts in self._experts.items()}

    def float32(self, name: str, index: int | None = None) -> Tensor:
        """As `floats`, in float32."""
        return self.floats(name, index).to(torch.float32)

    def floats(self, name: str, index: int | None = None) -> Tensor:
        """The tensor `name`, or one `index` along its first dimension, float32, float16 or bfloat16; may share memory
        with the file.

        Raises:
            BadWeights: a quantized matrix is damaged. UnsupportedModel: it is of a type that has no such numbers.
        """
        if name in self._experts and index is not None:
            return self._experts[name].float32(index)
        if (matrix := self._matrix(name)) is not None:
            return matrix.float32()
        tensor = self._file.tensor(name)
        tensor = tensor if index is None else tensor[index]
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise UnsupportedModel(
                _("The tensor {name} is {dtype}, not a floating-point type.").format(name=name, dtype=tensor.dtype)
            )
        return tensor

    def quant_tensor(self, name: str, index: int | None = None) -> QuantTensor | None:
        """The quantized matrix `name` in our own format, [out, in], or one `index` of several; None where that cannot
        hold it, or it is not quantized.

        Raises:
            BadWeights: it is damaged.
        """
        if name in self._experts and index is not None:
            return self._experts[name].quant_tensor(index)
        matrix = self._matrix(name)
        return None if matrix is None else matrix.quant_tensor()

    @property
    def is_quantized(self) -> bool:
        return self._form is not None

    def _matrix(self, name: str) -> PackedMatrix | None:
        module = name.removesuffix(".weight")
        if self._form is None or module == name or module not in self._modules:
            return None
        return read_matrix(module, self._form, self._parts(module))

    def _parts(self, module: str) -> dict[str, Tensor]:
        return {part: self._file.tensor(f"{module}.{part}") for part in self._modules[module]}


def _packed_experts(file: SafetensorsFile) -> dict[str, PackedExperts]:
    """The matrices of experts that are packed, by the names that they would have unpacked."""
    stems = tuple(name.removesuffix(_EXPERT_PARTS[0]) for name in file.names if name.endswith(_EXPERT_PARTS[0]))
    if not stems:
        raise BadWeights(_("The configuration says MXFP4, but no matrix is quantized."), _("Fetch the model again."))
    found: dict[str, PackedExperts] = {}
    for name in stems:
        try:
            found[name] = PackedExperts(*(file.tensor(name + end) for end in _EXPERT_PARTS))
        except ValueError as error:
            raise BadWeights(
                _("The quantized matrix {name} is damaged: {error}.").format(name=name, error=error),
                _("Fetch the model again."),
            ) from error
    return found


def _modules(names: tuple[str, ...], form: PackedFormat) -> dict[str, tuple[str, ...]]:
    """Module to the parts that it has, for each module that is quantized: those with scales."""
    needed, possible = PARTS[form.method]
    scales = next(part for part in sorted(needed) if "scale" in part)
    there = set(names)
    modules: dict[str, tuple[str, ...]] = {}
    for name in names:
        module, _dot, part = name.rpartition(".")
        if part != scales:
            continue
        if missing := [part for part in sorted(needed) if f"{module}.{part}" not in there]:
            raise BadWeights(
                _("The quantized matrix {module} lacks {missing}.").format(module=module, missing=missing[0]),
                _("Fetch the model again."),
            )
        modules[module] = tuple(part for part in sorted(needed | possible) if f"{module}.{part}" in there)
    if not modules:
        raise BadWeights(
            _("The configuration says {form}, but no matrix is quantized.").format(form=form),
            _("Fetch the model again."),
        )
    return modules
