"""Tiny random models of transformers, the reference of the decoder's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
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


def save_checkpoint(model: PreTrainedModel, folder: Path) -> Path:
    """A Hugging Face checkpoint folder, as a user would have it."""
    model.save_pretrained(folder)
    return folder


def write_gguf(model: PreTrainedModel, path: Path, matrix_type: str = "F32", **extra: float) -> Path:
    """The model as llama.cpp's converter writes it: query and key rows of the llama family permuted.

    Args:
        matrix_type: GGUF's name of the type of the matrices.
        extra: float metadata of the architecture, with underscores for dots.
    """
    config, state = model.config, model.state_dict()
    name = config.model_type
    writer = gguf.GGUFWriter(path, name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if getattr(config, "head_dim", None):
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
        writer.add_rope_dimension_count(config.head_dim)
    for key, value in extra.items():
        writer.add_float32(f"{name}.{key.replace('_', '.')}", value)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[name.upper()], config.num_hidden_layers)
    for theirs, tensor in state.items():
        if theirs == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = tensor.numpy()
        if name == "llama" and ".q_proj." in theirs:
            values = _permuted(values, config.num_attention_heads)
        if name == "llama" and ".k_proj." in theirs:
            values = _permuted(values, config.num_key_value_heads)
        stem, suffix = theirs.rsplit(".", 1)
        kind = gguf.GGMLQuantizationType[matrix_type if tensor.ndim == 2 else "F32"]
        writer.add_tensor(f"{names.get_name(stem)}.{suffix}", gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _permuted(rows: np.ndarray, heads: int) -> np.ndarray:
    """`LlamaModel.permute` of llama.cpp's convert_hf_to_gguf.py."""
    split = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(rows.shape))
