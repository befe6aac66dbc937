"""A `ModelSpec` as the config.json of a Hugging Face checkpoint: the inverse of `localchat.model.configuration`."""

from __future__ import annotations

from typing import Any

from localchat.errors import UnsupportedModel
from localchat.model.family_table import family
from localchat.model.spec import ModelSpec
from localchat.translation import _

_CLASSES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
    "granite": "GraniteForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
    "gpt_neox": "GPTNeoXForCausalLM",
}
_ACTIVATIONS = {"silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"}


def huggingface_config(spec: ModelSpec) -> dict[str, Any]:
    """What config.json says of the model. What it cannot say is not in it: read it back.

    Raises:
        UnsupportedModel: no class of transformers is known here that has its layers under the names that we write.
    """
    if spec.family not in _CLASSES:
        raise UnsupportedModel(
            _("Models of the family {family} cannot be exported as a Hugging Face checkpoint.").format(
                family=spec.family
            )
        )
    entry = family(spec.family)
    usual = {
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "intermediate_size": spec.intermediate_size,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": spec.num_heads,
        "num_key_value_heads": spec.num_key_value_heads,
        "head_dim": spec.head_dim,
        "hidden_act": _ACTIVATIONS[spec.activation],
        "rms_norm_eps": spec.rms_norm_eps,
        "max_position_embeddings": spec.context_length,
        "tie_word_embeddings": spec.tied_embeddings,
        **_rope(spec),
        **{key: value for key, value in _special(spec).items() if key in entry.reads},
    }
    own_names = {theirs: own for own, theirs in entry.renamed.items()}
    return {
        "architectures": [_CLASSES[spec.family]],
        "model_type": spec.family,
        **{own_names.get(key, key): value for key, value in usual.items()},
    }


def _special(spec: ModelSpec) -> dict[str, Any]:
    """Keys that only some families have."""
    scale = spec.head_dim**-0.5 if spec.attention_scale is None else spec.attention_scale
    kinds = spec.layer_kinds or ("full",) * spec.num_layers
    return {
        "attention_bias": spec.attention_bias,
        "mlp_bias": spec.mlp_bias,
        "use_parallel_residual": spec.parallel_residual,
        "embedding_multiplier": spec.embedding_scale,
        "residual_multiplier": spec.residual_scale,
        "logits_scaling": 1 / spec.logit_scale,
        "attention_multiplier": scale,
        "query_pre_attn_scalar": round(scale**-2),
        "attn_logit_softcapping": spec.attention_softcap,
        "final_logit_softcapping": spec.logit_softcap,
        "sliding_window": spec.sliding_window,
        "use_sliding_window": spec.sliding_window is not None,
        "layer_types": [f"{kind}_attention" for kind in kinds],
        "no_rope_layers": [int(i not in spec.no_rope_layers) for i in range(spec.num_layers)],
        "rope_local_base_freq": spec.local_rope_theta,
        "partial_rotary_factor": spec.turning_channels / spec.head_dim,
        **({"original_max_position_embeddings": spec.original_context_length} if spec.original_context_length else {}),
    }


def _rope(spec: ModelSpec) -> dict[str, Any]:
    """Base and scaling in the older spelling, which programs of either age read.

    One factor is linear scaling. Several are longrope, whatever searched or computed them: it alone lists its factors.
    """
    scaling: dict[str, Any] | None = None
    short, long = spec.rope_factors, spec.rope_long_factors
    if long is None and short is not None and len(set(short)) == 1 and spec.rope_attention_factor == 1:
        scaling = {"rope_type": "linear", "factor": short[0]}
    elif short is not None or long is not None or spec.rope_attention_factor != 1:
        plain, original = (1.0,) * (spec.turning_channels // 2), spec.original_context_length or spec.context_length
        scaling = {
            "rope_type": "longrope",
            "short_factor": list(short or plain),
            "long_factor": list(long or short or plain),
            "original_max_position_embeddings": original,
            "factor": spec.context_length / original,
            "attention_factor": spec.rope_attention_factor,
        }
    return {"rope_theta": spec.rope_theta, "rope_scaling": scaling}
