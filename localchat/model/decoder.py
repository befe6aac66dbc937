"""The one decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU; driven by a `ModelSpec`.

One sequence at a time, so there is no batch dimension: token ids are [T], hidden states [T, hidden_size], heads
[head, T, head_dim]. The residual stream is float32 whatever the weights are. Keys and values belong to the caller's
cache; the decoder keeps nothing of a conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from localchat.errors import BadWeights
from localchat.model.families import tensor_shapes
from localchat.model.rope import RotaryPositions
from localchat.model.spec import ModelSpec
from quant.linear import QuantEmbedding, QuantLinear
from quant.tensor import QuantTensor

Weight = Tensor | QuantTensor
Check = Callable[[], None]
"""Called often during long work; raises to abandon it."""


class CacheLike(Protocol):
    """What the decoder asks of a cache of keys and values."""

    @property
    def length(self) -> int:
        """Tokens whose keys and values are held; the next token's position."""
        ...

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Put keys and values [num_key_value_heads, T, head_dim] at positions `length` on, without counting them yet,
        and return causal attention of queries [num_heads, T, head_dim] over all: float32, the shape of the queries."""
        ...

    def advance(self, count: int) -> None:
        """Count the `count` positions that every layer has put."""
        ...


class Forward(Protocol):
    """What reads tokens and gives logits: `Decoder`, or what was compiled from one."""

    spec: ModelSpec

    def __call__(self, tokens: Tensor, cache: Any, *, check: Check | None = None, all_logits: bool = False) -> Tensor:
        """As `Decoder.forward`."""
        ...


class DecoderLayer(nn.Module):
    """Attention and MLP, each with its norm before it and added to the residual stream."""

    def __init__(
        self,
        spec: ModelSpec,
        weights: Mapping[str, Weight],
        index: int,
        rope: RotaryPositions,
        device: torch.device,
    ) -> None:
        super().__init__()

        def linear(name: str) -> nn.Module:
            bias = weights.get(f"layers.{index}.{name}.bias")
            return _linear(weights[f"layers.{index}.{name}"], None if bias is None else _dense(bias), device)

        self.index = index
        self.head_dim = spec.head_dim
        self.rope = rope
        self.attention_norm = _norm(weights[f"layers.{index}.attention_norm"], spec, device)
        self.query, self.key, self.value = linear("query"), linear("key"), linear("value")
        self.attention_output = linear("attention_output")
        self.mlp_norm = _norm(weights[f"layers.{index}.mlp_norm"], spec, device)
        self.gate, self.up, self.down = linear("gate"), linear("up"), linear("down")

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], cache: CacheLike) -> Tensor:
        """x [T, hidden_size] to the same shape."""
        h = self.attention_norm(x)
        queries = self.rope.rotate(self._heads(self.query(h)), angles)
        keys = self.rope.rotate(self._heads(self.key(h)), angles)
        attended = cache.attend(self.index, queries, keys, self._heads(self.value(h)))
        x = x + self.attention_output(attended.transpose(0, 1).reshape(x.shape[0], -1))
        h = self.mlp_norm(x)
        down: Tensor = self.down(F.silu(self.gate(h)) * self.up(h))
        return x + down

    def _heads(self, projected: Tensor) -> Tensor:
        """[T, heads * head_dim] to [head, T, head_dim]."""
        return projected.view(projected.shape[0], -1, self.head_dim).transpose(0, 1)


class Decoder(nn.Module):
    """The whole model, from token ids to logits.

    Args:
        spec: what is built.
        weights: every tensor of `families.tensor_shapes(spec)`; matrices quantized or dense, the rest dense. Dense
            ones are held as float32. A quantized tied embedding is shared with the output matrix.
        device: of everything but the embedding. That stays where its weights are, as few of its rows are ever read.
        on_layer: called before each layer is built, and after the last, with how many are and their total; making
            weights ready for a kernel takes most of a load. What it raises passes through.

    Raises:
        BadWeights: a tensor is missing, is one too many, or has another shape than the spec says.
    """

    def __init__(
        self,
        spec: ModelSpec,
        weights: Mapping[str, Weight],
        *,
        device: torch.device | str = "cpu",
        on_layer: Callable[[int, int], None] | None = None,
    ) -> None:
        super().__init__()
        _check_shapes(spec, weights)
        self.spec = spec
        embedding = weights["embedding"]
        self.embedding = _embedding(embedding)
        self.device = device = torch.device(device)
        self.rope = RotaryPositions(spec.head_dim, spec.rope_theta, spec.rope_factors, device)
        self.layers = nn.ModuleList()
        for index in range(spec.num_layers):
            if on_layer is not None:
                on_layer(index, spec.num_layers)
            self.layers.append(DecoderLayer(spec, weights, index, self.rope, device))
        if on_layer is not None:
            on_layer(spec.num_layers, spec.num_layers)
        self.output_norm = _norm(weights["output_norm"], spec, device)
        self.output = _linear(embedding if spec.tied_embeddings else weights["output"], None, device)

    def forward(
        self, tokens: Tensor, cache: CacheLike, *, check: Check | None = None, all_logits: bool = False
    ) -> Tensor:
        """Read `tokens` (int64 [T], T > 0, where the embedding is) after what `cache` holds; it gets keys and values.

        Args:
            check: called before each layer; what it raises passes through, and the cache is as long as before.
            all_logits: the logits after every token, not only after the last.

        Returns:
            float32 [vocab_size], or [T, vocab_size] with `all_logits`.
        """
        angles = self.rope.at(cache.length, tokens.shape[0])
        x: Tensor = self.embedding(tokens).to(self.device)
        for layer in self.layers:
            if check is not None:
                check()
            x = layer(x, angles, cache)
        logits: Tensor = self.output(self.output_norm(x if all_logits else x[-1:]))
        cache.advance(tokens.shape[0])
        return logits if all_logits else logits[0]


class RMSNorm(nn.Module):
    """Root mean square norm (Zhang and Sennrich, 2019) over the last dimension.

    By way of the vector norm, as that is one pass: F.rms_norm takes 1.5 times as long for one token, twice for many.
    """

    def __init__(self, weight: Tensor, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.eps: Tensor
        self.register_buffer("eps", torch.tensor(eps, device=weight.device), persistent=False)
        self._share = 1 / weight.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        """float32 [T, hidden_size] to the same shape."""
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x * torch.addcmul(self.eps, norm, norm, value=self._share).rsqrt() * self.weight


def _check_shapes(spec: ModelSpec, weights: Mapping[str, Weight]) -> None:
    shapes = tensor_shapes(spec)
    if wrong := sorted(set(shapes) ^ set(weights)):
        raise BadWeights(f"The model's tensors do not match its description, for one {wrong[0]}.")
    for name, shape in shapes.items():
        if tuple(weights[name].shape) != shape:
            raise BadWeights(f"The tensor {name} has the shape {tuple(weights[name].shape)}, but must have {shape}.")


def _dense(weight: Weight) -> Tensor:
    return weight.dequantize() if isinstance(weight, QuantTensor) else weight.to(torch.float32)


def _norm(weight: Weight, spec: ModelSpec, device: torch.device) -> RMSNorm:
    return RMSNorm(_dense(weight).to(device), spec.rms_norm_eps)


def _linear(weight: Weight, bias: Tensor | None, device: torch.device) -> nn.Module:
    if isinstance(weight, QuantTensor):
        return QuantLinear(weight, bias, device)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(_dense(weight).to(device), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.to(device), requires_grad=False)
    return layer


def _embedding(weight: Weight) -> nn.Module:
    if isinstance(weight, QuantTensor):
        return QuantEmbedding(weight)
    layer = nn.Embedding(weight.shape[0], weight.shape[1], device="meta")
    layer.weight = nn.Parameter(_dense(weight), requires_grad=False)
    return layer
