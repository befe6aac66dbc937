"""From a file of weights, in whatever form, to one of the installed models.

A GGUF file or a Hugging Face checkpoint is read tensor by tensor, quantized by `quant`, and written in our own format
together with its tokenizer and its chat template. The folder appears only when it is complete.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from localchat.errors import BadWeights, InvalidSetting
from localchat.hub.model_names import check_model_name
from localchat.model.decoder import Weight
from localchat.model.families import parameter_count
from localchat.model.load import precision
from localchat.model.sources import WeightSource, open_source
from localchat.model.stored import to_stored
from localchat.paths import ensure, models_dir
from localchat.text.chat_text import load_chat_text
from localchat.weights.model_folder import write_model_folder
from quant import rtn
from quant.spec import QuantSpec

_VOCABULARY = frozenset({"embedding", "output"})  # worth eight bits, whatever the layers get


@dataclass(frozen=True, slots=True)
class Imported:
    """A model that was just installed. `has_own_template` is False when the source had no chat template."""

    name: str
    folder: Path
    has_own_template: bool


@torch.inference_mode()
def import_model(
    source: Path,
    name: str | None = None,
    *,
    bits: int | None = None,
    facts: Mapping[str, Any] | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    check: Callable[[], None] = lambda: None,
) -> Imported:
    """Install the model in `source`.

    Args:
        source: a GGUF file, or the folder of a Hugging Face checkpoint.
        name: to install it under; by default made from the file's name.
        bits: 4 or 8 quantizes the layers so; None keeps the values of a quantized file, as far as our formats hold
            them, and makes int4 of full precision.
        facts: what else `config.json` should say: title, licence, sampling.
        on_progress: called with the parameters done and their total.
        check: called between tensors; raises to abandon.

    Raises:
        ModelNotFound, BadWeights, UnsupportedModel: the source cannot be used.
        StorageFailed: the folder cannot be written.
    """
    source = source.expanduser()
    name = check_model_name(name or _name_from(source))
    weights = open_source(source)
    text = load_chat_text(source)
    total = parameter_count(weights.spec)

    converted: dict[str, Weight] = {}
    done = 0
    for ours, entry in weights.plan.items():
        check()
        converted[ours] = _converted(weights, ours, bits)
        done += math.prod(entry.shape)
        on_progress(done, total)

    tensors, layout = to_stored(converted)
    file_bytes = sum(tensor.nbytes for tensor in tensors.values())
    quantization = {
        "precision": precision(converted),
        "method": "the source's own blocks where they fit, else round to nearest",
        "parameters": total,
        "file_bytes": file_bytes,
        "bits_per_weight": 8 * file_bytes / total,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": _fingerprint(source),
        **layout,
    }
    config = {
        "name": name,
        "title": name,
        "licence": "",
        "sampling": {},
        **weights.facts,
        **(facts or {}),
        **weights.spec.to_dict(),
    }
    folder = ensure(models_dir()) / name
    write_model_folder(folder, config, tensors, quantization, text.files())
    return Imported(name, folder, not text.template.is_fallback)


def _converted(source: WeightSource, name: str, bits: int | None) -> Weight:
    """Our tensor `name`: quantized when it is a matrix that the formats can hold, float32 otherwise."""
    shape = source.plan[name].shape
    if len(shape) != 2:
        return source.float32(name).contiguous()
    # A quantized file's values go into something finer than they are in, so that next to nothing is lost again.
    target = target_spec(name, bits or (8 if source.is_quantized(name) else 4))
    moved = source.moved(name)
    if moved is not None and (bits is None or moved.spec.bits == target.bits or name in _VOCABULARY):
        return moved  # more bits than the file has would add nothing, and as many rounded anew lose more
    weight = source.float32(name)
    if not target.accepts(shape[1]):
        return weight.contiguous()
    try:
        return rtn.quantize(weight, target)
    except ValueError as error:
        raise BadWeights(f"The tensor {name} cannot be quantized: {error}.", "Get the model again.") from error


def target_spec(name: str, bits: int) -> QuantSpec:
    """How a matrix is held that is quantized anew: our tensor `name`, when 4 or 8 bits are asked for."""
    return QuantSpec(8 if name in _VOCABULARY else bits, 32)


def _fingerprint(source: Path) -> dict[str, str]:
    """What the model was made of: a file's hash, or that of a checkpoint's configuration."""
    path = source if source.is_file() else source / "config.json"
    with path.open("rb") as file:
        return {"file": source.resolve().name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _name_from(source: Path) -> str:
    stem = source.stem if source.is_file() else source.resolve().name
    name = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")
    if not name:
        raise InvalidSetting(f"No name can be made from {source}.", "Give one with --name.")
    return name
