"""How the decoder's weights lie in a model folder: names in `model.safetensors`, entries in `quantization.json`.

A dense tensor is stored under its own name. A quantized one is stored as its parts, `layers.0.query.packed`,
`.scales`, `.minimums`, and has an entry under "tensors" in quantization.json with its shape and `QuantSpec`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from localchat.errors import BadWeights, UnsupportedModel
from localchat.model.decoder import Weight
from localchat.weights.model_folder import ModelFolder
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

FORMAT = 1
"""Of model folders: raised when a folder of the new kind would run wrong where the old kind is expected."""

_PARTS = ("packed", "scales", "minimums")
_AGAIN = "Remove the model and import it again."


def to_stored(weights: Mapping[str, Weight]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What to hand to `write_model_folder`: the tensors, and the part of quantization.json that describes them."""
    tensors: dict[str, Tensor] = {}
    entries: dict[str, Any] = {}
    for name, weight in weights.items():
        if isinstance(weight, QuantTensor):
            tensors |= {f"{name}.{part}": tensor for part, tensor in weight.parts().items()}
            entries[name] = {"shape": list(weight.shape), "spec": weight.spec.to_metadata()}
        else:
            tensors[name] = weight
    return tensors, {"format": FORMAT, "tensors": entries}


def from_stored(folder: ModelFolder, on_tensor: Callable[[int, int], None] | None = None) -> dict[str, Weight]:
    """The weights of a model folder, still in the mapped file.

    Args:
        on_tensor: called after each tensor with how many were opened and their total; may raise to abandon.

    Raises:
        BadWeights: the two files do not fit each other.
        UnsupportedModel: a newer version of this program wrote them.
    """
    if folder.quantization.get("format") != FORMAT:
        raise UnsupportedModel(
            f"The model folder has the format {folder.quantization.get('format')!r}, and this version reads {FORMAT}.",
            "Update localchat, or import the model again.",
        )
    entries = folder.quantization.get("tensors")
    if not isinstance(entries, dict):
        raise BadWeights(f"{folder.path / 'quantization.json'} lists no tensors.", _AGAIN)
    parts = {f"{name}.{part}" for name in entries for part in _PARTS}
    dense = [name for name in folder.weights.names if name not in parts]
    weights: dict[str, Weight] = {}
    for count, name in enumerate((*entries, *dense), start=1):
        weights[name] = _quantized(folder, name, entries[name]) if name in entries else _dense(folder, name)
        if on_tensor is not None:
            on_tensor(count, len(entries) + len(dense))
    return weights


def _quantized(folder: ModelFolder, name: str, entry: Any) -> QuantTensor:
    try:
        rows, columns = (int(size) for size in entry["shape"])
        stored = [part for part in _PARTS if f"{name}.{part}" in folder.weights]
        parts = {part: folder.weights.tensor(f"{name}.{part}") for part in stored}
        return QuantTensor.from_parts(QuantSpec.from_metadata(entry["spec"]), (rows, columns), parts)
    except (KeyError, TypeError, ValueError) as error:
        raise BadWeights(f"The tensor {name} in {folder.path} is not what quantization.json says.", _AGAIN) from error


def _dense(folder: ModelFolder, name: str) -> Tensor:
    tensor = folder.weights.tensor(name)
    if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise BadWeights(f"The tensor {name} in {folder.path} is {tensor.dtype}, not a floating-point type.", _AGAIN)
    return tensor
