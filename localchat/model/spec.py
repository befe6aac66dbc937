"""ModelSpec: every fact about a model's architecture that the decoder needs, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal

from localchat.errors import UnsupportedModel
from localchat.model.spec_checks import check_spec
from localchat.translation import _


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
        wide_shared_mlp: the MLPs of `shared_key_value_layers` are twice as wide as the others.
        gate_limit: gate(x) is at most that, up(x) kept between it and minus it, and 1 added to up(x).
        value_norm: values are normed, each head by itself and without a weight.
        layer_scale: what a layer gives is multiplied by a number that it has.
        per_layer_size: channels of what every layer is told of each token beside what the layer before gives; 0 for
            nothing. It comes from an embedding of its own and from the usual one.
        parallel_residual: attention and MLP both read what the layer was given.
        rotary_dim: channels of a head that turn, the first ones: i with i + rotary_dim / 2. None turns all.
        rope_attention_factor: cosines and sines are multiplied by it.
        rope_long_factors: take the place of `rope_factors` in a context longer than `original_context_length` tokens:
            in all of it, from its first token on, or what is in the cache would not fit what comes after.
        layer_kinds: by layer, "full" or "sliding" attention, or what keeps a state in the place of keys and values: a
            short "convolution", or "linear" attention; None makes all full.
        convolution_taps: tokens that a convolution looks at, the newest included; linear attention begins with one.
        linear_key_heads, linear_value_heads: of linear attention; `linear_key_dim` and `linear_value_dim` are channels
            of each. Value heads that share a key head follow each other, unless `tiled_value_heads` says that those of
            different ones take turns.
        attention_gate: what attention gives is multiplied by the sigmoid of a projection of what it reads.
        sliding_window: tokens that a sliding layer sees, the newest included.
        local_rope_theta: base of the sliding layers, without any factors; None gives them what the others have.
        full_head_dim, full_key_value_heads: of full layers, where they differ from those that slide.
        keys_as_values: full layers have no value projection, but take their keys before norm and rope.
        shared_key_value_layers: the last layers, so many, have no keys and values of their own, but attend over those
            of the last layer of their kind that has.
        query_rank, key_value_rank: channels of the latents of which queries, keys and values are made; 0 where they
            are not. Then a head has `plain_head_dim` channels that rope leaves alone and `rotary_dim` that it turns,
            and a value has `value_head_dim`; `head_dim` is of the one head that is kept, latent and turned channels.
        no_rope_layers: layers by index that know nothing of positions.
        attention_scale: of the scores; None is head_dim ** -0.5.
        attention_sinks: every head has a score of its own, of nothing, that takes its share of the attention.
        attention_softcap, logit_softcap: c * tanh(x / c) of scaled scores, and of logits after `logit_scale`.
        embedding_scale, residual_scale, logit_scale: factors of the embedded tokens, of what every attention and MLP
            adds, and of the logits.
        num_experts: 0 where every MLP is dense. Otherwise `dense_layers` keep one of `intermediate_size`, and in the
            others a token goes through `experts_per_token` experts of `expert_intermediate_size`, weighted by the
            router's softmax over all experts, which `normalize_expert_weights` makes sum to 1 over the chosen ones. The
            router adds a bias where `router_bias` says so.

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
    activation: Literal["silu", "gelu_tanh", "gelu", "quick_gelu"] = "silu"
    gated_mlp: bool = True
    gate_limit: float | None = None
    wide_shared_mlp: bool = False
    value_norm: bool = False
    layer_scale: bool = False
    per_layer_size: int = 0
    parallel_residual: bool = False
    positions: Literal["rotary", "learned"] = "rotary"
    rotary_dim: int | None = None
    rope_attention_factor: float = 1.0
    rope_long_factors: tuple[float, ...] | None = None
    original_context_length: int | None = None
    layer_kinds: tuple[str, ...] | None = None
    sliding_window: int | None = None
    convolution_taps: int = 0
    linear_key_heads: int = 0
    linear_value_heads: int = 0
    linear_key_dim: int = 0
    linear_value_dim: int = 0
    tiled_value_heads: bool = False
    local_rope_theta: float | None = None
    full_head_dim: int | None = None
    full_key_value_heads: int | None = None
    keys_as_values: bool = False
    shared_key_value_layers: int = 0
    query_rank: int = 0
    key_value_rank: int = 0
    plain_head_dim: int = 0
    value_head_dim: int = 0
    no_rope_layers: tuple[int, ...] = ()
    attention_scale: float | None = None
    attention_sinks: bool = False
    attention_gate: bool = False
    attention_softcap: float | None = None
    logit_softcap: float | None = None
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    logit_scale: float = 1.0
    num_experts: int = 0
    experts_per_token: int = 0
    expert_intermediate_size: int = 0
    normalize_expert_weights: bool = True
    router_bias: bool = False
    dense_layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_spec(self)

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
        """Channels of a head, in full layers, that rope turns, when it does: `rotary_dim`, or all."""
        return self.rotary_dim or self.full_head_dim or self.head_dim

    @property
    def linear_key_size(self) -> int:
        """Channels of the keys of linear attention, and of its queries."""
        return self.linear_key_heads * self.linear_key_dim

    @property
    def linear_value_size(self) -> int:
        """Channels of the values of linear attention."""
        return self.linear_value_heads * self.linear_value_dim

    def kind(self, layer: int) -> str:
        """See `layer_kinds`."""
        return "full" if self.layer_kinds is None else self.layer_kinds[layer]

    def recurs(self, layer: int) -> bool:
        """Whether the layer keeps a state, and no keys and values."""
        return self.kind(layer) in ("convolution", "linear")

    @property
    def keeps_states(self) -> bool:
        """Whether any layer does."""
        return any(map(self.recurs, range(self.num_layers)))

    def is_sliding(self, layer: int) -> bool:
        """Whether the layer sees only the last `sliding_window` tokens."""
        return self.layer_kinds is not None and self.layer_kinds[layer] == "sliding"

    @property
    def layers_follow_each_other(self) -> bool:
        """Whether every layer reads nothing but what the one before it gives."""
        return not self.per_layer_size and not self.shared_key_value_layers

    def layer_head_dim(self, layer: int) -> int:
        """Channels of a head of the layer."""
        return self.head_dim if self.full_head_dim is None or self.is_sliding(layer) else self.full_head_dim

    def layer_key_value_heads(self, layer: int) -> int:
        """Heads of the keys and values that the layer keeps; 0 where it attends over another's, or not at all."""
        if self.keys_of(layer) != layer or self.recurs(layer):
            return 0
        full = self.full_key_value_heads
        return self.num_key_value_heads if full is None or self.is_sliding(layer) else full

    def layer_intermediate_size(self, layer: int) -> int:
        """Rows of the layer's gate and up, where its MLP is dense."""
        return self.intermediate_size * (2 if self.wide_shared_mlp and self.keys_of(layer) != layer else 1)

    def keys_of(self, layer: int) -> int:
        """The layer whose keys and values this one attends over: itself, unless it has none."""
        own = self.num_layers - self.shared_key_value_layers
        if layer < own:
            return layer
        return max(i for i in range(own) if self.is_sliding(i) == self.is_sliding(layer))

    def window(self, layer: int) -> int | None:
        """Tokens that the layer sees, the newest included; None for all."""
        return self.sliding_window if self.is_sliding(layer) else None

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
            raise UnsupportedModel(_("The model's config.json does not hold a table of values."))
        if unknown := sorted(set(data) - {field.name for field in fields(cls)}):
            raise UnsupportedModel(
                _("The model's config.json has keys that this version does not know: {unknown}.").format(
                    unknown=", ".join(map(str, unknown))
                ),
                _("Update localchat, or import the model again."),
            )
        needed = {field.name for field in fields(cls) if field.default is MISSING}
        if missing := sorted(needed - set(data)):
            raise UnsupportedModel(
                _("The model's config.json lacks {missing}.").format(missing=", ".join(missing)),
                _("Import the model again."),
            )
        values: dict[str, Any] = {key: tuple(each) if isinstance(each, list) else each for key, each in data.items()}
        return cls(**values)
