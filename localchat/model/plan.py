"""The decoder compiled for the CPU kernels: one native call for a token.

`Decoder` stays the definition of every architecture; a plan is made from its layers and must give the same logits. What
native code cannot express runs through torch in its place, correct and slower.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from localchat.errors import BadLogits
from localchat.model.attention import CacheLike
from localchat.model.decoder import Check, Decoder, DecoderLayer
from localchat.model.norm import RMSNorm
from localchat.model.spec import ModelSpec
from localchat.translation import _
from quant.kernels import native
from quant.linear import QuantEmbedding, QuantLinear

FEW_TOKENS = 8
"""Up to so many are read in one native call; more are read layer by layer, so that a stop is noticed in between."""

_MOST_SHARING_HEADS = 64  # kQueryRows of quant/kernels/cpu/table.h

_WITH_BIAS = ("query", "key", "value")
_MLP = ("gate", "up", "down")
_NORMS = ("attention_norm", "query_norm", "key_norm", "post_attention_norm", "mlp_norm", "post_mlp_norm")

Segment = range | DecoderLayer
"""Layers by index that run in one native call, or one that runs through torch."""


class NativeCache(CacheLike, Protocol):
    """A cache whose keys and values the native code can read and write."""

    def reserve(self, count: int) -> int:
        """The address of a `native.CacheLayer` for every layer, with room for `count` tokens more.

        Raises:
            ContextOverflow: they do not fit.
        """
        ...


def refusal(decoder: Decoder) -> str | None:
    """Why a plan of this decoder would be of no use; None when it would be."""
    if decoder.output_norm.weight.device.type != "cpu":
        return _("runs on the CPU only")
    if (reason := native.refusal()) is not None:
        return reason
    reasons = [_layer_refusal(layer, decoder.spec) for layer in decoder.layers]
    return None if None in reasons else reasons[0]


class Plan:
    """A decoder as native code runs it; called like the decoder. Only where `refusal` is None.

    Attributes:
        fallbacks: what runs through torch, and why.
    """

    def __init__(self, decoder: Decoder) -> None:
        spec = decoder.spec
        self.decoder, self.spec = decoder, spec
        self.fallbacks: dict[str, str] = {}
        self._library = native.ready_library()
        layers = (native.Layer * spec.num_layers)()
        self._experts: list[ctypes.Array[native.Expert]] = []  # what the layers point to
        runs: list[Segment] = []
        for index, layer in enumerate(decoder.layers):
            assert isinstance(layer, DecoderLayer)
            if (reason := _layer_refusal(layer, spec)) is not None:
                self.fallbacks[f"layer {index}"] = reason
                runs.append(layer)
                continue
            layers[index], experts = _native_layer(layer, spec)
            self._experts.append(experts)
            if runs and isinstance(runs[-1], range):
                runs[-1] = range(runs[-1].start, index + 1)
            else:
                runs.append(range(index, index + 1))
        self._segments: Sequence[Segment] = runs
        self._by_layer: Sequence[Segment] = [
            piece for run in runs for piece in ([range(i, i + 1) for i in run] if isinstance(run, range) else [run])
        ]
        learned, other_norm = spec.positions == "learned", spec.norm != "rms"
        self._embedding = self._matrix("embedding", decoder.embedding, _("has positions added") if learned else None)
        self._output = self._matrix("output", decoder.output, _("comes after another norm") if other_norm else None)
        shape = native_shape(spec)
        self._plan = self._library.quant_plan_new(
            ctypes.addressof(shape),
            ctypes.addressof(layers),
            None if self._embedding is None else ctypes.addressof(self._embedding),
            decoder.output_norm.weight.data_ptr(),
            None if self._output is None else ctypes.addressof(self._output),
        )
        native.check_memory(self._plan)
        weakref.finalize(self, self._library.quant_plan_free, self._plan)
        self._step = native.Step()
        self._step_address = ctypes.addressof(self._step)
        self._few = torch.empty(FEW_TOKENS, spec.hidden_size)
        if not self.fallbacks:
            torch.set_num_threads(1)  # what is left to torch is small, and its idle threads would spin beside ours

    def __call__(
        self, tokens: Tensor, cache: NativeCache, *, check: Check | None = None, all_logits: bool = False
    ) -> Tensor:
        """As `Decoder.forward`.

        Raises:
            BadLogits: something that is no number came up on the way.
            ContextOverflow: the tokens do not fit into the cache.
        """
        count, step, spec = tokens.shape[0], self._step, self.spec
        tokens = tokens.contiguous()
        hidden = self._few if count <= FEW_TOKENS else torch.empty(count, spec.hidden_size)
        logits = torch.empty((count, spec.vocab_size) if all_logits else spec.vocab_size)
        step.hidden, step.count, step.position = hidden.data_ptr(), count, cache.length
        rope = self.decoder.rope.full(cache.context_length), self.decoder.rope.local
        for rotation, positions in zip(step.rotations, rope, strict=True):
            if positions is not None:
                rotation.cosines, rotation.sines = positions.addresses(cache.length, count)
        step.cache, step.all_logits = cache.reserve(count), all_logits
        # The first native call embeds the tokens, and the last makes the logits.
        step.ids, step.logits = tokens.data_ptr(), None
        if self._embedding is None:
            hidden[:count] = self.decoder.embed(tokens, cache.length)
            step.ids = None
        for segment in self._segments if count <= FEW_TOKENS else self._by_layer:
            if check is not None:
                check()
            if isinstance(segment, range):
                if segment.stop == spec.num_layers and self._output is not None:
                    step.logits = logits.data_ptr()
                self._run(segment.start, segment.stop)
            else:
                if step.ids:
                    self._run(0, 0)
                angles = self.decoder.rope.at(cache.length, count, cache.context_length)
                hidden[:count] = segment.forward(hidden[:count], angles, cache)
            step.ids = None
        if not step.logits:
            if self._output is not None:
                step.logits = logits.data_ptr()
                self._run(0, 0)
            else:
                last = hidden[:count] if all_logits else hidden[count - 1 : count]
                logits = self.decoder.logits(last).view_as(logits)
        cache.advance(count)
        return logits

    def times(self) -> dict[str, float]:
        """Seconds by part since the last call; the first call starts the clock."""
        seconds = (ctypes.c_double * len(native.PARTS))()
        self._library.quant_plan_times(self._plan, ctypes.addressof(seconds))
        return dict(zip(native.PARTS, seconds, strict=True))

    def _run(self, first: int, last: int) -> None:
        self._step.first_layer, self._step.last_layer = first, last
        try:
            native.check(self._library.quant_plan_run(self._plan, self._step_address))
        except native.NotFinite as error:
            raise BadLogits(
                _("The model computed no usable answer."), _("Its weights may be damaged: get the model again.")
            ) from error

    def _matrix(self, name: str, module: nn.Module, refusal: str | None) -> native.Matrix | None:
        if refusal is None:
            if isinstance(module, QuantEmbedding) or (isinstance(module, QuantLinear) and _is_native(module)):
                return native.Matrix.of(module.tensor)
            refusal = _("is not quantized")
        self.fallbacks[name] = refusal
        return None


def native_shape(spec: ModelSpec) -> native.Shape:
    scale = spec.head_dim**-0.5 if spec.attention_scale is None else spec.attention_scale
    return native.Shape(
        hidden_size=spec.hidden_size,
        intermediate_size=spec.intermediate_size,
        num_layers=spec.num_layers,
        num_heads=spec.num_heads,
        num_key_value_heads=spec.num_key_value_heads,
        head_dim=spec.head_dim,
        num_experts=spec.num_experts,
        experts_per_token=spec.experts_per_token,
        expert_intermediate_size=spec.expert_intermediate_size,
        normalize_expert_weights=spec.normalize_expert_weights,
        rotary_dim=spec.turning_channels,
        rms_norm_eps=spec.rms_norm_eps,
        norm_heads=spec.qk_norm == "head",
        activation=native.ACTIVATIONS.index(spec.activation) if spec.activation in native.ACTIVATIONS else 0,
        attention_scale=scale,
        attention_softcap=spec.attention_softcap or 0,
        embedding_scale=spec.embedding_scale,
        residual_scale=spec.residual_scale,
        logit_scale=spec.logit_scale,
        logit_softcap=spec.logit_softcap or 0,
    )


def _layer_refusal(layer: nn.Module, spec: ModelSpec) -> str | None:
    """Why native code cannot run this layer."""
    assert isinstance(layer, DecoderLayer)
    features = {
        _("has norms of the kind {kind}").format(kind=spec.norm): spec.norm != "rms",
        _("is a short convolution"): spec.kind(layer.index) == "convolution",
        _("has linear attention"): spec.kind(layer.index) == "linear",
        _("gates its attention"): spec.attention_gate,
        _("runs attention and MLP side by side"): spec.parallel_residual,
        _("has an MLP without a gate"): not spec.gated_mlp,
        _("has the activation {activation}").format(activation=spec.activation): spec.activation
        not in native.ACTIVATIONS,
        _("has attention sinks"): spec.attention_sinks,
        _("limits the gates of its MLP"): spec.gate_limit is not None,
        _("norms its values"): spec.value_norm,
        _("scales what it gives"): spec.layer_scale,
        _("is told of the tokens beside"): spec.per_layer_size > 0,
        _("has heads of another size than others"): spec.full_head_dim is not None,
        _("has no keys and values of its own"): spec.keys_of(layer.index) != layer.index,
        _("attends over latents"): spec.key_value_rank > 0,
        _("has a head_dim of {head_dim}, which is no multiple of 16").format(head_dim=spec.head_dim): spec.head_dim % 16
        != 0,
        _("has more than {count} heads for one key head").format(count=_MOST_SHARING_HEADS): (
            spec.num_heads > _MOST_SHARING_HEADS * spec.num_key_value_heads
        ),
    }
    if (reason := next((reason for reason, holds in features.items() if holds), None)) is not None:
        return reason
    matrices = _matrices(layer, spec)
    if not all(_is_native(matrix) for matrix in matrices.values()):
        return _("has matrices that are not quantized")
    if any(matrix.bias is not None for name, matrix in matrices.items() if name not in _WITH_BIAS):
        return _("has a bias where native code adds none")
    return None


def _matrices(layer: DecoderLayer, spec: ModelSpec) -> dict[str, QuantLinear]:
    """The matrices of a layer with gated MLPs, by name; those of experts with their number."""
    has_experts = spec.has_experts(layer.index)
    names = [*_WITH_BIAS, "attention_output", *(("router",) if has_experts else _MLP)]
    experts = enumerate(layer.experts if has_experts else ())
    return {name: getattr(layer, name) for name in names} | {
        f"{number} {name}": getattr(expert, name) for number, expert in experts for name in _MLP
    }


def _is_native(linear: nn.Module) -> bool:
    return isinstance(linear, QuantLinear) and isinstance(linear.kernel, native.NativeKernel)


def _native_layer(layer: DecoderLayer, spec: ModelSpec) -> tuple[native.Layer, ctypes.Array[native.Expert]]:
    """The layer as native code sees it, and what that points to."""
    matrices = {name: native.Matrix.of(matrix.tensor) for name, matrix in _matrices(layer, spec).items()}
    numbers = range(spec.num_experts if spec.has_experts(layer.index) else 0)
    experts = (native.Expert * len(numbers))(
        *(native.Expert(*(matrices.pop(f"{number} {name}") for name in _MLP)) for number in numbers)
    )
    biases = {f"{name}_bias": getattr(layer, name).bias for name in _WITH_BIAS}
    sliding_turn_apart = spec.local_rope_theta is not None and spec.is_sliding(layer.index)
    native_layer = native.Layer(
        **matrices,
        **{name: None if bias is None else bias.data_ptr() for name, bias in biases.items()},
        **{name: _norm_weight(getattr(layer, name)) for name in _NORMS},
        experts=ctypes.addressof(experts) if numbers else None,
        window=layer.rule.window or 0,
        rotation=-1 if not layer.rotates else int(sliding_turn_apart),
    )
    return native_layer, experts


def _norm_weight(norm: nn.Module) -> int | None:
    return norm.weight.data_ptr() if isinstance(norm, RMSNorm) else None
