"""Entries of the table of families: mixtures of experts."""

from __future__ import annotations

from localchat.model.family import Family, Stacked

_EXPERTS = frozenset(
    {"num_experts", "num_experts_per_tok", "moe_intermediate_size", "norm_topk_prob"}
    | {"decoder_sparse_step", "mlp_only_layers"}
)
_ABOUT_EXPERTS = frozenset({"output_router_logits", "router_aux_loss_coef"})
_GGUF_EXPERTS = frozenset({"expert_count", "expert_used_count", "expert_feed_forward_length"})
QWEN3_MOE = Family(
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
_GPT_OSS_ROPE = {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "truncate": False}
GPT_OSS = Family(
    "gpt_oss",
    "gpt-oss",
    spec={
        "attention_sinks": True,
        "mlp_bias": True,
        "router_bias": True,
        "activation": "quick_gelu",
        "gate_limit": 7.0,
    },
    reads=frozenset({"num_experts", "num_experts_per_tok", "attention_bias", "sliding_window", "layer_types"})
    | {"swiglu_limit"},
    renamed={"num_local_experts": "num_experts"},
    defaults={"hidden_act": "quick_gelu", "attention_bias": True, "sliding_window": 128, "swiglu_limit": 7.0}
    | {"norm_topk_prob": True, "decoder_sparse_step": 1, "rope_theta": 150000.0, "rope_parameters": _GPT_OSS_ROPE},
    # Of its activation it says only what is usual; its other names say again what the first ones do.
    inert_keys=_ABOUT_EXPERTS | {"hidden_act", "experts_per_token", "initial_context_length"},
    gguf_defaults={"rope.scaling.yarn_truncate": False},  # which no file says
    gguf_reads=_GGUF_EXPERTS | {"attention.sliding_window"},
    sliding_pattern=2,
    names={
        "huggingface": {"router": "model.layers.{i}.mlp.router"},
        "gguf": {"mlp_norm": "blk.{i}.post_attention_norm"},
    },
    stacked={
        "huggingface": (
            Stacked("model.layers.{i}.mlp.experts.gate_up_proj", ("gate", "up"), True, ("", "_bias")),
            Stacked("model.layers.{i}.mlp.experts.down_proj", ("down",), True, ("", "_bias")),
        )
    },
)
