"""Rope scaling: from the parameters of Hugging Face's configurations to factors that divide the frequencies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from localchat.errors import UnsupportedModel
from localchat.model.rope import inverse_frequencies
from localchat.translation import _

Factors = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RopeScaling:
    """What scaling adds to a `ModelSpec`: see there.

    Attributes:
        context_length: tokens that the model looks back on with it.
    """

    context_length: int
    factors: Factors | None = None
    attention_factor: float = 1.0
    long_factors: Factors | None = None
    original_context_length: int | None = None


def read_scaling(
    parameters: Mapping[str, Any], rotary_dim: int, theta: float, context_length: int, family: str
) -> RopeScaling:
    """What the `rope_scaling` or `rope_parameters` of a Hugging Face configuration means.

    Args:
        context_length: `max_position_embeddings`.

    Raises:
        UnsupportedModel: a kind of scaling, or a parameter of it, that is not understood.
    """
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    kind = "longrope" if kind == "su" else kind
    given = {key: value for key, value in parameters.items() if key not in _OF_ROPE and value is not None}
    if not isinstance(kind, str) or kind not in _NEEDED:
        raise UnsupportedModel(
            _("{family}: rope scaling of the kind {kind!r} is not known to this version.").format(
                family=family, kind=kind
            )
        )
    if unknown := sorted(set(given) - set(_NEEDED[kind]) - set(_OPTIONAL.get(kind, ()))):
        raise UnsupportedModel(
            _("{family}: {kind} rope scaling has unknown parameters: {unknown}.").format(
                family=family, kind=kind, unknown=", ".join(unknown)
            )
        )
    for key in (*_NEEDED[kind], *(key for key in _OPTIONAL.get(kind, ()) if key in given)):
        value = given.get(key)
        if key in _LISTS:
            _check_factors(
                value,
                rotary_dim // 2,
                _("{family}: {kind} rope scaling has {key}").format(family=family, kind=kind, key=key),
            )
        elif key == "truncate":
            if not isinstance(value, bool):
                raise UnsupportedModel(
                    _("{family}: {kind} rope scaling has {key} = {value!r}, not true or false.").format(
                        family=family, kind=kind, key=key, value=value
                    )
                )
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise UnsupportedModel(
                _("{family}: {kind} rope scaling has {key} = {value!r}, not a positive number.").format(
                    family=family, kind=kind, key=key, value=value
                )
            )
    plain = RopeScaling(context_length)
    if kind == "proportional":
        return replace(plain, factors=_proportional(rotary_dim, parameters.get("partial_rotary_factor", 1.0), **given))
    if kind == "linear":
        return replace(plain, factors=(float(given["factor"]),) * (rotary_dim // 2))
    if kind == "llama3":
        return replace(plain, factors=_llama3_factors(inverse_frequencies(rotary_dim, theta), **given))
    if kind == "yarn":
        return _yarn(plain, rotary_dim, theta, **given)
    if kind == "dynamic":
        return _dynamic(plain, rotary_dim, given["factor"], family)
    return _longrope(plain, **given) if kind == "longrope" else plain


_NEVER = 1e30  # as llama.cpp writes it
# The last two are of the places of images; a text's are the same in all their grids.
_OF_ROPE = ("rope_theta", "rope_type", "type", "partial_rotary_factor", "mrope_section", "mrope_interleaved")
_LISTS = ("short_factor", "long_factor")
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "proportional": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor",),
    "longrope": ("short_factor", "long_factor"),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}
_OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "default": ("original_max_position_embeddings",),  # Phi-3 writes it beside its sizes, scaled or not
    "proportional": ("factor",),
    "yarn": (
        *("original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale"),
        *("mscale_all_dim", "truncate"),
    ),
    "longrope": ("original_max_position_embeddings", "factor", "attention_factor"),
}


def _check_factors(value: object, wanted: int, what: str) -> None:
    if not isinstance(value, (list, tuple)) or len(value) != wanted:
        raise UnsupportedModel(_("{what} that are not {wanted} numbers.").format(what=what, wanted=wanted))
    if not all(isinstance(each, (int, float)) and 0 < each < math.inf for each in value):
        raise UnsupportedModel(_("{what} that are not all positive numbers.").format(what=what))


def _proportional(rotary_dim: int, share: float, factor: float = 1.0) -> Factors | None:
    """Gemma 4's: that share of the frequencies, the fast ones, and the others turn by next to nothing."""
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
        raise UnsupportedModel(
            _("proportional rope scaling has partial_rotary_factor = {share!r}, not a share.").format(share=share)
        )
    turning = int(share * rotary_dim // 2)
    factors = (float(factor),) * turning + (_NEVER,) * (rotary_dim // 2 - turning)
    return None if set(factors) == {1.0} else factors


def _llama3_factors(
    frequencies: Tensor,
    factor: float,
    low_freq_factor: float,
    high_freq_factor: float,
    original_max_position_embeddings: float,
) -> Factors:
    """Llama 3.1 scaling: slow frequencies are divided by `factor`, fast ones kept, those between interpolated.

    Source: the reference implementation of Meta's llama-models, `apply_scaling`.
    """
    if high_freq_factor <= low_freq_factor:
        raise UnsupportedModel(_("llama3 rope scaling has high_freq_factor not above low_freq_factor."))
    turns = original_max_position_embeddings * frequencies.double() / (2 * math.pi)  # within the original context
    smooth = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0)
    return tuple((1.0 / ((1 - smooth) / factor + smooth)).tolist())


def _yarn(
    plain: RopeScaling,
    rotary_dim: int,
    theta: float,
    factor: float,
    original_max_position_embeddings: float | None = None,
    attention_factor: float | None = None,
    beta_fast: float = 32.0,
    beta_slow: float = 1.0,
    mscale: float | None = None,
    mscale_all_dim: float | None = None,
    truncate: bool = True,
) -> RopeScaling:
    """YaRN (Peng et al., 2023, sections 3.2 and 3.4): frequencies that turn more than `beta_fast` times within the
    original context are kept, those below `beta_slow` divided by `factor`, a ramp over the channels between."""
    if theta <= 1:
        raise UnsupportedModel(_("yarn rope scaling means nothing with a rope_theta of {theta}.").format(theta=theta))
    original = original_max_position_embeddings or plain.context_length

    def channel(turns: float) -> float:
        return rotary_dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = channel(beta_fast), channel(beta_slow)
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rotary_dim - 1)
    high = high + 0.001 if low == high else high  # a step is a steep ramp
    slow = ((torch.arange(rotary_dim // 2).double() - low) / (high - low)).clamp(0.0, 1.0)
    if attention_factor is None:
        attention_factor = _magnitude(factor, 1.0)
        if mscale and mscale_all_dim:
            attention_factor = _magnitude(factor, mscale) / _magnitude(factor, mscale_all_dim)
    return replace(
        plain,
        context_length=max(plain.context_length, int(factor * original)),
        factors=tuple((1.0 / (slow / factor + 1 - slow)).tolist()),
        attention_factor=float(attention_factor),
    )


def _magnitude(factor: float, scale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0


def _dynamic(plain: RopeScaling, rotary_dim: int, factor: float, family: str) -> RopeScaling:
    """NTK-aware scaling by the length of the text (bloc97 and emozilla, 2023): up to the original context nothing is
    scaled; in a longer one the base grows as it must for a text of `factor` times that length, the longest we allow."""
    if rotary_dim < 4 or factor < 1:
        raise UnsupportedModel(
            _("{family}: dynamic rope scaling by {factor} over {rotary_dim} channels means nothing.").format(
                family=family, factor=factor, rotary_dim=rotary_dim
            )
        )
    original = plain.context_length
    longest = int(original * factor)
    growth = (factor * longest / original - (factor - 1)) ** (rotary_dim / (rotary_dim - 2))
    factors = tuple(growth ** (2 * i / rotary_dim) for i in range(rotary_dim // 2))
    return replace(plain, context_length=longest, long_factors=factors, original_context_length=original)


def _longrope(
    plain: RopeScaling,
    short_factor: list[float],
    long_factor: list[float],
    original_max_position_embeddings: float | None = None,
    factor: float | None = None,
    attention_factor: float | None = None,
) -> RopeScaling:
    """LongRoPE (Ding et al., 2024): factors that were searched for, one set for short contexts and one for long."""
    original = int(original_max_position_embeddings or plain.context_length)
    factor = factor or plain.context_length / original
    if attention_factor is None:
        attention_factor = 1.0 if factor <= 1 or original <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))
    return replace(
        plain,
        factors=tuple(map(float, short_factor)),
        attention_factor=float(attention_factor),
        long_factors=tuple(map(float, long_factor)),
        original_context_length=original,
    )
