"""Where the time of a token goes: by part of the decoder, beside what this machine could do.

A product of one token reads its weights once and is limited by the memory's bandwidth; a product of hundreds multiplies
each weight hundreds of times and is limited by the processor's int8 operations. Both limits are measured first, in the
same process, with the same threads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from localchat.engine.caches import cache_for
from localchat.engine.sampling import Sampler
from localchat.errors import InvalidSetting
from localchat.messages import SamplingOptions
from localchat.model.decoder import DecoderLayer, Forward
from localchat.model.load import LoadedModel
from localchat.model.plan import Plan
from localchat.translation import _
from quant.kernels import native
from quant.linear import QuantLinear

_PROBE_BYTES = 256 << 20
_PROBES = 5

# The products of a layer, by the part of `native.PARTS` that does them.
_PRODUCTS = {
    "query, key, value": ("query", "key", "value"),
    "attention output": ("attention_output",),
    "gate, up": ("router", "gate", "up"),
    "down": ("down",),
}


@dataclass(frozen=True, slots=True)
class Machine:
    """Ceilings of this machine with all threads.

    Attributes:
        bytes_per_second: read from memory.
        operations_per_second: int8 multiplications and additions.
    """

    bytes_per_second: float
    operations_per_second: float


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a forward pass, summed over the layers; per token.

    Attributes:
        seconds: of one token.
        bytes: read from memory for one token, 0 where that is not what it spends its time on.
        operations: multiplications and additions of one token, likewise.
    """

    name: str
    seconds: float
    bytes: float = 0.0
    operations: float = 0.0


@dataclass(frozen=True, slots=True)
class Profile:
    machine: Machine
    reading: tuple[Part, ...]
    writing: tuple[Part, ...]
    fallbacks: dict[str, str]


def measure_machine() -> Machine:
    """Medians of the library's probes."""
    library = native.ready_library()
    buffer = torch.ones(_PROBE_BYTES, dtype=torch.uint8)
    bandwidth = sorted(library.quant_probe_bandwidth(buffer.data_ptr(), buffer.numel()) for _ in range(_PROBES))
    operations = sorted(library.quant_probe_operations() for _ in range(_PROBES))
    return Machine(bandwidth[_PROBES // 2], operations[_PROBES // 2])


@torch.inference_mode()
def measure_profile(model: LoadedModel, prompt: list[int], generate: int) -> Profile:
    """Read `prompt`, then write `generate` tokens greedily, after a warm-up, with a clock on every part.

    Raises:
        InvalidSetting: the model does not run on the CPU kernels, which are what has the clock.
    """
    plan = model.decoder
    if not isinstance(plan, Plan):
        raise InvalidSetting(
            _("{name} runs on {kernel}; only the CPU kernels can be profiled.").format(
                name=model.name, kernel=model.kernel
            )
        )
    read: Forward = plan
    cache = cache_for(model, len(prompt) + generate)
    ids = torch.tensor(prompt)
    plan.times()
    read(ids, cache)  # warms up
    cache.truncate(0)
    machine = measure_machine()
    plan.times()
    sampler = Sampler(SamplingOptions(temperature=0.0))
    began = time.perf_counter()
    logits = read(ids, cache)
    elapsed = time.perf_counter() - began
    reading = _parts(plan, plan.times(), elapsed, len(prompt), sum(range(1, len(prompt) + 1)), reads_once=True)
    elapsed = sampling = 0.0
    for _round in range(generate):
        began = time.perf_counter()
        token = torch.tensor([sampler.sample(logits)])
        sampled = time.perf_counter()
        logits = read(token, cache)
        sampling += sampled - began
        elapsed += time.perf_counter() - sampled
    keys = sum(range(len(prompt) + 1, len(prompt) + generate + 1))
    writing = _parts(plan, plan.times(), elapsed, generate, keys, reads_once=False)
    writing.append(Part("sampling", sampling / generate))
    return Profile(machine, tuple(reading), tuple(writing), dict(plan.fallbacks))


def _parts(
    plan: Plan, seconds: dict[str, float], elapsed: float, tokens: int, keys: int, *, reads_once: bool
) -> list[Part]:
    """Parts per token of a pass over `tokens`, which looked at `keys` keys in all."""
    spec = plan.spec
    parts = []
    for name, spent in seconds.items():
        matrices = list(_matrices(plan, name))
        weights = sum(share * matrix.out_features * matrix.in_features for matrix, share in matrices)
        size = sum(share * matrix.tensor.nbytes for matrix, share in matrices)
        times = 1 if name == "output" and reads_once else tokens  # logits are made for the last token only
        operations = 2 * weights * times
        if name == "attention":
            operations = 4 * keys * spec.query_size * spec.num_layers
            size = 4 * spec.key_value_size * spec.num_layers * keys // tokens  # keys and values, 2 bytes each
        parts.append(Part(name, spent / tokens, size / (tokens if reads_once else 1), operations / tokens))
    parts.append(Part("Python", (elapsed - sum(seconds.values())) / tokens))
    return parts


def _matrices(plan: Plan, part: str) -> Iterator[tuple[QuantLinear, float]]:
    """What a part multiplies by, and the share of it that a token meets: of experts only a few."""
    if part == "output" and isinstance(plan.decoder.output, QuantLinear):
        yield plan.decoder.output, 1.0
    spec, names = plan.spec, _PRODUCTS.get(part, ())
    for layer in plan.decoder.layers:
        assert isinstance(layer, DecoderLayer)
        blocks: list[tuple[nn.Module, float]] = [(layer, 1.0)]
        if spec.has_experts(layer.index):
            blocks += [(expert, spec.experts_per_token / spec.num_experts) for expert in layer.experts]
        for block, share in blocks:
            for name, linear in block.named_children():
                if name in names and isinstance(linear, QuantLinear):
                    yield linear, share
