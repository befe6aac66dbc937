"""Tiny random models of transformers, the reference of the decoder's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    Gemma4TextConfig,
    Gemma4UnifiedTextConfig,
    GPT2Config,
    GPTNeoXConfig,
    GptOssConfig,
    GraniteConfig,
    Lfm2Config,
    LlamaConfig,
    MiniCPM3Config,
    MistralConfig,
    Olmo2Config,
    Olmo3Config,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3_5TextConfig,
    Qwen3Config,
    Qwen3MoeConfig,
    SmolLM3Config,
)

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 5000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
NO_TOKENS: dict[str, Any] = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
EVEN = SIZES | {"head_dim": 8}
PLAIN_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
LONGROPE = PLAIN_ROPE | {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.1, 1.3],
    "long_factor": [1.5, 3.0, 7.0],
    "original_max_position_embeddings": 64,
    "partial_rotary_factor": 0.75,
}
GEMMA_SIZES = (
    EVEN
    | {"num_hidden_layers": 4, "sliding_window": 24, "query_pre_attn_scalar": 8, "tie_word_embeddings": True}
    | NO_TOKENS
)
GEMMA3_ROPE = {
    "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 50000.0},
    "sliding_attention": PLAIN_ROPE,
}
GEMMA4 = (
    {key: value for key, value in GEMMA_SIZES.items() if key not in ("query_pre_attn_scalar", "rms_norm_eps")}
    | {"global_head_dim": 16, "hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 97}
    | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]}
)
MINICPM3 = (
    SIZES
    | {"num_key_value_heads": 6, "kv_lora_rank": 20, "q_lora_rank": 28, "qk_nope_head_dim": 10, "qk_rope_head_dim": 6}
    | {"tie_word_embeddings": True, **NO_TOKENS}
)
GPT_OSS_ROPE = PLAIN_ROPE | {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64}
GPT_OSS = (
    EVEN
    | {"num_local_experts": 6, "num_experts_per_tok": 2, "sliding_window": 24}
    | {"rope_parameters": GPT_OSS_ROPE | {"truncate": False}, **NO_TOKENS}
)
EXPERTS = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
LFM2 = (
    {key: value for key, value in SIZES.items() if key != "rms_norm_eps"}
    | NO_TOKENS
    | {"num_hidden_layers": 5, "tie_word_embeddings": True, "norm_eps": 1e-5, "block_multiple_of": 16}
    | {"layer_types": ["conv", "conv", "full_attention", "conv", "full_attention"]}
)
QWEN3_5 = (
    EVEN
    | NO_TOKENS
    | {"num_hidden_layers": 4, "head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
    | {"linear_key_head_dim": 32, "linear_value_head_dim": 48, "linear_conv_kernel_dim": 4}
    | {"rope_parameters": PLAIN_ROPE | {"partial_rotary_factor": 0.5, "mrope_section": [2, 1, 1]}}
)
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SIZES),
    "llama, tied, one key head a head": LlamaConfig(**SIZES | {"tie_word_embeddings": True, "num_key_value_heads": 6}),
    "llama, odd sizes, wide heads": LlamaConfig(
        **SIZES | {"hidden_size": 39, "intermediate_size": 51, "num_attention_heads": 3, "num_key_value_heads": 1},
        head_dim=22,
    ),
    "llama, biases everywhere, gelu": LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True, hidden_act="gelu"),
    "llama 3 rope": LlamaConfig(**SIZES, rope_parameters=LLAMA3_ROPE),
    "llama, linear rope": LlamaConfig(**SIZES, rope_parameters=PLAIN_ROPE | {"rope_type": "linear", "factor": 4.0}),
    "llama, yarn": LlamaConfig(
        **SIZES,
        rope_parameters=PLAIN_ROPE | {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64},
    ),
    "llama, yarn with all it has": LlamaConfig(
        **SIZES,
        rope_parameters=PLAIN_ROPE
        | {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64, "beta_fast": 16.0}
        | {"beta_slow": 2.0, "truncate": False, "mscale": 1.3, "mscale_all_dim": 0.7},
    ),
    "mistral": MistralConfig(**EVEN, sliding_window=24),
    "mistral, everything seen": MistralConfig(**EVEN, sliding_window=None),
    "qwen2": Qwen2Config(**SIZES, rope_parameters={"rope_type": "default", "rope_theta": 1e6}),
    "qwen2, tied, odd sizes": Qwen2Config(
        **SIZES
        | {"hidden_size": 42, "intermediate_size": 61, "num_attention_heads": 3, "num_key_value_heads": 1}
        | {"tie_word_embeddings": True}
    ),
    "qwen2, windows": Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=24, max_window_layers=1),
    "qwen3": Qwen3Config(**SIZES, head_dim=12),
    "qwen3_moe": Qwen3MoeConfig(**EVEN, **EXPERTS, norm_topk_prob=True),
    "qwen3_moe, mixed": Qwen3MoeConfig(**EVEN, **EXPERTS, norm_topk_prob=False, mlp_only_layers=[1]),
    "phi3": Phi3Config(**SIZES, **NO_TOKENS, original_max_position_embeddings=512, sliding_window=24),
    "phi3, longrope": Phi3Config(
        **SIZES, **NO_TOKENS, original_max_position_embeddings=64, rope_parameters=LONGROPE, sliding_window=None
    ),
    "smollm3": SmolLM3Config(**SIZES | {"num_hidden_layers": 4, "tie_word_embeddings": True}, **NO_TOKENS),
    "smollm3, other layers": SmolLM3Config(**SIZES, **NO_TOKENS, no_rope_layers=[0, 1, 0]),
    "granite": GraniteConfig(
        **SIZES,
        embedding_multiplier=3.0,
        residual_multiplier=0.4,
        attention_multiplier=0.2,
        logits_scaling=1.7,
    ),
    "gemma2": Gemma2Config(**GEMMA_SIZES, attn_logit_softcapping=5.0, final_logit_softcapping=4.0),
    "gemma2, uncapped": Gemma2Config(**GEMMA_SIZES, attn_logit_softcapping=None, final_logit_softcapping=None),
    "gemma3_text": Gemma3TextConfig(**GEMMA_SIZES | {"num_hidden_layers": 7}, rope_parameters=GEMMA3_ROPE),
    "gemma3_text, other layers": Gemma3TextConfig(
        **GEMMA_SIZES | {"query_pre_attn_scalar": 12, "tie_word_embeddings": False},
        layer_types=["sliding_attention", "full_attention", "full_attention", "sliding_attention"],
        rope_parameters=GEMMA3_ROPE,
    ),
    "gemma4_text": Gemma4TextConfig(
        **GEMMA4, attention_k_eq_v=True, num_global_key_value_heads=1, final_logit_softcapping=4.0
    ),
    "gemma4_text, inputs of every layer, shared keys": Gemma4TextConfig(
        **GEMMA4
        | {"num_hidden_layers": 7, "num_key_value_heads": 1, "hidden_size_per_layer_input": 12}
        | {"layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2 + ["full_attention"]},
        num_kv_shared_layers=3,
        use_double_wide_mlp=True,
    ),
    "gemma4_text, heads of one size": Gemma4TextConfig(
        **GEMMA4 | {"global_head_dim": 8, "tie_word_embeddings": False, "hidden_size_per_layer_input": 12}
    ),
    "gemma4_unified_text": Gemma4UnifiedTextConfig(
        **{key: value for key, value in GEMMA4.items() if "per_layer" not in key}, attention_k_eq_v=True
    ),
    "olmo2": Olmo2Config(**SIZES, **NO_TOKENS),
    "olmo3": Olmo3Config(
        **SIZES | {"num_hidden_layers": 5},
        **NO_TOKENS,
        sliding_window=24,
        rope_parameters={
            "full_attention": PLAIN_ROPE
            | {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64, "attention_factor": 1.3},
            "sliding_attention": PLAIN_ROPE,
        },
    ),
    "minicpm3": MiniCPM3Config(**MINICPM3, scale_emb=12, scale_depth=1.4, dim_model_base=256),
    "minicpm3, other sizes": MiniCPM3Config(
        **MINICPM3 | {"v_head_dim": 6, "tie_word_embeddings": False}, scale_emb=3.0, scale_depth=2.0, dim_model_base=24
    ),
    "minicpm3, longrope": MiniCPM3Config(
        **MINICPM3 | {"rope_parameters": LONGROPE | {"partial_rotary_factor": 1.0}},
        scale_emb=12,
        scale_depth=1.4,
        dim_model_base=256,
    ),
    "gpt_oss": GptOssConfig(**GPT_OSS),
    "gpt_oss, low limits, other layers": GptOssConfig(
        **GPT_OSS,
        swiglu_limit=0.5,
        attention_bias=False,
        layer_types=["full_attention", "sliding_attention", "full_attention"],
    ),
    "lfm2": Lfm2Config(**LFM2),
    "lfm2, otherwise": Lfm2Config(
        **LFM2 | {"layer_types": None, "tie_word_embeddings": False},
        full_attn_idxs=[0, 3],
        conv_L_cache=4,
        block_auto_adjust_ff_dim=False,
    ),
    "qwen3_5_text": Qwen3_5TextConfig(**QWEN3_5),
    "qwen3_5_text, a key head a value head": Qwen3_5TextConfig(
        **QWEN3_5
        | {"linear_num_key_heads": 4, "layer_types": ["full_attention", *["linear_attention"] * 2, "full_attention"]}
        | {"mtp_num_hidden_layers": 1}
    ),
    "gpt2": GPT2Config(vocab_size=97, n_embd=48, n_layer=3, n_head=6, n_positions=160, **NO_TOKENS),
    "gpt_neox": GPTNeoXConfig(
        **{key: value for key, value in SIZES.items() if key not in ("num_key_value_heads", "rms_norm_eps")},
        **NO_TOKENS,
        rope_parameters=PLAIN_ROPE | {"partial_rotary_factor": 0.25},
    ),
    "gpt_neox, one after the other": GPTNeoXConfig(
        **{key: value for key, value in SIZES.items() if key not in ("num_key_value_heads", "rms_norm_eps")},
        **NO_TOKENS,
        use_parallel_residual=False,
        rope_parameters=PLAIN_ROPE | {"partial_rotary_factor": 1.0},
    ),
}


def reference_model(config: PreTrainedConfig, seed: int = 0) -> PreTrainedModel:
    """Random weights large enough that every part of the model shows in the logits, biases and norms included."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.3 if parameter.ndim == 1 else 1.5 / parameter.shape[-1] ** 0.5
            parameter.copy_(torch.randn_like(parameter) * spread + _offset(config, name))
        for name, buffer in model.named_buffers():
            if name.endswith("layer_scalar"):
                buffer.copy_(0.5 + torch.rand_like(buffer))
    return model


def _offset(config: PreTrainedConfig, name: str) -> float:
    """Weights of norms are about 1; Gemma, until its fourth, and Qwen 3.5 add that 1 themselves."""
    is_norm = any(part in name for part in ("norm", ".ln_")) and name.endswith("weight")
    adds_it = config.model_type.startswith(("gemma2", "gemma3", "qwen3_5"))
    return float(is_norm and (not adds_it or name.endswith("linear_attn.norm.weight")))


def save_checkpoint(model: PreTrainedModel, folder: Path) -> Path:
    """A Hugging Face checkpoint folder, as a user would have it."""
    model.save_pretrained(folder)
    return folder
