"""A token on CUDA by kernels of our own, ten a layer, recorded once and replayed.

The decoder stays the definition, and reads prompts; this is made from its layers and must give the same logits. A
decoder that has something else than the plainest layers is replayed as torch runs it: see `GraphedDecoder`.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor

from localchat.model.cache_room import CODE_BITS, SPAN
from localchat.model.cuda_graph import GraphCache, record
from localchat.model.cuda_structures import Coded, Heads, Rows, Stack, matrix_of, tiles_of
from localchat.model.decoder import Check, Decoder
from localchat.translation import _
from quant.kernels.cuda.products import Codes, CUDAKernel, module, threads
from quant.linear import QuantLinear

# fmt: off
_EXPRESSED = frozenset({
    "family", "vocab_size", "hidden_size", "intermediate_size", "num_layers", "num_heads", "num_key_value_heads",
    "head_dim", "rms_norm_eps", "rope_theta", "context_length", "attention_bias", "attention_output_bias", "mlp_bias",
    "tied_embeddings", "rope_factors", "rotary_dim", "rope_attention_factor", "rope_long_factors",
    "original_context_length", "attention_scale", "attention_softcap", "embedding_scale", "residual_scale",
})
# fmt: on
"""Fields of a spec that may have any value; of the others only their defaults can be expressed."""

_HEAD_DIMS = (64, 128)
_MOST_SHARING_HEADS = 8
_PARTS, _MOST_PARTS = 64, 256  # of the positions, attended to beside each other; multiples of 32


class PlanCache(GraphCache, Protocol):
    """A cache that our kernels can write and read."""

    def begin_pass(self, count: int) -> None:
        """Have room for `count` tokens that are read now.

        Raises:
            ContextOverflow: they do not fit.
        """
        ...

    def coded(self, layer: int) -> Rows | None:
        """Codes and scales of keys, then of values: see `localchat.engine.cache_codes`. What `blocks` gives is then a
        ring of the newest in full. None where all is in full."""
        ...


def refusal(decoder: Decoder) -> str | None:
    """Why tokens of this decoder are not run by our kernels; None when they are."""
    spec = decoder.spec
    for field in fields(spec):
        value = getattr(spec, field.name)
        if field.name not in _EXPRESSED and value != field.default and (field.name, value) != ("qk_norm", "head"):
            return _("{name} is {value!r}").format(name=field.name, value=value)
    sharing = spec.num_heads // spec.num_key_value_heads
    if spec.head_dim not in _HEAD_DIMS or sharing > _MOST_SHARING_HEADS:
        return _("{count} heads of {head_dim} channels share keys").format(count=sharing, head_dim=spec.head_dim)
    for module_ in decoder.modules():
        if isinstance(module_, torch.nn.Linear) or (
            isinstance(module_, QuantLinear) and not isinstance(module_.kernel, CUDAKernel)
        ):
            return _("not every matrix is quantized")
    return None


@dataclass(frozen=True, slots=True)
class _Layer:
    """What one layer launches."""

    attention_norm: Tensor
    projections: list[QuantLinear]
    heads: Heads
    keys: Tensor
    values: Tensor
    coded: Coded | None
    attention_output: QuantLinear
    mlp_norm: Tensor
    gate_up: list[QuantLinear]
    down: QuantLinear

    @classmethod
    def of(cls, layer: Any, heads: Heads, keys: Tensor, values: Tensor, coded: Coded | None) -> _Layer:
        return cls(
            layer.attention_norm.weight,
            [layer.query, layer.key, layer.value],
            heads,
            keys,
            values,
            coded,
            layer.attention_output,
            layer.mlp_norm.weight,
            [layer.gate, layer.up],
            layer.down,
        )


class CUDAPlan:
    """A decoder whose single tokens are replayed; called like the decoder, and else just that. Only where `refusal`
    is None.

    The logits of a single token are only good until the next call. `check` is called once before a replay.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.decoder, self.spec = decoder, decoder.spec
        self._recorded: _Recorded | None = None

    @torch.inference_mode()
    def __call__(
        self, tokens: Tensor, cache: PlanCache, *, check: Check | None = None, all_logits: bool = False
    ) -> Tensor:
        """As `Decoder.forward`."""
        if tokens.shape[0] != 1 or all_logits:
            logits: Tensor = self.decoder(tokens, cache, check=check, all_logits=all_logits)
            return logits
        if check is not None:
            check()
        cache.begin_pass(1)
        if self._recorded is None or not self._recorded.is_for(cache):
            self._recorded = None  # before the next one takes its memory
            self._recorded = _Recorded(self.decoder, cache)
        next_logits = self._recorded.replay(self.decoder.embed(tokens, cache.length), cache.length)
        cache.advance(1)
        return next_logits


class _Recorded:
    """One token on one cache, ready to be replayed. A rehearsal writes to the cache, where the first replay will."""

    def __init__(self, decoder: Decoder, cache: PlanCache) -> None:
        spec, device = decoder.spec, decoder.device
        keys, values = cache.blocks(1)
        coded = [cache.coded(layer) for layer in range(spec.num_layers)]
        self._decoder, self._known = decoder, _places(cache)
        capacity = keys[0].shape[1]
        room = capacity if coded[0] is None else coded[0][0].shape[1] * SPAN
        self._cosines, self._sines = decoder.rope.full(cache.context_length).at(0, room)
        sharing = spec.num_heads // spec.num_key_value_heads
        attend = f"attend_{spec.head_dim}_{sharing}"
        added = f"ATTEND({spec.head_dim}, {sharing})\n"
        bits = CODE_BITS.get(cache.kind)
        if bits is not None:
            attend += f"_{bits}"
            added = f"CODED({spec.head_dim}, {sharing}, {bits})\n"
        compiled = module(device, added)
        self._norm, self._stack, self._add = map(compiled.kernel, ("norm_quantize", "product_stack", "product_add"))
        self._place, self._gate, self._join = map(compiled.kernel, ("place_heads", "gate_quantize", "join_parts"))
        self._attend = compiled.kernel(attend)
        self._encode = compiled.kernel(f"encode_{spec.head_dim}_{bits}") if bits is not None else None
        width = spec.num_heads * spec.head_dim
        self._x = torch.zeros(spec.hidden_size, device=device)
        self._position = torch.full((1,), cache.length, device=device)
        self._hidden, self._attended, self._inner = (
            Codes(1, columns, device) for columns in (spec.hidden_size, width, spec.intermediate_size)
        )
        self._qkv = torch.empty(width + 2 * spec.num_key_value_heads * spec.head_dim, device=device)
        self._gate_up = torch.empty(2 * spec.intermediate_size, device=device)
        # A part of what is in codes takes long for each span, and has few threads.
        self._parts_count = _PARTS if bits is None else max(_PARTS, min(_MOST_PARTS, room // SPAN // 32 * 32))
        self._parts = torch.empty(spec.num_heads * self._parts_count * (spec.head_dim + 2), device=device)
        self._logits = torch.empty(spec.vocab_size, device=device)
        self._layers = [
            _Layer.of(layer, self._heads_of(layer, capacity), known, read, Coded.of(rows, known, read))
            for layer, rows, known, read in zip(decoder.layers, coded, keys, values, strict=True)
        ]
        last: Any = decoder
        self._output_norm: Tensor = last.output_norm.weight
        self._output: QuantLinear = last.output
        self._run_graph = record(self._run)

    def is_for(self, cache: PlanCache) -> bool:
        return self._known == _places(cache)

    def replay(self, embedded: Tensor, position: int) -> Tensor:
        """Logits, float32 [vocab_size], after the token embedded as [1, hidden_size]."""
        self._x.copy_(embedded[0], non_blocking=True)
        self._position.fill_(position)
        return self._run_graph()

    def _heads_of(self, layer: Any, capacity: int) -> Heads:
        spec, norms = self._decoder.spec, [None, None]
        if layer.norms_heads:
            norms = [norm.weight.data_ptr() for norm in (layer.query_norm, layer.key_norm)]
        turning = self._cosines.shape[1]
        return Heads(
            spec.num_heads, spec.num_key_value_heads, spec.head_dim, turning, *norms, spec.rms_norm_eps, capacity
        )

    def _run(self) -> Tensor:
        spec = self._decoder.spec
        scale = spec.head_dim**-0.5 if spec.attention_scale is None else spec.attention_scale
        heads = spec.num_heads + 2 * spec.num_key_value_heads
        sharing = spec.num_heads // spec.num_key_value_heads
        window, factor, softcap = (
            ctypes.c_longlong(0),
            ctypes.c_float(scale),
            ctypes.c_float(spec.attention_softcap or 0),
        )
        count = ctypes.c_int(self._parts_count)
        parts = spec.num_key_value_heads, self._parts_count
        position, size = self._position, ctypes.c_int(spec.intermediate_size)
        for layer in self._layers:
            self._normed(layer.attention_norm)
            self._products(layer.projections, self._hidden, self._qkv)
            keys, values, capacity = layer.keys, layer.values, ctypes.c_longlong(layer.keys.shape[1])
            self._place(-(-heads // 4), 128, layer.heads, self._qkv, self._cosines, self._sines, position, keys, values)
            if layer.coded is None or self._encode is None:
                attended = self._qkv, keys, values, capacity, position, window, factor, softcap, self._parts
                self._attend(parts, 32 * sharing, *attended)
            else:
                self._attend(parts, SPAN, layer.coded, self._qkv, position, factor, softcap, self._parts)
                self._encode(spec.num_key_value_heads, SPAN, layer.coded, position)
            self._join(spec.num_heads, spec.head_dim, self._parts, count, self._attended.codes, self._attended.scales)
            self._product_add(layer.attention_output, self._attended)
            self._normed(layer.mlp_norm)
            self._products(layer.gate_up, self._hidden, self._gate_up)
            blocks = -(-spec.intermediate_size // 256)
            self._gate(blocks, 256, self._gate_up, size, self._inner.codes, self._inner.scales)
            self._product_add(layer.down, self._inner)
        self._normed(self._output_norm)
        self._products([self._output], self._hidden, self._logits)
        return self._logits

    def _normed(self, weight: Tensor) -> None:
        size, eps = self._x.shape[0], self._decoder.spec.rms_norm_eps
        self._norm(
            1,
            min(1024, size),
            self._x,
            weight,
            ctypes.c_int(size),
            ctypes.c_float(eps),
            self._hidden.codes,
            self._hidden.scales,
        )

    def _products(self, layers: list[QuantLinear], x: Codes, y: Tensor) -> None:
        stack, tiles = Stack(), 0
        for place, layer in enumerate(layers):
            stack.matrices[place] = matrix_of(layer)
            stack.biases[place] = None if layer.bias is None else layer.bias.data_ptr()
            stack.tiles[place] = tiles_of(layer)
            tiles += stack.tiles[place]
        self._stack(tiles, threads(layers[0].in_features), stack, x.codes, x.scales, y)

    def _product_add(self, layer: QuantLinear, x: Codes) -> None:
        bias = None if layer.bias is None else layer.bias
        factor = ctypes.c_float(self._decoder.spec.residual_scale)
        self._add(
            tiles_of(layer),
            threads(layer.in_features),
            matrix_of(layer),
            bias,
            x.codes,
            x.scales,
            factor,
            self._x,
        )


def _places(cache: PlanCache) -> tuple[int, ...]:
    """Where the first layer's memory is, and how large: when that moves, all does."""
    held = cache.coded(0) or cache.blocks(1)[0]
    return held[0].data_ptr(), held[0].shape[1]
