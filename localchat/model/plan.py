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
from localchat.model.decoder import CacheLike, Check, Decoder, DecoderLayer
from localchat.model.spec import ModelSpec
from quant.kernels import native
from quant.linear import QuantEmbedding, QuantLinear

FEW_TOKENS = 8
"""Up to so many are read in one native call; more are read layer by layer, so that a stop is noticed in between."""

_MOST_SHARING_HEADS = 64  # kQueryRows of quant/kernels/cpu/table.h

_LINEARS = ("query", "key", "value", "attention_output", "gate", "up", "down")  # the first three may have a bias

Segment = range | DecoderLayer
"""Layers by index that run in one native call, or one that runs through torch."""


class NativeCache(CacheLike, Protocol):
    """A cache whose keys and values the native code can read and write."""

    def reserve(self, count: int) -> native.Cache:
        """Where they are, with room for `count` tokens more.

        Raises:
            ContextOverflow: they do not fit.
        """
        ...


def refusal(decoder: Decoder) -> str | None:
    """Why a plan of this decoder would be of no use; None when it would be."""
    if decoder.output_norm.weight.device.type != "cpu":
        return "runs on the CPU only"
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
        runs: list[Segment] = []
        for index, layer in enumerate(decoder.layers):
            assert isinstance(layer, DecoderLayer)
            if (reason := _layer_refusal(layer, spec)) is not None:
                self.fallbacks[f"layer {index}"] = reason
                runs.append(layer)
                continue
            layers[index] = _native_layer(layer)
            if runs and isinstance(runs[-1], range):
                runs[-1] = range(runs[-1].start, index + 1)
            else:
                runs.append(range(index, index + 1))
        self._segments: Sequence[Segment] = runs
        self._by_layer: Sequence[Segment] = [
            piece for run in runs for piece in ([range(i, i + 1) for i in run] if isinstance(run, range) else [run])
        ]
        self._embedding = self._matrix("embedding", decoder.embedding)
        self._output = self._matrix("output", decoder.output)
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
        step.cosines, step.sines = self.decoder.rope.addresses(cache.length, count)
        step.cache, step.all_logits = cache.reserve(count), all_logits
        # The first native call embeds the tokens, and the last makes the logits.
        step.ids, step.logits = tokens.data_ptr(), None
        if self._embedding is None:
            hidden[:count] = self.decoder.embedding(tokens)
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
                angles = self.decoder.rope.at(cache.length, count)
                hidden[:count] = segment.forward(hidden[:count], angles, cache)
            step.ids = None
        if not step.logits:
            if self._output is not None:
                step.logits = logits.data_ptr()
                self._run(0, 0)
            else:
                last = hidden[:count] if all_logits else hidden[count - 1 : count]
                logits = self.decoder.output(self.decoder.output_norm(last)).view_as(logits)
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
                "The model computed no usable answer.", "Its weights may be damaged: get the model again."
            ) from error

    def _matrix(self, name: str, module: nn.Module) -> native.Matrix | None:
        if isinstance(module, QuantEmbedding) or (isinstance(module, QuantLinear) and _is_native(module)):
            return native.Matrix.of(module.tensor)
        self.fallbacks[name] = "is not quantized"
        return None


def native_shape(spec: ModelSpec) -> native.Shape:
    return native.Shape(
        spec.hidden_size,
        spec.intermediate_size,
        spec.num_layers,
        spec.num_heads,
        spec.num_key_value_heads,
        spec.head_dim,
        spec.rms_norm_eps,
    )


def _layer_refusal(layer: nn.Module, spec: ModelSpec) -> str | None:
    """Why native code cannot run this layer."""
    assert isinstance(layer, DecoderLayer)
    if not all(_is_native(getattr(layer, name)) for name in _LINEARS):
        return "has matrices that are not quantized"
    if any(getattr(layer, name).bias is not None for name in _LINEARS[3:]):
        return "has a bias where native code adds none"
    if layer.head_dim % 16:
        return f"has a head_dim of {layer.head_dim}, which is no multiple of 16"
    if spec.num_heads > _MOST_SHARING_HEADS * spec.num_key_value_heads:
        return f"has more than {_MOST_SHARING_HEADS} heads for one key head"
    return None


def _is_native(linear: nn.Module) -> bool:
    return isinstance(linear, QuantLinear) and isinstance(linear.kernel, native.NativeKernel)


def _native_layer(layer: DecoderLayer) -> native.Layer:
    matrices = {name: native.Matrix.of(getattr(layer, name).tensor) for name in _LINEARS}
    biases = {f"{name}_bias": getattr(layer, name).bias for name in _LINEARS[:3]}
    return native.Layer(
        attention_norm=layer.attention_norm.weight.data_ptr(),
        mlp_norm=layer.mlp_norm.weight.data_ptr(),
        **matrices,
        **{name: None if bias is None else bias.data_ptr() for name, bias in biases.items()},
    )
