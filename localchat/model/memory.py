"""What a model needs of memory, from its description alone, against what the machine has free.

Nothing is allocated to find out, and torch is not imported: the interface asks for every model in its list. The figures
are of a conversation that fills the context; a short one takes less.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import psutil

from localchat.errors import BadWeights, NotEnoughMemory
from localchat.messages import CacheChoice
from localchat.model.cache_room import STATE_MARKS, CacheKind, layer_bytes, state_numbers
from localchat.model.spec import ModelSpec
from localchat.translation import _
from quant.spec import QuantSpec

USUAL_CONTEXT = 4096
"""Tokens for which models are compared."""

PROGRAM_BYTES = 253_000_000
"""Of Python, torch and the libraries beside it, before there is a model (torch 2.13 for processors, Linux)."""

LEAST_CONTEXT = 2048
"""Tokens below which the context is not cut to make a model fit: a model that answers two questions is of no use."""

_READ_AT_ONCE = 384  # tokens of a prompt, at most; see localchat.engine.generate
_GROWTH = 1.2  # growing by doubling leaves gaps behind where the old blocks were: measured, a fifth of the cache
_DESCRIPTIONS = ("config.json", "quantization.json")
_TOKEN_TEXT_BYTES = 360  # of a tokenizer, for each token of its vocabulary: 330 to 390 measured
_EMBEDDING_SHARE = 1 / 3  # of a mapped embedding's pages, that the words of a long conversation lie on


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes.

    Attributes:
        weights: those that every token reads.
        cache: of keys and values, when the context is full.
        working: activations of a prompt, rope tables, logits, the vocabulary of the tokenizer.
        program: see `PROGRAM_BYTES`.
    """

    weights: int
    cache: int
    working: int
    program: int = PROGRAM_BYTES

    @property
    def model(self) -> int:
        """What the model adds to a program that runs already."""
        return self.weights + self.cache + self.working

    @property
    def total(self) -> int:
        return self.model + self.program


@dataclass(frozen=True, slots=True)
class Footprint:
    """What decides how much memory a model needs.

    Attributes:
        weight_bytes: that stay in memory.
        bits_per_weight: of all weights; tells what other bits would take.
        number_bytes: of one number of a key or a value, where they are held in full.
    """

    spec: ModelSpec
    weight_bytes: int
    bits_per_weight: float
    number_bytes: int

    @classmethod
    def of_folder(cls, spec: ModelSpec, tensors: Any, file_bytes: int, parameters: int) -> Footprint:
        """Of a model folder.

        Args:
            tensors: what quantization.json says of each; whether that is right is found out when the folder is loaded.
            file_bytes: of the weights.
        """
        unread = 0.0  # of what is looked up only the rows of words that come up are read from the file
        looked_up = {"per_layer_embedding": spec.num_layers * spec.per_layer_size}
        if not spec.tied_embeddings:
            looked_up["embedding"] = spec.hidden_size
        for name, columns in looked_up.items():
            with contextlib.suppress(KeyError, TypeError, ValueError):
                bits = QuantSpec.from_metadata(tensors[name]).bits_per_weight
                unread += (1 - _EMBEDDING_SHARE) * spec.vocab_size * columns * bits / 8
        return cls(spec, file_bytes - int(unread), 8 * file_bytes / parameters, 2 if tensors else 4)

    @classmethod
    def in_float32(cls, spec: ModelSpec, parameters: int, file_bytes: int) -> Footprint:
        """Of a file that is made float32 when it is loaded: the mapped file is there beside what it becomes."""
        return cls(spec, 4 * parameters + file_bytes, 32.0, 4)

    def plan(self, context_length: int, cache: CacheKind = "full") -> MemoryPlan:
        """For a context of so many tokens, with keys and values held as `cache` says."""
        spec, rows = self.spec, min(context_length, _READ_AT_ONCE)
        held = sum(layer_bytes(spec, i, context_length, cache, self.number_bytes) for i in range(spec.num_layers))
        activations = 2 * (spec.hidden_size + spec.query_size + spec.key_value_size + spec.intermediate_size)
        latents = spec.num_layers * spec.num_heads * (spec.plain_head_dim + spec.value_head_dim) * spec.key_value_rank
        rope = 4 * context_length * spec.head_dim  # two tables, and their halves while they are made
        return MemoryPlan(
            weights=self.weight_bytes,
            cache=int(_GROWTH * held) + (STATE_MARKS + 2) * 4 * state_numbers(spec),
            working=4 * (rows * activations + rope + latents) + (8 + _TOKEN_TEXT_BYTES) * spec.vocab_size,
        )

    @property
    def can_quantize_cache(self) -> bool:
        """Whether its keys and values can be held as codes: those are in tiles of 16 channels."""
        return all(self.spec.layer_head_dim(layer) % 16 == 0 for layer in range(self.spec.num_layers))

    def largest_context(self, free: int, cache: CacheKind = "full") -> int | None:
        """The model's own context, or half of it, a quarter, ...: the longest whose plan fits into `free` bytes beside
        the program; None when even `LEAST_CONTEXT` tokens do not."""
        context = self.spec.context_length
        while self.plan(context, cache).model > free:
            if context <= LEAST_CONTEXT:
                return None
            context = max(LEAST_CONTEXT, context // 2)
        return context


def read_footprint(folder: Path) -> Footprint:
    """Of an installed model, as its folder describes it.

    Raises:
        BadWeights, UnsupportedModel: the description is not one.
    """
    names = {field.name for field in fields(ModelSpec)}
    try:
        config, quantization = (json.loads((folder / name).read_text("utf-8")) for name in _DESCRIPTIONS)
        spec = ModelSpec.from_dict({key: value for key, value in config.items() if key in names})
        file_bytes = (folder / "model.safetensors").stat().st_size
        return Footprint.of_folder(spec, quantization["tensors"], file_bytes, int(quantization["parameters"]))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError) as error:
        raise BadWeights(
            _("{folder} does not say how large the model is.").format(folder=folder), _("Import the model again.")
        ) from error


@dataclass(frozen=True, slots=True)
class Room:
    """What there is memory for: tokens of context, with keys and values held so."""

    context_length: int
    cache: CacheKind


def fitting_room(name: str, footprint: Footprint, wanted: int | None, cache: CacheChoice, free: int) -> Room:
    """The context to allow: as many tokens as are wanted, at most the model's own; without a wish, as many as fit.

    Args:
        name: of the model, for people.
        cache: "auto" is int8 where more fits then, and else in full.
        free: bytes that there are for it, beside the program.

    Raises:
        NotEnoughMemory: it does not fit; the hint says what would.
    """
    kinds: list[CacheKind] = [cache] if cache != "auto" else ["full", "int8"]
    if cache == "auto" and not footprint.can_quantize_cache:
        kinds = ["full"]
    longest = footprint.spec.context_length if wanted is None else min(wanted, footprint.spec.context_length)
    for kind in kinds:
        if footprint.plan(longest, kind).model <= free:
            return Room(longest, kind)
    kind = kinds[-1]
    largest = footprint.largest_context(free, kind)
    if wanted is None and largest is not None:
        in_full = footprint.largest_context(free)
        return Room(largest, "full" if "full" in kinds and in_full == largest else kind)
    context = min(footprint.spec.context_length, LEAST_CONTEXT) if wanted is None else longest
    needed = footprint.plan(context, kind).model
    raise NotEnoughMemory(
        _("{name} needs {needed} of memory; {free} are free ({context} tokens of context).").format(
            name=name, needed=in_units(needed), free=in_units(max(0, free)), context=f"{context:,}"
        ),
        _what_would_fit(footprint, largest, free),
    )


def _what_would_fit(footprint: Footprint, largest: int | None, free: int) -> str:
    if largest is not None:
        sentence = _("A context of {tokens} tokens fits: set context_length to {number}.")
        return sentence.format(tokens=f"{largest:,}", number=largest)
    plan = footprint.plan(min(footprint.spec.context_length, LEAST_CONTEXT))
    for bits, real_bits in ((8, 8.5), (4, 5.5)):  # scales included, and of int4 the vocabulary in int8
        needed = plan.model - plan.weights + plan.weights * real_bits / footprint.bits_per_weight
        if real_bits < 0.8 * footprint.bits_per_weight and needed <= free:
            sentence = _("In int{bits} it needs about {needed}: import or quantize it with --bits {bits}.")
            return sentence.format(bits=bits, needed=in_units(needed))
    return _("Close other programs, or choose a smaller model.")


def free_memory() -> int:
    """Bytes that this process may still take without pushing other programs out of memory."""
    free = int(psutil.virtual_memory().available)
    groups = [left for left in map(_left_in_group, _control_groups()) if left is not None]
    return min([free, *groups])


def _control_groups() -> list[Path]:
    """The control group of this process and those around it, where the system is a Linux that has them (version 2)."""
    try:
        line = next(line for line in Path("/proc/self/cgroup").read_text("utf-8").splitlines() if line[:3] == "0::")
    except (OSError, StopIteration):
        return []
    group = Path("/sys/fs/cgroup") / line[3:].strip("/")
    return [group, *group.parents[: -len(Path("/sys/fs/cgroup").parts) + 1]]


def _left_in_group(group: Path) -> int | None:
    """Bytes up to the limit of a control group, what is only cached not counted as taken; None without a limit."""
    try:
        limit = int((group / "memory.max").read_text("utf-8"))  # "max" is no number
        taken = int((group / "memory.current").read_text("utf-8"))
        lines = (line.split() for line in (group / "memory.stat").read_text("utf-8").splitlines())
        return limit - taken + sum(int(value) for key, value in lines if key in ("active_file", "inactive_file"))
    except (OSError, ValueError):
        return None


def in_units(count: float) -> str:
    """Bytes as people read them: 640 MB, 5.2 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 0.9995e9 else f"{count / 1e6:.0f} MB"
