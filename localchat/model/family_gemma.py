"""Entries of the table of families: the Gemmas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from localchat.model.family import Family

WINDOW = frozenset({"attention.sliding_window", "attention.sliding_window_pattern"})
SANDWICHED_NORMS: Mapping[str, str] = {
    "post_attention_norm": "model.layers.{i}.post_attention_layernorm",
    "mlp_norm": "model.layers.{i}.pre_feedforward_layernorm",
    "post_mlp_norm": "model.layers.{i}.post_feedforward_layernorm",
}

_GEMMA: Mapping[str, Any] = {
    "gguf_reads": WINDOW | {"attn_logit_softcapping", "final_logit_softcapping", "rope.freq_base_swa"},
    "renamed": {"hidden_activation": "hidden_act"},
    "inert_keys": frozenset({"hidden_act", "cache_implementation"}),  # of which only the other name is used
    "embeds_by_root": True,
    "norm_offset": 1.0,
    "names": {"huggingface": SANDWICHED_NORMS},
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

GEMMA2 = Family(
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
GEMMA3 = Family(
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
_GEMMA4_ROPE = {
    "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1000000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
}
GEMMA4 = Family(
    "gemma4_text",
    "gemma4",
    spec={"post_norms": True, "activation": "gelu_tanh", "qk_norm": "head", "value_norm": True, "layer_scale": True}
    | {"attention_scale": 1.0},
    reads=frozenset({"sliding_window", "layer_types", "final_logit_softcapping", "use_bidirectional_attention"})
    | {"rope_local_base_freq", "global_head_dim", "num_global_key_value_heads", "per_layer_config", "attention_k_eq_v"}
    | {"num_kv_shared_layers", "use_double_wide_mlp", "hidden_size_per_layer_input", "vocab_size_per_layer_input"},
    renamed={"hidden_activation": "hidden_act"},
    defaults={"head_dim": 256, "global_head_dim": 512, "hidden_act": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6}
    | {"sliding_window": 512, "tie_word_embeddings": True, "rope_parameters": _GEMMA4_ROPE, "vocab_size": 262144}
    | {"attention_k_eq_v": False, "num_kv_shared_layers": 0, "use_double_wide_mlp": False}
    | {"hidden_size_per_layer_input": 256, "vocab_size_per_layer_input": 262144},
    inert_keys=frozenset({"hidden_act"}),  # of which only the other name is used
    gguf_reads=WINDOW
    | {"final_logit_softcapping", "rope.freq_base_swa", "rope.dimension_count", "rope.dimension_count_swa"}
    | {"attention.key_length_swa", "attention.value_length_swa", "attention.shared_kv_layers"}
    | {"embedding_length_per_layer_input"},
    sliding_pattern=6,
    embeds_by_root=True,
    names={
        "huggingface": {
            **SANDWICHED_NORMS,
            "per_layer_embedding": "model.embed_tokens_per_layer",
            "per_layer_projection": "model.per_layer_model_projection",
            "per_layer_norm": "model.per_layer_projection_norm",
            "beside_gate": "model.layers.{i}.per_layer_input_gate",
            "beside_output": "model.layers.{i}.per_layer_projection",
            "post_beside_norm": "model.layers.{i}.post_per_layer_input_norm",
            "scale": "model.layers.{i}.layer_scalar",
        },
        "gguf": {
            "per_layer_embedding": "per_layer_token_embd",
            "per_layer_projection": "per_layer_model_proj",
            "per_layer_norm": "per_layer_proj_norm",
            "beside_gate": "blk.{i}.inp_gate",
            "beside_output": "blk.{i}.proj",
            "post_beside_norm": "blk.{i}.post_norm",
            "scale": "blk.{i}.layer_output_scale",
        },
    },
    spellings=(("model.", "model.language_model."), ("model.", "language_model.model.")),
    wrapper="gemma4",
    spare_tensors=r"(model\.)?(vision_tower|audio_tower|embed_vision|embed_audio)\..*",
)
GEMMA4_UNIFIED = replace(
    GEMMA4,
    name="gemma4_unified_text",
    reads=GEMMA4.reads - {"hidden_size_per_layer_input", "vocab_size_per_layer_input"},
    defaults={**GEMMA4.defaults, "sliding_window": 1024},
    wrapper="gemma4_unified",
    spare_tensors=r"(model\.)?(vision_embedder|embed_vision|embed_audio)\..*",
)
