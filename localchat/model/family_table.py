"""The table of families. A family is one entry of `FAMILIES`.

Everything else in this project asks the entry, never the family's name. `localchat.model.configuration` and
`localchat.model.gguf_configuration` read the sources' own descriptions into a `ModelSpec` with it, and
`localchat.model.families` says where each tensor lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from localchat.errors import UnsupportedModel
from localchat.model.family import Family, Fused

_BIASES = frozenset({"attention_bias", "mlp_bias"})
_WINDOW = frozenset({"attention.sliding_window", "attention.sliding_window_pattern"})
_QWEN_WINDOW = frozenset({"use_sliding_window", "sliding_window", "max_window_layers", "layer_types"})
_EXPERTS = frozenset(
    {"num_experts", "num_experts_per_tok", "moe_intermediate_size", "norm_topk_prob"}
    | {"decoder_sparse_step", "mlp_only_layers"}
)
_ABOUT_EXPERTS = frozenset({"output_router_logits", "router_aux_loss_coef"})
_GGUF_EXPERTS = frozenset({"expert_count", "expert_used_count", "expert_feed_forward_length"})
_QKV = ("query", "key", "value")

_SANDWICHED_NORMS = {
    "post_attention_norm": "model.layers.{i}.post_attention_layernorm",
    "mlp_norm": "model.layers.{i}.pre_feedforward_layernorm",
    "post_mlp_norm": "model.layers.{i}.post_feedforward_layernorm",
}
_GEMMA: Mapping[str, Any] = {
    "gguf_reads": _WINDOW | {"attn_logit_softcapping", "final_logit_softcapping", "rope.freq_base_swa"},
    "renamed": {"hidden_activation": "hidden_act"},
    "inert_keys": frozenset({"hidden_act", "cache_implementation"}),  # of which only the other name is used
    "embeds_by_root": True,
    "norm_offset": 1.0,
    "names": {"huggingface": _SANDWICHED_NORMS},
}
_GEMMA_READS = frozenset(
    {"attention_bias", "query_pre_attn_scalar", "sliding_window", "layer_types", "attn_logit_softcapping"}
    | {"final_logit_softcapping"}
)
_GEMMA_DEFAULTS: Mapping[str, Any] = {
    "head_dim": 256,
    "hidden_act": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "tie_word_embeddings": True,
}

_LLAMA = Family("llama", "llama", reads=_BIASES, gguf_interleaved=True)
_MISTRAL = Family(
    "mistral",
    "llama",
    reads=frozenset({"sliding_window"}),
    defaults={"sliding_window": 4096},
    gguf_interleaved=True,
    sliding_pattern=0,
)
_QWEN2 = Family(
    "qwen2",
    "qwen2",
    spec={"attention_bias": True},
    reads=_QWEN_WINDOW,
    defaults={"sliding_window": 4096, "max_window_layers": 28},
    inert_keys=frozenset({"attention_bias"}),  # it has its biases without a key
)
_QWEN3 = Family(
    "qwen3",
    "qwen3",
    spec={"qk_norm": "head"},
    reads=_QWEN_WINDOW | {"attention_bias"},
    defaults={"head_dim": 128, "sliding_window": 4096, "max_window_layers": 28},
)
_QWEN3_MOE = Family(
    "qwen3_moe",
    "qwen3moe",
    spec={"qk_norm": "head"},
    reads=_EXPERTS | {"attention_bias", "use_sliding_window", "sliding_window"},
    renamed={"num_local_experts": "num_experts"},
    defaults={"norm_topk_prob": False, "decoder_sparse_step": 1, "sliding_window": 4096},
    inert_keys=_ABOUT_EXPERTS | {"max_window_layers"},
    gguf_reads=_GGUF_EXPERTS,
    sliding_pattern=0,
)
_PHI3 = Family(
    "phi3",
    "phi3",
    reads=frozenset({"sliding_window", "partial_rotary_factor", "original_max_position_embeddings"}),
    inert_keys=frozenset({"resid_pdrop", "embd_pdrop"}),
    gguf_reads=frozenset({"attention.sliding_window", "rope.dimension_count", "rope.scaling.attn_factor"}),
    sliding_pattern=0,
    fused={
        "huggingface": (
            Fused("model.layers.{i}.self_attn.qkv_proj", _QKV),
            Fused("model.layers.{i}.mlp.gate_up_proj", ("gate", "up")),
        ),
        "gguf": (Fused("blk.{i}.attn_qkv", _QKV), Fused("blk.{i}.ffn_up", ("gate", "up"))),
    },
)
_SMOLLM3 = Family(
    "smollm3",
    "smollm3",
    reads=_BIASES | {"use_sliding_window", "sliding_window", "layer_types", "no_rope_layers", "no_rope_layer_interval"},
    defaults={"rope_theta": 2000000.0, "tie_word_embeddings": True, "no_rope_layer_interval": 4},
    inert_keys=frozenset({"max_window_layers"}),
    gguf_defaults={"no_rope_layer_interval": 4},  # which no file says
    gguf_interleaved=True,
)
_GRANITE = Family(
    "granite",
    "granite",
    reads=_BIASES | {"embedding_multiplier", "residual_multiplier", "attention_multiplier", "logits_scaling"},
    defaults={"attention_multiplier": 1.0},
    gguf_reads=frozenset({"attention.scale", "embedding_scale", "residual_scale", "logit_scale"}),
    gguf_interleaved=True,
)
_GEMMA2 = Family(
    "gemma2",
    "gemma2",
    spec={"post_norms": True, "activation": "gelu_tanh"},
    reads=_GEMMA_READS,
    defaults={**_GEMMA_DEFAULTS, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    gguf_defaults={"attention.sliding_window": 4096},
    gguf_layers_scaled_by_width=46,
    sliding_pattern=2,
    **_GEMMA,
)
_GEMMA3 = Family(
    "gemma3_text",
    "gemma3",
    spec={"post_norms": True, "activation": "gelu_tanh", "qk_norm": "head"},
    reads=_GEMMA_READS | {"rope_local_base_freq", "sliding_window_pattern"},
    # The published configurations that are wrapped say little of what is usual.
    defaults={**_GEMMA_DEFAULTS, "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0, "rms_norm_eps": 1e-6}
    | {"num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 131072, "vocab_size": 262208},
    gguf_defaults={"rope.freq_base_swa": 10000.0},
    gguf_layers_scaled_by_width=62,
    sliding_pattern=6,
    spellings=(("model.", "language_model.model."), ("model.", "model.language_model.")),
    wrapper="gemma3",
    spare_tensors=r"(model\.)?(vision_tower|multi_modal_projector)\..*",
    **_GEMMA,
)
_OLMO2 = Family(
    "olmo2",
    "olmo2",
    spec={"pre_norms": False, "post_norms": True, "qk_norm": "projection"},
    reads=frozenset({"attention_bias"}),
    gguf_reads=_WINDOW | {"rope.freq_base_swa"},  # OLMo 3 has no architecture of its own
    sliding_pattern=4,
    names={"huggingface": _SANDWICHED_NORMS},
)
_OLMO3 = replace(
    _OLMO2,
    name="olmo3",
    reads=frozenset({"attention_bias", "sliding_window", "layer_types", "rope_local_base_freq"}),
    defaults={"sliding_window": 4096},
)
_MINICPM = Family(
    "minicpm",
    "minicpm",
    reads=frozenset({"scale_emb", "scale_depth", "dim_model_base"}),
    inert_keys=frozenset({"mup_denominator"}),
    gguf_reads=frozenset({"embedding_scale", "residual_scale", "logit_scale"}),
    gguf_interleaved=True,
)
_GPT2 = Family(
    "gpt2",
    "gpt2",
    spec={"norm": "layer", "gated_mlp": False, "positions": "learned", "activation": "gelu_tanh"}
    | {"attention_bias": True, "attention_output_bias": True, "mlp_bias": True},
    renamed={
        "n_embd": "hidden_size",
        "n_layer": "num_hidden_layers",
        "n_head": "num_attention_heads",
        "n_positions": "max_position_embeddings",
        "n_inner": "intermediate_size",
        "activation_function": "hidden_act",
        "layer_norm_epsilon": "rms_norm_eps",
    },
    defaults={"hidden_act": "gelu_new", "tie_word_embeddings": True},
    inert_keys=frozenset(
        {"attn_pdrop", "embd_pdrop", "resid_pdrop", "n_ctx", "reorder_and_upcast_attn", "task_specific_params"}
        | {"summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj"}
    ),
    transposed=True,
    names={
        "huggingface": {
            "embedding": "transformer.wte",
            "position_embedding": "transformer.wpe",
            "attention_norm": "transformer.h.{i}.ln_1",
            "attention_output": "transformer.h.{i}.attn.c_proj",
            "mlp_norm": "transformer.h.{i}.ln_2",
            "up": "transformer.h.{i}.mlp.c_fc",
            "down": "transformer.h.{i}.mlp.c_proj",
            "output_norm": "transformer.ln_f",
        }
    },
    fused={
        "huggingface": (Fused("transformer.h.{i}.attn.c_attn", _QKV),),
        "gguf": (Fused("blk.{i}.attn_qkv", _QKV),),
    },
    spellings=(("transformer.", ""),),
)
_GPT_NEOX = Family(
    "gpt_neox",
    "gptneox",
    spec={"norm": "layer", "gated_mlp": False, "activation": "gelu", "parallel_residual": True}
    | {"attention_bias": True, "attention_output_bias": True, "mlp_bias": True},
    reads=frozenset({"attention_bias", "use_parallel_residual", "partial_rotary_factor"}),
    renamed={
        "layer_norm_eps": "rms_norm_eps",
        "rotary_pct": "partial_rotary_factor",
        "rotary_emb_base": "rope_theta",
    },
    defaults={"hidden_act": "gelu", "attention_bias": True, "partial_rotary_factor": 0.25},
    inert_keys=frozenset({"hidden_dropout", "classifier_dropout"}),
    gguf_reads=frozenset({"use_parallel_residual", "rope.dimension_count"}),
    names={
        "huggingface": {
            "embedding": "gpt_neox.embed_in",
            "attention_norm": "gpt_neox.layers.{i}.input_layernorm",
            "attention_output": "gpt_neox.layers.{i}.attention.dense",
            "mlp_norm": "gpt_neox.layers.{i}.post_attention_layernorm",
            "up": "gpt_neox.layers.{i}.mlp.dense_h_to_4h",
            "down": "gpt_neox.layers.{i}.mlp.dense_4h_to_h",
            "output_norm": "gpt_neox.final_layer_norm",
        }
    },
    fused={
        "huggingface": (Fused("gpt_neox.layers.{i}.attention.query_key_value", _QKV, by_head=True),),
        "gguf": (Fused("blk.{i}.attn_qkv", _QKV),),
    },
    spellings=(("lm_head.", "embed_out."),),
)

FAMILIES: Mapping[str, Family] = {
    entry.name: entry
    for entry in (
        *(_LLAMA, _MISTRAL, _QWEN2, _QWEN3, _QWEN3_MOE, _PHI3, _SMOLLM3, _GRANITE, _GEMMA2, _GEMMA3, _OLMO2, _OLMO3),
        *(_MINICPM, _GPT2, _GPT_NEOX),
    )
}


def family(name: object) -> Family:
    """The entry of that name, or the one that it wraps.

    Raises:
        UnsupportedModel: there is none.
    """
    for entry in FAMILIES.values():
        if name == entry.wrapper:
            return entry
    if not isinstance(name, str) or name not in FAMILIES:
        raise _unknown(sorted(FAMILIES), name)
    return FAMILIES[name]


def gguf_family(architecture: object) -> Family:
    """The entry that reads GGUF files of that architecture.

    Raises:
        UnsupportedModel: there is none.
    """
    for entry in FAMILIES.values():
        if entry.gguf == architecture:
            return entry
    raise _unknown(sorted({entry.gguf for entry in FAMILIES.values()}), architecture)


def _unknown(known: list[str], name: object) -> UnsupportedModel:
    return UnsupportedModel(f"This version runs the families {', '.join(known)}, but the model says it is {name!r}.")
