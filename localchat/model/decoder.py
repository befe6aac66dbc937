"""The one decoder: norms, rotary or learned positions, grouped-query attention, MLP; driven by a `ModelSpec`.

One sequence at a time, so there is no batch dimension: token ids are [T], hidden states [T, hidden_size], heads
[head, T, head_dim]. The residual stream is float32 whatever the weights are. Keys and values belong to the caller's
cache; the decoder keeps nothing of a conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from localchat.errors import BadWeights, ContextOverflow
from localchat.model.attention import AttentionRule, CacheLike
from localchat.model.families import tensor_shapes
from localchat.model.mlp import ACTIVATIONS, Expert, gated, mixture, plain
from localchat.model.norm import LayerNorm, RMSNorm
from localchat.model.rope import Angles, Rope, rotate
from localchat.model.spec import ModelSpec
from quant.linear import QuantEmbedding, QuantLinear
from quant.tensor import QuantTensor

Weight = Tensor | QuantTensor
Check = Callable[[], None]
"""Called often during long work; raises to abandon it."""


class Forward(Protocol):
    """What reads tokens and gives logits: `Decoder`, or what was compiled from one."""

    spec: ModelSpec

    def __call__(self, tokens: Tensor, cache: Any, *, check: Check | None = None, all_logits: bool = False) -> Tensor:
        """As `Decoder.forward`."""
        ...


class DecoderLayer(nn.Module):
    """Attention and MLP, each between its norms and added to the residual stream."""

    def __init__(
        self,
        spec: ModelSpec,
        weights: Mapping[str, Weight],
        index: int,
        device: torch.device,
    ) -> None:
        super().__init__()
        prefix = f"layers.{index}."
        own = {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
        linear, norm = partial(_linear, own, device=device), partial(_norm_or_nothing, own, spec, device=device)
        self.index = index
        self.head_dim = spec.head_dim
        self.rule = AttentionRule.of(spec, index)
        self.rotates = spec.positions == "rotary" and index not in spec.no_rope_layers
        self.angles_of = Angles._fields.index("sliding" if spec.is_sliding(index) else "full")
        self.norms_heads = spec.qk_norm == "head"
        self.parallel_residual = spec.parallel_residual
        self.residual_scale = spec.residual_scale
        self.attention_norm = norm("attention_norm")
        self.query, self.key, self.value = linear("query"), linear("key"), linear("value")
        self.query_norm, self.key_norm = norm("query_norm"), norm("key_norm")
        self.attention_output = linear("attention_output")
        self.post_attention_norm = norm("post_attention_norm")
        self.mlp_norm = norm("mlp_norm")
        self.activation = ACTIVATIONS[spec.activation]
        if spec.has_experts(index):
            self.mlp: Callable[[Any, Tensor], Tensor] = mixture
            self.router = linear("router")
            self.experts = nn.ModuleList(
                Expert(
                    linear(f"experts.{e}.gate"), linear(f"experts.{e}.up"), linear(f"experts.{e}.down"), self.activation
                )
                for e in range(spec.num_experts)
            )
            self.experts_per_token = spec.experts_per_token
            self.normalize_expert_weights = spec.normalize_expert_weights
        else:
            self.mlp = gated if spec.gated_mlp else plain
            if spec.gated_mlp:
                self.gate = linear("gate")
            self.up, self.down = linear("up"), linear("down")
        self.post_mlp_norm = norm("post_mlp_norm")

    def forward(self, x: Tensor, angles: Angles, cache: CacheLike) -> Tensor:
        """`x` float32 [T, hidden_size], angles of its positions; returns the same shape."""
        added = self.post_attention_norm(self._attention(self.attention_norm(x), angles, cache))
        attended = torch.add(x, added, alpha=self.residual_scale)
        h = self.mlp_norm(x if self.parallel_residual else attended)
        return torch.add(attended, self.post_mlp_norm(self.mlp(self, h)), alpha=self.residual_scale)

    def _attention(self, h: Tensor, angles: Angles, cache: CacheLike) -> Tensor:
        queries, keys = self.query(h), self.key(h)
        if self.norms_heads:
            queries, keys = self.query_norm(self._heads(queries)), self.key_norm(self._heads(keys))
        else:  # the whole projection, or not at all
            queries, keys = self._heads(self.query_norm(queries)), self._heads(self.key_norm(keys))
        if self.rotates:
            queries, keys = rotate(queries, angles[self.angles_of]), rotate(keys, angles[self.angles_of])
        attended = cache.attend(self.index, queries, keys, self._heads(self.value(h)), self.rule)
        output: Tensor = self.attention_output(attended.transpose(0, 1).reshape(h.shape[0], -1))
        return output

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
        self.position_embedding = _embedding(weights["position_embedding"]) if spec.positions == "learned" else None
        self.device = device = torch.device(device)
        self.rope = Rope(spec, device)
        self.layers = nn.ModuleList()
        for index in range(spec.num_layers):
            if on_layer is not None:
                on_layer(index, spec.num_layers)
            self.layers.append(DecoderLayer(spec, weights, index, device))
        if on_layer is not None:
            on_layer(spec.num_layers, spec.num_layers)
        self.output_norm = _norm(weights, spec, "output_norm", device=device)
        self.output = _linear({"output": embedding, **weights}, "output", device=device)

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
        angles = self.rope.at(cache.length, tokens.shape[0], cache.context_length)
        x = self.embed(tokens, cache.length).to(self.device)
        for layer in self.layers:
            if check is not None:
                check()
            x = layer(x, angles, cache)
        logits = self.logits(x if all_logits else x[-1:])
        cache.advance(tokens.shape[0])
        return logits if all_logits else logits[0]

    def embed(self, tokens: Tensor, position: int) -> Tensor:
        """What the first layer reads of `tokens` [T] from `position` on: float32 [T, hidden_size], where the embedding
        is.

        Raises:
            ContextOverflow: positions were learned, and not so many.
        """
        x: Tensor = self.embedding(tokens)
        if self.spec.embedding_scale != 1:
            x = x * self.spec.embedding_scale
        if self.position_embedding is not None:
            end = position + len(tokens)
            if end > self.spec.context_length:
                raise ContextOverflow(
                    f"The context of {self.spec.context_length} tokens is full.",
                    "Start a new conversation, or shorten this one.",
                )
            x = x + self.position_embedding(torch.arange(position, end))
        return x

    def logits(self, x: Tensor) -> Tensor:
        """float32 [T, vocab_size] of what the last layer gave."""
        logits: Tensor = self.output(self.output_norm(x))
        if self.spec.logit_scale != 1:
            logits = logits * self.spec.logit_scale
        if self.spec.logit_softcap is not None:
            logits = (logits / self.spec.logit_softcap).tanh() * self.spec.logit_softcap
        return logits


def _check_shapes(spec: ModelSpec, weights: Mapping[str, Weight]) -> None:
    shapes = tensor_shapes(spec)
    if wrong := sorted(set(shapes) ^ set(weights)):
        raise BadWeights(f"The model's tensors do not match its description, for one {wrong[0]}.")
    for name, shape in shapes.items():
        if tuple(weights[name].shape) != shape:
            raise BadWeights(f"The tensor {name} has the shape {tuple(weights[name].shape)}, but must have {shape}.")


def _dense(weight: Weight) -> Tensor:
    return weight.dequantize() if isinstance(weight, QuantTensor) else weight.to(torch.float32)


def _norm_or_nothing(weights: Mapping[str, Weight], spec: ModelSpec, name: str, *, device: torch.device) -> nn.Module:
    return _norm(weights, spec, name, device=device) if name in weights else nn.Identity()


def _norm(weights: Mapping[str, Weight], spec: ModelSpec, name: str, *, device: torch.device) -> RMSNorm | LayerNorm:
    weight = _dense(weights[name]).to(device)
    if spec.norm == "layer":
        return LayerNorm(weight, _dense(weights[f"{name}.bias"]).to(device), spec.rms_norm_eps)
    return RMSNorm(weight, spec.rms_norm_eps)


def _linear(weights: Mapping[str, Weight], name: str, *, device: torch.device) -> nn.Module:
    weight = weights[name]
    bias = _dense(weights[f"{name}.bias"]) if f"{name}.bias" in weights else None
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
