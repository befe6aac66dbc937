"""What a source says about its model is understood, or refused by the name of the key."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from localchat.errors import BadWeights, UnsupportedModel
from localchat.model.configuration import (
    read_huggingface_config,
    read_recommended_sampling,
    spec_from_gguf,
    spec_from_huggingface,
)

# As published: https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct
SMOLLM2 = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 576,
    "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536,
    "is_llama_config": True,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "pad_token_id": 2,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_interleaved": False,
    "rope_scaling": None,
    "rope_theta": 100000,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}},
    "transformers_version": "4.42.3",
    "use_cache": True,
    "vocab_size": 49152,
}
QWEN2 = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "hidden_act": "silu",
    "hidden_size": 896,
    "initializer_range": 0.02,
    "intermediate_size": 4864,
    "max_position_embeddings": 32768,
    "max_window_layers": 21,
    "model_type": "qwen2",
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.43.1",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}


def test_published_configurations_are_understood() -> None:
    smol, qwen = spec_from_huggingface(SMOLLM2), spec_from_huggingface(QWEN2)
    assert (smol.head_dim, smol.rope_theta, smol.tied_embeddings, smol.attention_bias) == (64, 100000.0, True, False)
    assert (qwen.head_dim, qwen.rope_theta, qwen.tied_embeddings, qwen.attention_bias) == (64, 1000000.0, True, True)
    assert qwen.rope_factors is None


def test_old_configurations_without_newer_keys_get_what_those_mean() -> None:
    config = {key: value for key, value in SMOLLM2.items() if key not in ("num_key_value_heads", "rope_theta")}
    spec = spec_from_huggingface(config)
    assert (spec.num_key_value_heads, spec.rope_theta) == (9, 10000.0)


@pytest.mark.parametrize(
    ("base", "key", "value"),
    [
        (SMOLLM2, "attention_bias", True),
        (SMOLLM2, "mlp_bias", True),
        (SMOLLM2, "hidden_act", "gelu"),
        (SMOLLM2, "rope_interleaved", True),
        (SMOLLM2, "sliding_window", 4096),
        (SMOLLM2, "quantization_config", {"quant_method": "gptq"}),
        (SMOLLM2, "partial_rotary_factor", 0.5),
        (SMOLLM2, "final_logit_softcapping", 30.0),
        (SMOLLM2, "rope_scaling", {"rope_type": "yarn", "factor": 4.0}),
        (SMOLLM2, "rope_scaling", {"type": "linear", "factor": 4.0, "attention_factor": 1.2}),
        (SMOLLM2, "rope_scaling", {"type": "linear"}),
        (SMOLLM2, "rope_scaling", "linear"),
        (SMOLLM2, "num_hidden_layers", "30"),
        (SMOLLM2, "model_type", "mamba"),
        (QWEN2, "use_sliding_window", True),
        (QWEN2, "layer_types", ["full_attention", "sliding_attention"]),
        (QWEN2, "head_dim", 0),
    ],
)
def test_a_key_that_would_change_the_logits_is_refused_by_name(base: dict[str, Any], key: str, value: object) -> None:
    with pytest.raises(UnsupportedModel) as refusal:
        spec_from_huggingface(base | {key: value})
    named = value if key == "model_type" else key
    assert str(named) in str(refusal.value) or "rope scaling" in str(refusal.value)


def test_both_spellings_of_rope_scaling_are_read() -> None:
    old = spec_from_huggingface(SMOLLM2 | {"rope_scaling": {"type": "linear", "factor": 2.0}})
    new = spec_from_huggingface(
        SMOLLM2 | {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 100000.0}}
    )
    assert old == new
    assert old.rope_factors == (2.0,) * 32


@pytest.mark.parametrize("content", ["", "[1]", '{"model_type": '])
def test_a_config_that_is_no_json_object_is_refused_with_its_path(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(BadWeights, match=r"config\.json"):
        read_huggingface_config(tmp_path)


def test_recommended_sampling_keeps_what_is_allowed(tmp_path: Path) -> None:
    assert read_recommended_sampling(tmp_path) == {}
    given = {"temperature": 0.7, "top_k": 20, "top_p": 7.0, "repetition_penalty": 1.1, "do_sample": True}
    (tmp_path / "generation_config.json").write_text(json.dumps(given))
    assert read_recommended_sampling(tmp_path) == {"temperature": 0.7, "top_k": 20, "repetition_penalty": 1.1}


def _gguf(metadata: dict[str, Any] | None = None, tensors: dict[str, Any] | None = None) -> Any:
    facts = {
        "block_count": 2,
        "context_length": 512,
        "embedding_length": 48,
        "feed_forward_length": 80,
        "attention.head_count": 6,
        "attention.head_count_kv": 2,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10000.0,
        **(metadata or {}),
    }
    return SimpleNamespace(
        metadata={"general.architecture": "llama", **{f"llama.{key}": value for key, value in facts.items()}},
        tensors={"token_embd.weight": SimpleNamespace(shape=(97, 48)), **(tensors or {})},
        float32=lambda _: torch.tensor([1.0, 1.0, 2.0, 8.0]),
    )


def test_gguf_metadata_is_understood() -> None:
    spec = spec_from_gguf(_gguf({"rope.dimension_count": 8, "vocab_size": 97, "expert_count": np.uint32(0)}))
    assert (spec.vocab_size, spec.head_dim, spec.tied_embeddings, spec.rope_factors) == (97, 8, True, None)


def test_gguf_with_an_output_matrix_is_not_tied() -> None:
    assert not spec_from_gguf(_gguf(tensors={"output.weight": None})).tied_embeddings


def test_gguf_carries_llama_3_scaling_as_a_tensor() -> None:
    assert spec_from_gguf(_gguf(tensors={"rope_freqs.weight": None})).rope_factors == (1.0, 1.0, 2.0, 8.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rope.scaling.type", "yarn"),
        ("expert_count", 8),
        ("attention.sliding_window", 4096),
        ("attention.value_length", 16),
        ("rope.dimension_count", 4),
        ("attention.head_count", [6, 6]),
        ("logit_scale", 0.5),
    ],
)
def test_gguf_metadata_that_would_change_the_logits_is_refused(key: str, value: object) -> None:
    with pytest.raises(UnsupportedModel):
        spec_from_gguf(_gguf({key: value}))


def test_gguf_of_an_unknown_family_is_refused_by_its_name() -> None:
    with pytest.raises(UnsupportedModel, match="gemma3"):
        spec_from_gguf(SimpleNamespace(metadata={"general.architecture": "gemma3"}, tensors={}, float32=None))


def test_gguf_without_an_embedding_is_damaged() -> None:
    file = _gguf()
    del file.tensors["token_embd.weight"]
    with pytest.raises(BadWeights, match="token_embd"):
        spec_from_gguf(file)
