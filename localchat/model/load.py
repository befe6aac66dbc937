"""From a path to a decoder in memory: our own model folder, or a foreign model (a GGUF file or a checkpoint folder) at
its own precision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from localchat.errors import BadWeights, ModelNotFound
from localchat.messages import CacheChoice
from localchat.model import cuda_plan
from localchat.model.cache_room import CacheKind
from localchat.model.cuda_graph import GraphedDecoder
from localchat.model.decoder import Check, Decoder, Forward, Weight
from localchat.model.device import pick_device, within_memory
from localchat.model.families import parameter_count
from localchat.model.long_context import LONG_CONTEXT, stretched
from localchat.model.memory import Footprint, Room, fitting_room, free_memory
from localchat.model.plan import Plan, refusal
from localchat.model.sources import open_source
from localchat.model.spec import ModelSpec
from localchat.model.stored import from_stored, stored_spec
from localchat.translation import _, mark
from localchat.weights.model_folder import CONFIG_NAME, QUANTIZATION_NAME, open_model_folder
from quant.kernels import native
from quant.linear import QuantLinear
from quant.tensor import QuantTensor

QUANTIZED_CACHE_DTYPE = torch.float16
"""Of keys and values beside quantized weights; float32 weights keep theirs exact.

Everything else in float32, mean KL divergence over 512 tokens: float16 0.000001 (SmolLM2) and 0.00001 (Qwen2.5 0.5B),
bfloat16 0.00005 and 0.0006 to 0.001, as a few key channels of Qwen are huge. A token after 1536 others takes as long
with either and half again as long with float32; reading 1536 tokens takes a tenth longer than with bfloat16.
"""

Progress = Callable[[str, float], None]
"""Called with the stage, in words, and the fraction of it that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A decoder that is ready, and what there is to say about it.

    Attributes:
        name: under which it is installed, or of its file.
        sampling: what its authors recommend, some fields of `SamplingOptions`.
        precision: of the matrices in the layers: "int4", "int8" or "float32".
        parameters: a tied embedding counts once.
        file_bytes: of the weights on disk.
        bits_per_weight: that are read for a token: all weights, scales included.
        cache_dtype: in which its keys and values should be held, where they are in full.
        cache_kind: how there is memory for them.
        kernel: that multiplies most of its matrices.
        context_length: tokens for which there is memory; at most `spec.context_length`.
    """

    name: str
    spec: ModelSpec
    decoder: Forward
    sampling: Mapping[str, float]
    precision: str
    parameters: int
    file_bytes: int
    bits_per_weight: float
    cache_dtype: torch.dtype
    cache_kind: CacheKind
    kernel: str
    device: torch.device
    context_length: int


def load_model(
    path: Path,
    *,
    context_length: int | None = None,
    cache: CacheChoice = "auto",
    on_progress: Progress | None = None,
    check: Check | None = None,
) -> LoadedModel:
    """Load a model folder as it is, or a GGUF file or a Hugging Face checkpoint folder in float32.

    Args:
        context_length: tokens of context that there must be memory for, more than the model was trained for where its
            folder declares how; None takes as many as fit, and at most those.
        cache: how keys and values are to be held; "auto" lets the memory decide.
        check: called at least once a tensor; what it raises passes through, and everything is let go.

    Raises:
        ModelNotFound: there is nothing at `path`.
        BadWeights, UnsupportedModel: what is there cannot be used; the message says why.
        InvalidSetting: LOCALCHAT_DEVICE asks for a device that is not there.
        NotEnoughMemory: the model does not fit into what is free; nothing was allocated.
        LocalChatError: the model does not fit into the memory of the device.
    """

    def step(stage: str, done: int, total: int) -> None:
        if check is not None:
            check()
        if on_progress is not None:
            on_progress(stage, done / total)

    device = pick_device()

    def room(name: str, footprint: Footprint) -> Room:
        if (
            path.is_dir() and device.type == "cpu" and native.refusal() is not None
        ):  # torch packs copies of what is mapped
            footprint = replace(footprint, weight_bytes=2 * footprint.weight_bytes)
        return fitting_room(name, footprint, context_length, cache, _free(device))

    if (path / QUANTIZATION_NAME).is_file():
        spec, about, weights, file_bytes, place = _read_folder(path, context_length, room, step)
    elif path.exists():
        spec, about, weights, file_bytes, place = _read_source(path, room, step)
    else:
        raise ModelNotFound(
            _("There is no model at {path}.").format(path=path), _("`localchat models` lists those that are installed.")
        )
    with within_memory(device):
        decoder = Decoder(
            spec, weights, device=device, on_layer=lambda done, total: step(mark("Preparing layers"), done, total)
        )
    quantized = any(isinstance(weight, QuantTensor) for weight in weights.values())
    return LoadedModel(
        name=about.get("name", path.stem),
        spec=spec,
        decoder=_forward(decoder),
        sampling=about.get("sampling", {}),
        precision=precision(weights),
        parameters=parameter_count(spec),
        file_bytes=file_bytes,
        bits_per_weight=8 * sum(weight.nbytes for weight in weights.values()) / parameter_count(spec),
        cache_dtype=QUANTIZED_CACHE_DTYPE if quantized else torch.float32,
        cache_kind=place.cache,
        kernel=_kernel(decoder),
        device=device,
        context_length=place.context_length,
    )


_Step = Callable[[str, int, int], None]
_Rooms = Callable[[str, Footprint], Room]
"""Given the model's name, tells for what there is memory; raises NotEnoughMemory."""


def _free(device: torch.device) -> int:
    """Bytes that a model may take; those of its own where the device has any."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()


def _read_folder(
    path: Path, wanted: int | None, room: _Rooms, step: _Step
) -> tuple[ModelSpec, dict[str, Any], dict[str, Weight], int, Room]:
    folder = open_model_folder(path)
    spec = stretched(stored_spec(folder), folder.config.get(LONG_CONTEXT), wanted)
    file_bytes = folder.weights.path.stat().st_size
    tensors = folder.quantization.get("tensors")
    place = room(path.name, Footprint.of_folder(spec, tensors, file_bytes, parameter_count(spec)))
    weights = from_stored(folder, spec, lambda done, total: step(mark("Opening weights"), done, total))
    if not isinstance(folder.config.get("sampling", {}), dict):
        raise BadWeights(_("{path} is damaged: its sampling is not a table of values.").format(path=path / CONFIG_NAME))
    return spec, folder.config, weights, file_bytes, place


def _read_source(
    path: Path, room: _Rooms, step: _Step
) -> tuple[ModelSpec, dict[str, Any], dict[str, Weight], int, Room]:
    source = open_source(path)
    footprint = Footprint.in_float32(source.spec, parameter_count(source.spec), source.file_bytes)
    place = room(path.name, footprint)
    weights: dict[str, Weight] = {}
    for count, name in enumerate(source.plan, start=1):
        weights[name] = source.float32(name)
        step(mark("Reading weights"), count, len(source.plan))
    return source.spec, source.facts, weights, source.file_bytes, place


def precision(weights: Mapping[str, Weight]) -> str:
    """What most of the layers' weights are held in."""
    sizes: Counter[str] = Counter()
    for name, weight in weights.items():
        if name.startswith("layers.") and len(weight.shape) == 2:
            kind = f"int{weight.spec.bits}" if isinstance(weight, QuantTensor) else "float32"
            sizes[kind] += weight.shape[0] * weight.shape[1]
    return sizes.most_common(1)[0][0]


def _forward(decoder: Decoder) -> Forward:
    """The fastest way to run it: recorded on CUDA, native on the CPU, otherwise as it is."""
    if decoder.device.type == "cuda":
        return GraphedDecoder(decoder) if cuda_plan.refusal(decoder) else cuda_plan.CUDAPlan(decoder)
    return decoder if refusal(decoder) else Plan(decoder)


def _kernel(decoder: Decoder) -> str:
    kernels = Counter(module.kernel.name for module in decoder.modules() if isinstance(module, QuantLinear))
    return kernels.most_common(1)[0][0] if kernels else "torch float32"
