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
from localchat.model import modules
from localchat.model.attention import AttentionRule, CacheLike
from localchat.model.families import tensor_shapes
from localchat.model.latent_attention import LatentAttention
from localchat.model.mlp import ACTIVATIONS, Expert, mixture, mlp_of
from localchat.model.modules import Weight
from localchat.model.norm import RMSNorm
from localchat.model.per_layer import Listening, PerLayerInputs
from localchat.model.recurrence import RECURRENCES
from localchat.model.rope import Angles, Rope, rotate
from localchat.model.spec import ModelSpec
from localchat.translation import _

__all__ = ["Check", "Decoder", "DecoderLayer", "Forward", "RMSNorm", "Weight"]

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
        linear, norm = (
            partial(modules.linear, own, device=device),
            partial(modules.norm_or_nothing, own, spec, device=device),
        )
        self.index = index
        self.parallel_residual = spec.parallel_residual
        self.residual_scale = spec.residual_scale
        self.attention_norm = norm("attention_norm")
        self.mix = RECURRENCES[spec.kind(index)](spec, own, index, device) if spec.recurs(index) else None
        self.latent = LatentAttention(spec, own, index, device) if spec.key_value_rank else None
        if self.mix is None and self.latent is None:
            self._make_attention(spec, own, device)
        self.post_attention_norm = norm("post_attention_norm")
        self.mlp_norm = norm("mlp_norm")
        self.activation = ACTIVATIONS[spec.activation]
        if spec.has_experts(index):
            self.mlp: Callable[[Any, Tensor], Tensor] = mixture
            self.router = linear("router")
            self.experts = nn.ModuleList(
                Expert(linear(f"experts.{e}.gate"), linear(f"experts.{e}.up"), linear(f"experts.{e}.down"), spec)
                for e in range(spec.num_experts)
            )
            self.experts_per_token = spec.experts_per_token
            self.normalize_expert_weights = spec.normalize_expert_weights
        else:
            self.mlp, self.gate_limit = mlp_of(spec), spec.gate_limit
            if spec.gated_mlp:
                self.gate = linear("gate")
            self.up, self.down = linear("up"), linear("down")
        self.post_mlp_norm = norm("post_mlp_norm")
        self.listening = Listening(spec, own, index, device) if spec.per_layer_size else None
        self.scale = float(modules.dense(own["scale"])) if spec.layer_scale else 1.0

    def _make_attention(self, spec: ModelSpec, own: Mapping[str, Weight], device: torch.device) -> None:
        linear, norm = (
            partial(modules.linear, own, device=device),
            partial(modules.norm_or_nothing, own, spec, device=device),
        )
        self.keys_of = spec.keys_of(self.index)
        self.head_dim = spec.layer_head_dim(self.index)
        sinks = modules.dense(own["sinks"]).to(device) if spec.attention_sinks else None
        self.rule = AttentionRule.of(spec, self.index, sinks)
        self.rotates = spec.positions == "rotary" and self.index not in spec.no_rope_layers
        self.angles_of = Angles._fields.index("sliding" if spec.is_sliding(self.index) else "full")
        self.norms_heads = spec.qk_norm == "head"
        self.query, self.query_norm = linear("query"), norm("query_norm")
        if self.keys_of == self.index:
            self.key, self.key_norm = linear("key"), norm("key_norm")
            self.value = linear("value") if "value" in own else None
            self.value_norm = (
                RMSNorm(torch.ones(self.head_dim, device=device), spec.rms_norm_eps)
                if spec.value_norm
                else nn.Identity()
            )
        self.attention_gate = linear("attention_gate") if spec.attention_gate else None
        self.attention_output = linear("attention_output")

    def forward(self, x: Tensor, angles: Angles, cache: CacheLike, told: Tensor | None = None) -> Tensor:
        """`x` float32 [T, hidden_size], angles of its positions, and what `PerLayerInputs` gives, where the model has
        that; returns the same shape as `x`."""
        h = self.attention_norm(x)
        mixed = self._attention(h, angles, cache) if self.mix is None else self.mix(h, cache)
        added = self.post_attention_norm(mixed)
        attended = torch.add(x, added, alpha=self.residual_scale)
        h = self.mlp_norm(x if self.parallel_residual else attended)
        x = torch.add(attended, self.post_mlp_norm(self.mlp(self, h)), alpha=self.residual_scale)
        if self.listening is not None:
            x = self.listening(x, told)
        return x if self.scale == 1 else x * self.scale

    def _attention(self, h: Tensor, angles: Angles, cache: CacheLike) -> Tensor:
        if self.latent is not None:
            latent: Tensor = self.latent(h, angles.full, cache)
            return latent
        queries, keys, values = self._normed(self.query(h), self.query_norm, angles), None, None
        if self.keys_of == self.index:
            projected = self.key(h)
            keys = self._normed(projected, self.key_norm, angles)
            values = self.value_norm(self._heads(projected if self.value is None else self.value(h)))
        attended = cache.attend(self.keys_of, queries, keys, values, self.rule)
        attended = attended.transpose(0, 1).reshape(h.shape[0], -1)
        if self.attention_gate is not None:
            attended = attended * self.attention_gate(h).sigmoid()
        output: Tensor = self.attention_output(attended)
        return output

    def _normed(self, projected: Tensor, norm: nn.Module, angles: Angles) -> Tensor:
        """Queries or keys as heads, each normed by itself, or all at once, or not at all, and turned."""
        heads: Tensor = norm(self._heads(projected)) if self.norms_heads else self._heads(norm(projected))
        return rotate(heads, angles[self.angles_of]) if self.rotates else heads

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
        self.embedding = modules.embedding(embedding)
        learned = spec.positions == "learned"
        self.position_embedding = modules.embedding(weights["position_embedding"]) if learned else None
        self.device = device = torch.device(device)
        self.per_layer = PerLayerInputs(spec, weights, device) if spec.per_layer_size else None
        self.rope = Rope(spec, device)
        self.layers = nn.ModuleList()
        for index in range(spec.num_layers):
            if on_layer is not None:
                on_layer(index, spec.num_layers)
            self.layers.append(DecoderLayer(spec, weights, index, device))
        if on_layer is not None:
            on_layer(spec.num_layers, spec.num_layers)
        self.output_norm = modules.norm(weights, spec, "output_norm", device=device)
        self.output = modules.linear({"output": embedding, **weights}, "output", device=device)

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
        told = None if self.per_layer is None else self.per_layer(tokens, x)
        for layer in self.layers:
            if check is not None:
                check()
            x = layer(x, angles, cache, told)
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
                    _("The context of {context_length} tokens is full.").format(
                        context_length=self.spec.context_length
                    ),
                    _("Start a new conversation, or shorten this one."),
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
        raise BadWeights(_("The model's tensors do not match its description, for one {wrong}.").format(wrong=wrong[0]))
    for name, shape in shapes.items():
        if tuple(weights[name].shape) != shape:
            raise BadWeights(
                _("The tensor {name} has the shape {shape}, but must have {wanted}.").format(
                    name=name, shape=tuple(weights[name].shape), wanted=shape
                )
            )
