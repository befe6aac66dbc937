"""Contexts longer than a model was trained for, where its authors say how: rope scaling that is off until asked for.

Some models ship without scaling and say in their documentation that it may be added (Qwen2.5 and Qwen3: YaRN). Scaling
of that kind holds for every position, so it costs a little in short texts, which is why it is not always on. It is
applied when a longer context than the trained one is asked for, and no further than that context needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from localchat.errors import UnsupportedModel
from localchat.model.rope_scaling import read_scaling
from localchat.model.spec import ModelSpec
from localchat.translation import _

LONG_CONTEXT = "long_context"
"""Key of config.json: the parameters of the scaling, as Hugging Face's `rope_scaling` has them."""


def longest_context(spec: ModelSpec, declared: Any) -> int:
    """Tokens that the model may look back on when its scaling is at full strength.

    Args:
        declared: the value of `LONG_CONTEXT`; None where there is none.

    Raises:
        UnsupportedModel: it is not understood.
    """
    if declared is None:
        return spec.context_length
    factor, original = _parameters(spec, declared)
    return max(spec.context_length, int(factor * original))


def stretched(spec: ModelSpec, declared: Any, wanted: int | None) -> ModelSpec:
    """The spec for a context of `wanted` tokens: itself where it reaches that far, or where nothing longer is declared.

    Raises:
        UnsupportedModel: what is declared is not understood.
    """
    if wanted is None or wanted <= spec.context_length or declared is None:
        return spec
    factor, original = _parameters(spec, declared)
    context = min(wanted, longest_context(spec, declared))
    parameters = {**declared, "factor": min(factor, max(1.0, context / original))}
    scaling = read_scaling(parameters, spec.turning_channels, spec.rope_theta, spec.context_length, spec.family)
    return replace(
        spec, context_length=context, rope_factors=scaling.factors, rope_attention_factor=scaling.attention_factor
    )


def _parameters(spec: ModelSpec, declared: Any) -> tuple[float, int]:
    """Factor and original context of what is declared."""
    if not isinstance(declared, Mapping) or declared.get("rope_type") not in ("yarn", "linear"):
        raise UnsupportedModel(
            _("{family}: its long context is declared in a way that this version does not know.").format(
                family=spec.family
            )
        )
    if spec.rope_factors is not None or spec.rope_long_factors is not None:
        raise UnsupportedModel(_("{family}: its rope is scaled already.").format(family=spec.family))
    read_scaling(declared, spec.turning_channels, spec.rope_theta, spec.context_length, spec.family)
    return float(declared["factor"]), int(declared.get("original_max_position_embeddings") or spec.context_length)
