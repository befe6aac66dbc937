"""The table of families. A family is one entry of `FAMILIES`.

Everything else in this project asks the entry, never the family's name. `localchat.model.configuration` and
`localchat.model.gguf_configuration` read the sources' own descriptions into a `ModelSpec` with it, and
`localchat.model.families` says where each tensor lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from localchat.errors import UnsupportedModel
from localchat.model.family import Family, Fused
from localchat.model.family_gemma import GEMMA2, GEMMA3, GEMMA4, GEMMA4_UNIFIED, SANDWICHED_NORMS, WINDOW
from localchat.model.family_mixtures import GPT_OSS, QWEN3_MOE
from localchat.model.family_recurrent import LFM2, QWEN3_5
from localchat.translation import _

_BIASES = frozenset({"attention_bias", "mlp_bias"})
_QWEN_WINDOW = frozenset({"use_sliding_window", "sliding_window", "max_window_layers", "layer_types"})
_QKV = ("query", "key", "value")

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
_OLMO2 = Family(
    "olmo2",
    "olmo2",
    spec={"pre_norms": False, "post_norms": True, "qk_norm": "projection"},
    reads=frozenset({"attention_bias"}),
    gguf_reads=WINDOW | {"rope.freq_base_swa"},  # OLMo 3 has no architecture of its own
    sliding_pattern=4,
    names={"huggingface": SANDWICHED_NORMS},
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
_MINICPM3 = Family(
    "minicpm3",
    "minicpm3",
    reads=frozenset({"scale_emb", "scale_depth", "dim_model_base", "q_lora_rank", "kv_lora_rank"})
    | {"qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"},
    defaults={"scale_emb": 12, "scale_depth": 1.4, "dim_model_base": 256, "tie_word_embeddings": True},
    inert_keys=frozenset({"head_dim", "qk_head_dim", "mup_denominator"}),  # the others say how wide heads are
    gguf_reads=frozenset({"attention.q_lora_rank", "attention.kv_lora_rank", "rope.dimension_count"})
    | {"rope.scaling.attn_factor"},
    names={
        "huggingface": {
            "latent.query_down": "model.layers.{i}.self_attn.q_a_proj",
            "latent.query_norm": "model.layers.{i}.self_attn.q_a_layernorm",
            "latent.query_up": "model.layers.{i}.self_attn.q_b_proj",
            "latent.key_value_down": "model.layers.{i}.self_attn.kv_a_proj_with_mqa",
            "latent.key_value_norm": "model.layers.{i}.self_attn.kv_a_layernorm",
            "latent.key_value_up": "model.layers.{i}.self_attn.kv_b_proj",
            "latent.output": "model.layers.{i}.self_attn.o_proj",
        },
        "gguf": {
            "latent.query_down": "blk.{i}.attn_q_a",
            "latent.query_norm": "blk.{i}.attn_q_a_norm",
            "latent.query_up": "blk.{i}.attn_q_b",
            "latent.key_value_down": "blk.{i}.attn_kv_a_mqa",
            "latent.key_value_norm": "blk.{i}.attn_kv_a_norm",
            "latent.key_value_up": "blk.{i}.attn_kv_b",
            "latent.output": "blk.{i}.attn_output",
        },
    },
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
        *(_LLAMA, _MISTRAL, _QWEN2, _QWEN3, QWEN3_MOE, _PHI3, _SMOLLM3, _GRANITE, GEMMA2, GEMMA3, _OLMO2, _OLMO3),
        *(_MINICPM, _MINICPM3, _GPT2, _GPT_NEOX, GPT_OSS, GEMMA4, GEMMA4_UNIFIED, LFM2, QWEN3_5),
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
    return UnsupportedModel(
        _("This version runs the families {known}, but the model says it is {name!r}.").format(
            known=", ".join(known), name=name
        )
    )
