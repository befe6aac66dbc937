"""What the numbers of a `ModelSpec` may be, and which of them contradict each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

from localchat.errors import UnsupportedModel
from localchat.translation import _

if TYPE_CHECKING:
    from localchat.model.spec import ModelSpec

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
_OPTIONAL_WHOLE_LIMITS = {"rotary_dim": 4096, "sliding_window": 1 << 26, "original_context_length": 1 << 26} | {
    "full_head_dim": 4096,
    "full_key_value_heads": 8192,
}
_KINDS = ("full", "sliding", "convolution", "linear")
_LINEAR = ("linear_key_heads", "linear_value_heads", "linear_key_dim", "linear_value_dim")
_EXPERT_LIMITS = {"num_experts": 4096, "experts_per_token": 4096, "expert_intermediate_size": 1 << 20}
_OF_LATENT = ("plain_head_dim", "value_head_dim")
_POSITIVE = (
    "rms_norm_eps",
    "rope_theta",
    "rope_attention_factor",
    "embedding_scale",
    "residual_scale",
    "logit_scale",
)
_OPTIONAL_POSITIVE = ("local_rope_theta", "attention_scale", "attention_softcap", "logit_softcap", "gate_limit")


def check_spec(spec: ModelSpec) -> None:
    """See `ModelSpec`.

    Raises:
        UnsupportedModel: the numbers contradict each other or are out of all proportion.
    """
    _check_values(spec)
    _check_rope(spec)
    _check_layers(spec)
    for heads in {spec.num_key_value_heads, spec.full_key_value_heads or spec.num_key_value_heads}:
        if spec.num_heads % heads:
            raise UnsupportedModel(
                _(
                    "The model has {num_heads} attention heads, which {heads} key/value heads cannot share evenly."
                ).format(num_heads=spec.num_heads, heads=heads)
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
        raise UnsupportedModel(
            _("The model's {name} is {value!r}, which is not a number from {low} to {high}.").format(
                name=name, value=value, low=low, high=high
            )
        )


def _is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


def _check_values(spec: ModelSpec) -> None:
    check_sizes({name: getattr(spec, name) for name in _WHOLE_LIMITS})
    for name, high in _OPTIONAL_WHOLE_LIMITS.items():
        if (value := getattr(spec, name)) is not None:
            _check_whole(name, value, 1, high)
    for name in ("shared_key_value_layers", "per_layer_size", "query_rank", "key_value_rank", *_OF_LATENT):
        _check_whole(name, getattr(spec, name), 0, 1 << 16)
    for name, high in _EXPERT_LIMITS.items():
        _check_whole(name, getattr(spec, name), 1 if spec.num_experts else 0, high)
    for name in (*_POSITIVE, *(each for each in _OPTIONAL_POSITIVE if getattr(spec, each) is not None)):
        if not _is_positive(value := getattr(spec, name)):
            raise UnsupportedModel(
                _("The model's {name} is {value!r}, which is not a positive number.").format(name=name, value=value)
            )
    for name, kind in get_type_hints(type(spec)).items():
        value = getattr(spec, name)
        if kind is bool and not isinstance(value, bool):
            raise UnsupportedModel(
                _("The model's {name} is {value!r}, which is not true or false.").format(name=name, value=value)
            )
        allowed = get_args(kind) if getattr(kind, "__origin__", None) is Literal else ()
        if allowed and value not in allowed:
            raise UnsupportedModel(
                _("The model's {name} is {value!r}, which is none of {allowed}.").format(
                    name=name, value=value, allowed=", ".join(allowed)
                )
            )


def _check_rope(spec: ModelSpec) -> None:
    head_dim = spec.full_head_dim or spec.head_dim
    if spec.turning_channels % 2 or spec.turning_channels > head_dim:
        raise UnsupportedModel(
            _(
                "The model turns {turning_channels} channels of its head_dim of {head_dim}; rotary "
                "positions need an even number of them."
            ).format(turning_channels=spec.turning_channels, head_dim=head_dim)
        )
    for name in ("rope_factors", "rope_long_factors"):
        factors, wanted = getattr(spec, name), spec.turning_channels // 2
        if factors is None:
            continue
        if not isinstance(factors, tuple) or not all(map(_is_positive, factors)):
            raise UnsupportedModel(_("The model's {name} are not a list of positive numbers.").format(name=name))
        if len(factors) != wanted:
            raise UnsupportedModel(
                _("The model has {count} {name} for {wanted} rope frequencies.").format(
                    count=len(factors), name=name, wanted=wanted
                )
            )
    if (spec.rope_long_factors is None) != (spec.original_context_length is None):
        raise UnsupportedModel(_("The model has only one of rope_long_factors and original_context_length."))


def _check_layers(spec: ModelSpec) -> None:
    kinds = spec.layer_kinds
    if kinds is not None:
        allowed = isinstance(kinds, tuple) and all(kind in _KINDS for kind in kinds)
        if not allowed or len(kinds) != spec.num_layers:
            raise UnsupportedModel(
                _("The model's layer_kinds are not one of {kinds} for every layer.").format(kinds=", ".join(_KINDS))
            )
        if "sliding" in kinds and spec.sliding_window is None:
            raise UnsupportedModel(_("The model has sliding layers, but no sliding_window."))
        if {"convolution", "linear"} & set(kinds) and spec.convolution_taps < 2:
            raise UnsupportedModel(_("The model has layers with convolutions, but no convolution_taps."))
        if "linear" in kinds:
            _check_linear(spec)
    for name in ("no_rope_layers", "dense_layers"):
        layers = getattr(spec, name)
        if not isinstance(layers, tuple) or not all(type(i) is int and 0 <= i < spec.num_layers for i in layers):
            raise UnsupportedModel(_("The model's {name} are not a list of its layers.").format(name=name))
    if spec.full_head_dim is not None and (spec.local_rope_theta is None or spec.rotary_dim is not None):
        raise UnsupportedModel(_("The model has heads of two sizes, but no rope of two kinds that turns all of them."))
    latent = spec.query_rank, spec.key_value_rank, spec.plain_head_dim, spec.value_head_dim
    if any(latent) and (
        not all(latent)
        or spec.head_dim != spec.key_value_rank + (spec.rotary_dim or 0)
        or spec.num_key_value_heads != 1
    ):
        raise UnsupportedModel(_("The model attends over latents, and the sizes of its heads contradict each other."))
    shared = spec.shared_key_value_layers
    if not 0 <= shared < spec.num_layers:
        raise UnsupportedModel(
            _("The model has {num_layers} layers, and {shared} that share what others keep.").format(
                num_layers=spec.num_layers, shared=shared
            )
        )
    own = spec.num_layers - shared
    if shared and kinds is not None and not set(kinds[own:]) <= set(kinds[:own]):
        raise UnsupportedModel(_("The model has layers that share keys, and none of their kind before them."))
    if spec.experts_per_token > spec.num_experts:
        raise UnsupportedModel(
            _("The model has {num_experts} experts, but wants {experts_per_token} for a token.").format(
                num_experts=spec.num_experts, experts_per_token=spec.experts_per_token
            )
        )


def _check_linear(spec: ModelSpec) -> None:
    if missing := [name for name in _LINEAR if not getattr(spec, name)]:
        raise UnsupportedModel(
            _("The model has layers of linear attention, but no {missing}.").format(missing=missing[0])
        )
    if spec.linear_value_heads % spec.linear_key_heads:
        raise UnsupportedModel(
            _(
                "The model has {linear_value_heads} value heads of linear attention, which {linear_key_heads} "
                "key heads cannot share evenly."
            ).format(linear_value_heads=spec.linear_value_heads, linear_key_heads=spec.linear_key_heads)
        )
