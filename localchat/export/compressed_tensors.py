"""A model as a folder in the format pack-quantized of compressed-tensors, which transformers and vLLM load.

A weight there is a code of 4 or 8 bits times the scale of its group or row. A minimum must be a whole number of steps,
and ours are not: int8 and symmetric int4 are written as they are, and int4 with a minimum as int8 on a fraction of its
step (`export_precision`). SmolLM2 in int4 by 32, mean KL divergence from itself over 512 tokens: so 0.0003, rounded to
int8 anew 0.0013, searched for the best int4 with whole minimums 0.25.

vLLM runs query, key and value as one matrix, and gate and up, so each of the two has one precision.

The vocabulary's matrices, which both programs want dense, are float16, as is what the programs compute in by default:
bfloat16, the other choice, has 8 bits for scales that need 11 (Qwen2.5 0.5B over 128 tokens, against float32: a mean KL
divergence of 0.00001 and 0.0007).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from localchat.errors import UnsupportedModel
from localchat.export.huggingface_config import huggingface_config
from localchat.export.huggingface_text import generation_config, huggingface_text_files
from localchat.export.model import OpenedModel, Target, check_read_back, part_weights, targets
from localchat.export.output import unfinished
from localchat.export.pack_quantized import (
    nearest_spec,
    packed_nbytes,
    packed_tensors,
    quantization_config,
    signed_codes,
)
from localchat.export.precision import common_spec, converted, converts_exactly, dense
from localchat.model.configuration import spec_from_huggingface
from localchat.model.decoder import Weight
from localchat.model.families import tensor_plan
from localchat.translation import _
from localchat.weights.safetensors_file import INDEX_NAME, SINGLE_NAME
from localchat.weights.safetensors_writer import write_safetensors
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

_VOCABULARY = frozenset({"embedding", "output"})
_RUN_AS_ONE = (("query", "key", "value"), ("gate", "up"))
_SHARD_BYTES = 2 << 30  # about so many are in memory at once


def write_compressed(
    model: OpenedModel, path: Path, on_progress: Callable[[int, int], None], check: Callable[[], None]
) -> list[str]:
    """Write the folder `path`; returns sentences for the user on what is in it. As `write_gguf`."""
    spec, weights = model.spec, model.weights
    if spec.num_experts:
        raise UnsupportedModel(_("Mixtures of experts cannot be exported to compressed-tensors."))
    config = huggingface_config(spec)
    plan = targets(spec, "huggingface")
    held = _held(plan, weights)
    check_read_back(spec, spec_from_huggingface(config), "compressed-tensors")
    modules = {_module(target.name): held[target.name] for target in plan if _is_matrix(target)}
    output = tensor_plan(replace(spec, tied_embeddings=False), "huggingface")["output"]
    modules[_module(output.name)] = None  # a module of its own, tied or not
    ends = generation_config(model.text, model.config.get("sampling") or {})
    config |= {key: ends.get(key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}  # or its class has some
    config |= {"torch_dtype": "float16", "quantization_config": quantization_config(modules)}
    files = {
        "config.json": _json(config),
        "generation_config.json": _json(ends),
        **huggingface_text_files(model.text, spec.context_length),
    }
    writer = _Writer(weights, held, on_progress, check, sum(_nbytes(target, held) for target in plan))
    with unfinished(path, writer.total + sum(map(len, files.values())) + (1 << 20)) as new:
        new.mkdir()
        for name, content in files.items():
            (new / name).write_bytes(content)
        writer.write(new, plan)
    return writer.notes()


class _Writer:
    """Writes the weights, and keeps account of what is changed by it."""

    def __init__(
        self,
        weights: Mapping[str, Weight],
        held: Mapping[str, QuantSpec | None],
        on_progress: Callable[[int, int], None],
        check: Callable[[], None],
        total: int,
    ) -> None:
        self.weights, self.held, self.total = weights, held, total
        self._on_progress, self._check = on_progress, check
        self._done = self._exact = self._rounded = self._dense = 0
        self._change = self._size = 0.0  # sums of squares

    def write(self, folder: Path, plan: list[Target]) -> None:
        shards = _shards(plan, self.held)
        places: dict[str, str] = {}
        for number, shard in enumerate(shards, start=1):
            name = f"model-{number:05}-of-{len(shards):05}.safetensors" if len(shards) > 1 else SINGLE_NAME
            tensors: dict[str, Tensor] = {}
            for target in shard:
                self._check()
                tensors |= self._tensors(target)
                self._done += _nbytes(target, self.held)
                self._on_progress(self._done, self.total)
            places |= dict.fromkeys(tensors, name)
            with (folder / name).open("wb") as file:
                write_safetensors(file, tensors, {"format": "pt"})
        if len(shards) > 1:
            index = {"metadata": {"total_size": self.total}, "weight_map": places}
            (folder / INDEX_NAME).write_bytes(_json(index))

    def notes(self) -> list[str]:
        notes = [
            _(
                "{exact} matrices keep their weights; {dense}, with the vocabulary, are float16, which rounds a weight "
                "to 11 bits."
            ).format(exact=self._exact, dense=self._dense)
        ]
        if self._rounded:
            change = 100 * (self._change / max(self._size, 1e-30)) ** 0.5
            notes.append(
                _(
                    "{rounded} have minimums, or scales for themselves, that the format cannot hold: they are int8, "
                    "and their weights change by {change} %."
                ).format(rounded=self._rounded, change=f"{change:.2f}")
            )
        return notes

    def _tensors(self, target: Target) -> dict[str, Tensor]:
        parts, spec = part_weights(target, self.weights), self.held[target.name]
        if spec is None:
            return {target.name: self._dense_tensor(target, parts)}
        ours = [part for part in parts if isinstance(part, QuantTensor)]
        theirs = [converted(part, spec) for part in ours]
        for before, after in zip(ours, theirs, strict=True):
            self._account(before, after)
        pairs = [signed_codes(part) for part in theirs]
        codes, scales = (_joined(target, [pair[which] for pair in pairs]) for which in (0, 1))
        return packed_tensors(_module(target.name), codes, scales, spec.bits)

    def _dense_tensor(self, target: Target, parts: list[Weight]) -> Tensor:
        if _is_matrix(target):
            whole = _joined(target, [_in_half(part) for part in parts])
            if math.isfinite(whole.sum(dtype=torch.float32)):
                self._dense += 1
                return whole
        return _joined(target, [dense(part) for part in parts])

    def _account(self, before: QuantTensor, after: QuantTensor) -> None:
        if converts_exactly(before.spec, after.spec):
            self._exact += 1
            return
        self._rounded += 1
        values = before.dequantize()
        self._size += float(values.square().sum())
        self._change += float((after.dequantize() - values).square().sum())


def _held(plan: list[Target], weights: Mapping[str, Weight]) -> dict[str, QuantSpec | None]:
    """How each tensor is held; None is dense."""
    held = {target.name: _own_spec(target, weights) for target in plan}
    place = {part.ours: target.name for target in plan for part in target.parts}
    for query in [ours for ours in place if ours.endswith(".query") or ours.endswith(".gate")]:
        layer, name = query.rsplit(".", 1)
        together = next(names for names in _RUN_AS_ONE if name in names)
        names = {place[f"{layer}.{each}"] for each in together}
        specs = [held[name] for name in names]
        quantized = [spec for spec in specs if spec is not None]
        one = common_spec(quantized) if len(quantized) == len(specs) else None
        held |= dict.fromkeys(names, one)
    return held


def _own_spec(target: Target, weights: Mapping[str, Weight]) -> QuantSpec | None:
    parts = [weights[part.ours] for part in target.parts]
    specs = [nearest_spec(part.spec) for part in parts if isinstance(part, QuantTensor)]
    is_vocabulary = target.parts[0].ours in _VOCABULARY
    return None if is_vocabulary or len(specs) < len(parts) else common_spec(specs)


def _shards(plan: list[Target], held: Mapping[str, QuantSpec | None]) -> list[list[Target]]:
    """The tensors in their order, as many in a file as fit; a larger one has its own."""
    shards: list[list[Target]] = [[]]
    size = 0
    for target in plan:
        nbytes = _nbytes(target, held)
        if size and size + nbytes > _SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append(target)
        size += nbytes
    return shards


def _nbytes(target: Target, held: Mapping[str, QuantSpec | None]) -> int:
    spec = held[target.name]
    if spec is None:
        return math.prod(target.shape) * (2 if _is_matrix(target) else 4)
    return packed_nbytes(target.shape, spec)


def _module(name: str) -> str:
    return name.removesuffix(".weight")


def _is_matrix(target: Target) -> bool:
    return len(target.shape) == 2


def _in_half(weight: Weight) -> Tensor:
    return weight.dequantize(torch.float16) if isinstance(weight, QuantTensor) else weight.half()


def _joined(target: Target, parts: list[Tensor]) -> Tensor:
    """The parts, row by row where they belong."""
    if len(parts) == 1 and target.parts[0].rows is None:
        return parts[0]
    whole = parts[0].new_empty((target.shape[0], *parts[0].shape[1:]))
    for part, tensor in zip(target.parts, parts, strict=True):
        whole[torch.from_numpy(part.rows)] = tensor
    return whole


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode()
