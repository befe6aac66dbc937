"""How the decoder's weights lie in a model folder: names in `model.safetensors`, entries in `quantization.json`.

A dense tensor is stored under its own name. A quantized one is stored as its parts, `layers.0.query.packed`,
`.scales`, `.minimums`, and its `QuantSpec` stands under "tensors" in quantization.json. Shapes follow from the spec of
the model, which is in `config.json` beside what is for people and for the sampler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from localchat.errors import BadWeights, UnsupportedModel
from localchat.model.decoder import Weight
from localchat.model.families import tensor_shapes
from localchat.model.long_context import LONG_CONTEXT
from localchat.model.spec import ModelSpec
from localchat.translation import _, mark
from localchat.weights.model_folder import ModelFolder
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

FORMAT_VERSION = 1
"""Of model folders: raised when a folder of the new kind would run wrong where the old kind is expected."""

NOT_SPEC = frozenset({"name", "title", "licence", "sampling", "origin", LONG_CONTEXT})
"""Keys of config.json that say nothing of the usual computation; every other key is one of the `ModelSpec`."""

PARTS = ("packed", "scales", "minimums")
_AGAIN = mark("Remove the model and import it again.")


def to_stored(weights: Mapping[str, Weight]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What to hand to `write_model_folder`: the tensors, and the part of quantization.json that describes them."""
    tensors: dict[str, Tensor] = {}
    specs: dict[str, Any] = {}
    for name, weight in weights.items():
        if isinstance(weight, QuantTensor):
            tensors |= {f"{name}.{part}": tensor for part, tensor in weight.parts().items()}
            specs[name] = weight.spec.to_metadata()
        else:
            tensors[name] = weight
    return tensors, {"format_version": FORMAT_VERSION, "tensors": specs}


def stored_spec(folder: ModelFolder) -> ModelSpec:
    """The spec in a folder's config.json.

    Raises:
        UnsupportedModel: a newer version of this program wrote the folder, or the spec is not one.
    """
    if (found := folder.quantization.get("format_version")) != FORMAT_VERSION:
        raise UnsupportedModel(
            _("The model folder has the format {found!r}, and this version reads {format_version}.").format(
                found=found, format_version=FORMAT_VERSION
            ),
            _("Update localchat, or import the model again."),
        )
    return ModelSpec.from_dict({key: value for key, value in folder.config.items() if key not in NOT_SPEC})


def from_stored(
    folder: ModelFolder, spec: ModelSpec, on_tensor: Callable[[int, int], None] | None = None
) -> dict[str, Weight]:
    """The weights of a model folder, still in the mapped file.

    Args:
        on_tensor: called after each tensor with how many were opened and their total; may raise to abandon.

    Raises:
        BadWeights: the folder's files do not fit each other.
    """
    specs = folder.quantization.get("tensors")
    if not isinstance(specs, dict):
        raise BadWeights(_("{path} lists no tensors.").format(path=folder.path / "quantization.json"), _(_AGAIN))
    shapes = tensor_shapes(spec)
    weights: dict[str, Weight] = {}
    for count, (name, shape) in enumerate(shapes.items(), start=1):
        weights[name] = _quantized(folder, name, shape, specs[name]) if name in specs else _dense(folder, name)
        if on_tensor is not None:
            on_tensor(count, len(shapes))
    return weights


def _quantized(folder: ModelFolder, name: str, shape: tuple[int, ...], spec: Any) -> QuantTensor:
    try:
        rows, columns = shape
        stored = [part for part in PARTS if f"{name}.{part}" in folder.weights]
        parts = {part: folder.weights.tensor(f"{name}.{part}") for part in stored}
        return QuantTensor.from_parts(QuantSpec.from_metadata(spec), (rows, columns), parts)
    except ValueError as error:
        raise BadWeights(
            _("The tensor {name} in {path} is not what quantization.json says.").format(name=name, path=folder.path),
            _(_AGAIN),
        ) from error


def _dense(folder: ModelFolder, name: str) -> Tensor:
    tensor = folder.weights.tensor(name)
    if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise BadWeights(
            _("The tensor {name} in {path} is {dtype}, not a floating-point type.").format(
                name=name, path=folder.path, dtype=tensor.dtype
            ),
            _(_AGAIN),
        )
    return tensor
