"""A checkpoint folder whose matrices are quantized, seen as one of full precision: names, shapes, numbers."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from localchat.errors import BadWeights, UnsupportedModel
from localchat.weights.packed_format import PackedFormat
from localchat.weights.packed_matrix import PARTS, PackedMatrix, matrix_shape, read_matrix
from localchat.weights.safetensors_file import SafetensorsFile
from quant.tensor import QuantTensor


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
        self._modules = {} if form is None else _modules(self._file.names, form)
        packed = {f"{module}.{part}" for module, parts in self._modules.items() for part in parts}
        self.shapes: dict[str, tuple[int, ...]] = {
            name: tuple(self._file.tensor(name).shape) for name in self._file.names if name not in packed
        }
        for module in self._modules:
            assert form is not None
            self.shapes[f"{module}.weight"] = matrix_shape(module, form, self._parts(module))

    def float32(self, name: str) -> Tensor:
        """The tensor `name`; may share memory with the file.

        Raises:
            BadWeights: a quantized matrix is damaged. UnsupportedModel: it is of a type that has no such numbers.
        """
        if (matrix := self._matrix(name)) is not None:
            return matrix.float32()
        tensor = self._file.tensor(name)
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise UnsupportedModel(f"The tensor {name} is {tensor.dtype}, not a floating-point type.")
        return tensor.to(torch.float32)

    def quant_tensor(self, name: str) -> QuantTensor | None:
        """The quantized matrix `name` in our own format; None where that cannot hold it, or it is not quantized.

        Raises:
            BadWeights: it is damaged.
        """
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


def _modules(names: tuple[str, ...], form: PackedFormat) -> dict[str, tuple[str, ...]]:
    """Module to the parts that it has, for each module that is quantized: those with scales."""
    needed, possible = PARTS[form.method]
    scales = next(part for part in sorted(needed) if "scale" in part)
    there = set(names)
    modules: dict[str, tuple[str, ...]] = {}
    for name in names:
        module, _, part = name.rpartition(".")
        if part != scales:
            continue
        if missing := [part for part in sorted(needed) if f"{module}.{part}" not in there]:
            raise BadWeights(f"The quantized matrix {module} lacks {missing[0]}.", "Fetch the model again.")
        modules[module] = tuple(part for part in sorted(needed | possible) if f"{module}.{part}" in there)
    if not modules:
        raise BadWeights(f"The configuration says {form}, but no matrix is quantized.", "Fetch the model again.")
    return modules
