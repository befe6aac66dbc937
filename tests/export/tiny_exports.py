"""Tiny models with random weights, installed as a user would have them, for the tests of export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from localchat.model.configuration import spec_from_huggingface
from localchat.model.decoder import Weight
from localchat.model.families import tensor_shapes
from localchat.model.spec import ModelSpec
from localchat.model.stored import to_stored
from localchat.text.byte_letters import LETTER_OF_BYTE
from localchat.text.chat_template import CHATML, ChatTemplate
from localchat.text.chat_text import ChatText
from localchat.text.load import tokenizer_from_gguf
from localchat.weights.model_folder import write_model_folder
from quant import rtn
from quant.spec import QuantSpec

MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w", "1 2"]
CONTROL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
LETTERS = [LETTER_OF_BYTE[byte] for byte in range(256)]
TOKENS = [*LETTERS, *(merge.replace(" ", "") for merge in MERGES), *CONTROL]
VOCABULARY: dict[str, Any] = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "qwen2",
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.token_type": [3 if token in CONTROL else 1 for token in TOKENS],
    "tokenizer.ggml.merges": MERGES,
    "tokenizer.ggml.bos_token_id": TOKENS.index("<|endoftext|>"),
    "tokenizer.ggml.eos_token_id": TOKENS.index("<|im_end|>"),
}
ROWS = 288  # of the embedding: more than there are tokens, as models have it
SIZES: dict[str, Any] = {
    "vocab_size": ROWS,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama"},
    "llama, tied": {"model_type": "llama", "tie_word_embeddings": True},
    "llama 3 rope": {"model_type": "llama", "rope_scaling": LLAMA3},
    "llama, linear rope": {"model_type": "llama", "rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "qwen2": {"model_type": "qwen2", "rope_theta": 1e6},
    "qwen3": {"model_type": "qwen3"},
    "phi3": {"model_type": "phi3"},
    "granite": {
        "model_type": "granite",
        "embedding_multiplier": 6.0,
        "residual_multiplier": 0.3,
        "attention_multiplier": 0.2,
        "logits_scaling": 4.0,
    },
    "gemma2": {
        "model_type": "gemma2",
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 16,
        "sliding_window": 32,
        "tie_word_embeddings": True,
    },
    "olmo2": {"model_type": "olmo2"},
    "qwen3_moe": {
        "model_type": "qwen3_moe",
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "norm_topk_prob": True,
    },
}


def spec_of(name: str) -> ModelSpec:
    return spec_from_huggingface({**SIZES, **CONFIGS[name]})


def random_weights(spec: ModelSpec, held: Callable[[str], QuantSpec | None]) -> dict[str, Weight]:
    """Weights that matter; `held` says how a matrix is quantized."""
    random = torch.Generator().manual_seed(0)
    weights: dict[str, Weight] = {}
    for name, shape in tensor_shapes(spec).items():
        values = torch.randn(shape, generator=random)
        if len(shape) == 1:
            weights[name] = 0.3 * values + float(name.endswith("norm"))
            continue
        values *= 1.5 / shape[1] ** 0.5
        quantized = held(name)
        weights[name] = values if quantized is None else rtn.quantize(values, quantized)
    return weights


def install(folder: Path, spec: ModelSpec, weights: Mapping[str, Weight]) -> Path:
    """A model folder of ours."""
    tensors, layout = to_stored(weights)
    tokenizer = tokenizer_from_gguf(VOCABULARY)
    text = ChatText(tokenizer, ChatTemplate(CHATML, bos_token="<|endoftext|>", eos_token="<|im_end|>"))
    config = {
        "name": folder.name,
        "title": "Tiny",
        "licence": "mit",
        "sampling": {"temperature": 0.5},
        **spec.to_dict(),
    }
    figures = {"precision": "int4", "parameters": 1, "file_bytes": 1, "bits_per_weight": 4.0, "created_at": ""}
    write_model_folder(folder, config, tensors, {**figures, **layout}, text.files())
    return folder
