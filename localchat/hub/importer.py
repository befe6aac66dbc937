"""From a file of weights, in whatever form, to one of the installed models.

A GGUF file or a Hugging Face checkpoint is read tensor by tensor, quantized by `quant`, and written in our own format
together with its tokenizer and its chat template. The folder appears only when it is complete.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from localchat.errors import BadWeights
from localchat.hub.model_names import check_model_name
from localchat.hub.new_model import Imported, name_from, write_model
from localchat.model.decoder import Weight
from localchat.model.families import parameter_count
from localchat.model.sources import WeightSource, open_source
from localchat.text.chat_text import load_chat_text
from localchat.translation import _, mark
from quant import rtn
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

_VOCABULARY = frozenset({"embedding", "position_embedding", "output"})
# Small, and no small error when they are wrong: which experts are chosen, how fast a memory fades and is corrected.
_FINE = (".router", ".rates", ".fading")


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
    name = check_model_name(name or name_from(source))
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

    method = mark("the source's own blocks where they fit, else round to nearest")
    folder = write_model(source, name, weights, converted, text, method=method, facts=facts)
    rounded = weights.spec.layers_follow_each_other and any(
        isinstance(weight, QuantTensor) and weight.spec.bits == 4 and not weights.is_quantized(ours)
        for ours, weight in converted.items()
    )
    return Imported(name, folder, not text.template.is_fallback, could_be_better=rounded)


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
    if not target.accepts(shape[1]):
        return source.float32(name).contiguous()
    try:
        return rtn.quantize(source.floats(name), target)
    except ValueError as error:
        raise BadWeights(
            _("The tensor {name} cannot be quantized: {error}.").format(name=name, error=error),
            _("Get the model again."),
        ) from error


def target_spec(name: str, bits: int) -> QuantSpec:
    """How a matrix is held that is quantized anew: our tensor `name`, when 4 or 8 bits are asked for."""
    return QuantSpec(8 if name in _VOCABULARY or name.endswith(_FINE) else bits, 32)
