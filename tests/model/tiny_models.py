"""Tiny random models of transformers, the reference of the decoder's tests."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel, Qwen2Config

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
CONFIGS: dict[str, LlamaConfig | Qwen2Config] = {
    "llama": LlamaConfig(**SIZES),
    "llama, tied, one key head a head": LlamaConfig(**SIZES | {"tie_word_embeddings": True, "num_key_value_heads": 6}),
    "llama, odd sizes, wide heads": LlamaConfig(
        **SIZES | {"hidden_size": 39, "intermediate_size": 51, "num_attention_heads": 3, "num_key_value_heads": 1},
        head_dim=22,
    ),
    "llama 3 rope": LlamaConfig(**SIZES, rope_parameters=LLAMA3_ROPE),
    "llama, linear rope": LlamaConfig(
        **SIZES, rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
    ),
    "qwen2": Qwen2Config(**SIZES, rope_parameters={"rope_type": "default", "rope_theta": 1e6}),
    "qwen2, tied, odd sizes": Qwen2Config(
        **SIZES
        | {"hidden_size": 42, "intermediate_size": 61, "num_attention_heads": 3, "num_key_value_heads": 1}
        | {"tie_word_embeddings": True}
    ),
}


def reference_model(config: LlamaConfig | Qwen2Config, seed: int = 0) -> PreTrainedModel:
    """Random weights large enough that every part of the model shows in the logits, biases and norms included."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.3 if parameter.ndim == 1 else 1.5 / parameter.shape[-1] ** 0.5
            parameter.copy_(torch.randn_like(parameter) * spread + float("norm" in name))
    return model
