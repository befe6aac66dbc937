"""A `ModelSpec` as the metadata of a GGUF file: the inverse of `localchat.model.gguf_configuration`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from localchat.errors import UnsupportedModel
from localchat.model.family_table import family
from localchat.model.spec import ModelSpec
from localchat.translation import _

_READS_ROPE_FREQS = frozenset({"llama"})
_READS_LONG_FACTORS = frozenset({"phi3"})
"""Architectures for which llama.cpp reads tensors of rope factors."""


def rope_tensors(spec: ModelSpec) -> dict[str, Tensor]:
    """The tensors that say how the rope is scaled; none where the metadata can.

    Raises:
        UnsupportedModel: llama.cpp reads none of this architecture.
    """
    architecture, short, long = family(spec.family).gguf, spec.rope_factors, spec.rope_long_factors
    if long is not None and architecture in _READS_LONG_FACTORS:
        factors = {"rope_factors_long": long, "rope_factors_short": short or (1.0,) * len(long)}
    elif long is None and (short is None or len(set(short)) == 1):
        return {}
    elif long is None and short is not None and architecture in _READS_ROPE_FREQS:
        factors = {"rope_freqs": short}
    else:
        raise UnsupportedModel(
            _("llama.cpp cannot scale the rope of models of the family {family} as this does.").format(
                family=spec.family
            )
        )
    return {f"{name}.weight": torch.tensor(values, dtype=torch.float32) for name, values in factors.items()}


def architecture_metadata(spec: ModelSpec) -> dict[str, Any]:
    """The architecture's name and its keys. What it implies, and what it cannot say, is not in them."""
    entry = family(spec.family)
    norm = "rms_" if spec.norm == "rms" else ""
    keys: dict[str, Any] = {
        "block_count": spec.num_layers,
        "context_length": spec.context_length,
        "embedding_length": spec.hidden_size,
        "feed_forward_length": spec.intermediate_size,
        "attention.head_count": spec.num_heads,
        "attention.head_count_kv": spec.num_key_value_heads,
        "attention.key_length": spec.head_dim,
        "attention.value_length": spec.head_dim,
        f"attention.layer_norm_{norm}epsilon": spec.rms_norm_eps,
        "vocab_size": spec.vocab_size,
        **_rope(spec),
    }
    some = {
        "attention.scale": spec.attention_scale,
        "embedding_scale": spec.embedding_scale,
        "residual_scale": spec.residual_scale,
        "logit_scale": 1 / spec.logit_scale,
        "attn_logit_softcapping": spec.attention_softcap,
        "final_logit_softcapping": spec.logit_softcap,
        "attention.sliding_window": spec.sliding_window,
        "rope.freq_base_swa": spec.local_rope_theta,
        "use_parallel_residual": spec.parallel_residual,
        "expert_count": spec.num_experts,
        "expert_used_count": spec.experts_per_token,
        "expert_feed_forward_length": spec.expert_intermediate_size,
    }
    keys |= {key: value for key, value in some.items() if key in entry.gguf_reads and value is not None}
    return {"general.architecture": entry.gguf, **{f"{entry.gguf}.{key}": value for key, value in keys.items()}}


def _rope(spec: ModelSpec) -> dict[str, Any]:
    if spec.positions != "rotary":
        return {}
    keys: dict[str, Any] = {"rope.freq_base": spec.rope_theta, "rope.dimension_count": spec.turning_channels}
    factors = spec.rope_factors
    if spec.rope_long_factors is not None:
        keys |= {
            "rope.scaling.original_context_length": spec.original_context_length,
            "rope.scaling.attn_factor": spec.rope_attention_factor,
        }
    elif factors is not None and len(set(factors)) == 1:
        keys |= {"rope.scaling.type": "linear", "rope.scaling.factor": factors[0]}
    return keys
