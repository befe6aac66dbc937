"""ModelSpec: every fact about a model's architecture that the decoder needs, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

from localchat.errors import UnsupportedModel

_WHOLE_LIMITS = {
    "vocab_size": 4_000_000,
    "hidden_size": 1 << 18,
    "intermediate_size": 1 << 20,
    "num_layers": 4096,
    "num_heads": 8192,
    "num_key_value_heads": 8192,
    "head_dim": 4096,
    "context_length": 1 << 26,
}
_OPTIONAL_WHOLE_LIMITS = {"rotary_dim": 4096, "sliding_window": 1 << 26, "original_context_length": 1 << 26}
_EXPERT_LIMITS = {"num_experts": 4096, "experts_per_token": 4096, "expert_intermediate_size": 1 << 20}
_POSITIVE = (
    "rms_norm_eps",
    "rope_theta",
    "rope_attention_factor",
    "embedding_scale",
    "residual_scale",
    "logit_scale",
)
_OPTIONAL_POSITIVE = ("local_rope_theta", "attention_scale", "attention_softcap", "logit_softcap")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The architecture of one decoder.

    Attributes:
        family: key of the table in `localchat.model.family_table`.
        rms_norm_eps: of every norm, whichever kind it is.
        rope_factors: the rope frequencies are divided by these, one a frequency (`rotary_dim / 2`); None divides by
            nothing. Every kind of scaling is this; they differ only in how the factors are made.
        attention_bias: query, key and value projections add a bias; `attention_output_bias` is of the projection that
            follows attention, `mlp_bias` of gate, up and down.
        tied_embeddings: the output matrix is the embedding.
        context_length: tokens that the model was trained to look back on.
        norm: root mean square, or LayerNorm with a mean and a bias.
        pre_norms, post_norms: norms before attention and MLP, and after them (before the residual is added).
        qk_norm: queries and keys are normed, each head by itself or the whole projection at once.
        gated_mlp: down(activation(gate(x)) * up(x)); otherwise down(activation(up(x))).
        parallel_residual: attention and MLP both read what the layer was given.
        rotary_dim: channels of a head that turn, the first ones: i with i + rotary_dim / 2. None turns all.
        rope_attention_factor: cosines and sines are multiplied by it.
        rope_long_factors: take the place of `rope_factors` in a context longer than `original_context_length` tokens:
            in all of it, from its first token on, or what is in the cache would not fit what comes after.
        layer_kinds: "full" or "sliding" by layer; None makes all full.
        sliding_window: tokens that a sliding layer sees, the newest included.
        local_rope_theta: base of the sliding layers, without any factors; None gives them what the others have.
        no_rope_layers: layers by index that know nothing of positions.
        attention_scale: of the scores; None is head_dim ** -0.5.
        attention_softcap, logit_softcap: c * tanh(x / c) of scaled scores, and of logits after `logit_scale`.
        embedding_scale, residual_scale, logit_scale: factors of the embedded tokens, of what every attention and MLP
            adds, and of the logits.
        num_experts: 0 where every MLP is dense. Otherwise `dense_layers` keep one of `intermediate_size`, and in the
            others a token goes through `experts_per_token` experts of `expert_intermediate_size`, weighted by the
            router's softmax over all experts, which `normalize_expert_weights` makes sum to 1 over the chosen ones.

    Raises:
        UnsupportedModel: the numbers contradict each other or are out of all proportion.
    """

    family: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float
    context_length: int
    attention_bias: bool = False
    tied_embeddings: bool = False
    rope_factors: tuple[float, ...] | None = None
    norm: Literal["rms", "layer"] = "rms"
    pre_norms: bool = True
    post_norms: bool = False
    qk_norm: Literal["none", "head", "projection"] = "none"
    attention_output_bias: bool = False
    mlp_bias: bool = False
    activation: Literal["silu", "gelu_tanh", "gelu"] = "silu"
    gated_mlp: bool = True
    parallel_residual: bool = False
    positions: Literal["rotary", "learned"] = "rotary"
    rotary_dim: int | None = None
    rope_attention_factor: float = 1.0
    rope_long_factors: tuple[float, ...] | None = None
    original_context_length: int | None = None
    layer_kinds: tuple[str, ...] | None = None
    sliding_window: int | None = None
    local_rope_theta: float | None = None
    no_rope_layers: tuple[int, ...] = ()
    attention_scale: float | None = None
    attention_softcap: float | None = None
    logit_softcap: float | None = None
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    logit_scale: float = 1.0
    num_experts: int = 0
    experts_per_token: int = 0
    expert_intermediate_size: int = 0
    normalize_expert_weights: bool = True
    dense_layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self._check_values()
        self._check_rope()
        self._check_layers()
        if self.num_heads % self.num_key_value_heads:
            raise UnsupportedModel(
                f"The model has {self.num_heads} attention heads, which {self.num_key_value_heads} key/value heads "
                "cannot share evenly."
            )

    @property
    def query_size(self) -> int:
        """Rows of the query projection."""
        return self.num_heads * self.head_dim

    @property
    def key_value_size(self) -> int:
        """Rows of the key projection, and of the value projection."""
        return self.num_key_value_heads * self.head_dim

    @property
    def turning_channels(self) -> int:
        """Channels of a head that rope turns, when it does: `rotary_dim`, or all."""
        return self.rotary_dim or self.head_dim

    def is_sliding(self, layer: int) -> bool:
        """Whether the layer sees only the last `sliding_window` tokens."""
        return self.layer_kinds is not None and self.layer_kinds[layer] == "sliding"

    def has_experts(self, layer: int) -> bool:
        """Whether the layer's MLP is a mixture of experts."""
        return self.num_experts > 0 and layer not in self.dense_layers

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `config.json` of our model folders."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelSpec:
        """The inverse of `to_dict`; strict, as an unknown key may change the maths.

        Raises:
            UnsupportedModel: a key without a default is missing, one is unknown, or a value is not allowed.
        """
        if not isinstance(data, Mapping):
            raise UnsupportedModel("The model's config.json does not hold a table of values.")
        if unknown := sorted(set(data) - {field.name for field in fields(cls)}):
            raise UnsupportedModel(
                f"The model's config.json has keys that this version does not know: {', '.join(map(str, unknown))}.",
                "Update localchat, or import the model again.",
            )
        needed = {field.name for field in fields(cls) if field.default is MISSING}
        if missing := sorted(needed - set(data)):
            raise UnsupportedModel(f"The model's config.json lacks {', '.join(missing)}.", "Import the model again.")
        values: dict[str, Any] = {key: tuple(each) if isinstance(each, list) else each for key, each in data.items()}
        return cls(**values)

    def _check_values(self) -> None:
        check_sizes({name: getattr(self, name) for name in _WHOLE_LIMITS})
        for name, high in _OPTIONAL_WHOLE_LIMITS.items():
            if (value := getattr(self, name)) is not None:
                _check_whole(name, value, 1, high)
        for name, high in _EXPERT_LIMITS.items():
            _check_whole(name, getattr(self, name), 1 if self.num_experts else 0, high)
        for name in (*_POSITIVE, *(each for each in _OPTIONAL_POSITIVE if getattr(self, each) is not None)):
            if not _is_positive(value := getattr(self, name)):
                raise UnsupportedModel(f"The model's {name} is {value!r}, which is not a positive number.")
        for name, kind in get_type_hints(type(self)).items():
            value = getattr(self, name)
            if kind is bool and not isinstance(value, bool):
                raise UnsupportedModel(f"The model's {name} is {value!r}, which is not true or false.")
            allowed = get_args(kind) if getattr(kind, "__origin__", None) is Literal else ()
            if allowed and value not in allowed:
                raise UnsupportedModel(f"The model's {name} is {value!r}, which is none of {', '.join(allowed)}.")

    def _check_rope(self) -> None:
        if self.turning_channels % 2 or self.turning_channels > self.head_dim:
            raise UnsupportedModel(
                f"The model turns {self.turning_channels} channels of its head_dim of {self.head_dim}; rotary "
                "positions need an even number of them."
            )
        for name in ("rope_factors", "rope_long_factors"):
            factors, wanted = getattr(self, name), self.turning_channels // 2
            if factors is None:
                continue
            if not isinstance(factors, tuple) or not all(map(_is_positive, factors)):
                raise UnsupportedModel(f"The model's {name} are not a list of positive numbers.")
            if len(factors) != wanted:
                raise UnsupportedModel(f"The model has {len(factors)} {name} for {wanted} rope frequencies.")
        if (self.rope_long_factors is None) != (self.original_context_length is None):
            raise UnsupportedModel("The model has only one of rope_long_factors and original_context_length.")

    def _check_layers(self) -> None:
        kinds = self.layer_kinds
        if kinds is not None:
            allowed = isinstance(kinds, tuple) and all(kind in ("full", "sliding") for kind in kinds)
            if not allowed or len(kinds) != self.num_layers:
                raise UnsupportedModel("The model's layer_kinds are not one of full and sliding for every layer.")
            if "sliding" in kinds and self.sliding_window is None:
                raise UnsupportedModel("The model has sliding layers, but no sliding_window.")
        for name in ("no_rope_layers", "dense_layers"):
            layers = getattr(self, name)
            if not isinstance(layers, tuple) or not all(type(i) is int and 0 <= i < self.num_layers for i in layers):
                raise UnsupportedModel(f"The model's {name} are not a list of its layers.")
        if self.experts_per_token > self.num_experts:
            raise UnsupportedModel(
                f"The model has {self.num_experts} experts, but wants {self.experts_per_token} for a token."
            )


def check_sizes(sizes: Mapping[str, Any]) -> None:
    """Refuse sizes, under the names of `ModelSpec`, that no model has: before anything is made that is as large.

    Raises:
        UnsupportedModel: one is out of all proportion.
    """
    for name, value in sizes.items():
        if name in _WHOLE_LIMITS:
            _check_whole(name, value, 1, _WHOLE_LIMITS[name])


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UnsupportedModel(f"The model's {name} is {value!r}, which is not a number from {low} to {high}.")


def _is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf
