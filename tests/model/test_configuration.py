"""What a source says about its model is understood, or refused by the name of the key."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from published_configurations import PUBLISHED

from localchat.errors import BadWeights, UnsupportedModel
from localchat.model.attention import AttentionRule
from localchat.model.configuration import (
    read_huggingface_config,
    read_recommended_sampling,
    spec_from_huggingface,
)
from localchat.model.families import parameter_count
from localchat.model.gguf_configuration import spec_from_gguf

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
QWEN2: dict[str, Any] = {
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


PARAMETERS = {
    "Llama-3.2-1B": 1_235_814_400,
    "Mistral-7B-v0.1": 7_241_732_096,
    "Qwen3-0.6B": 596_049_920,
    "Qwen3-30B-A3B": 30_532_122_624,
    "Phi-4-mini-instruct": 3_836_021_760,
    "Phi-3-mini-4k-instruct": 3_821_079_552,
    "SmolLM3-3B": 3_075_098_624,
    "granite-3.3-2b-instruct": 2_533_539_840,
    "gemma-2-2b-it": 2_614_341_888,
    "gemma-3-1b-it": 999_885_952,
    "gemma-3-4b-it": 3_880_263_168,
    "OLMo-2-0425-1B": 1_484_916_736,
    "gpt-oss-20b": 20_914_757_184,
    "MiniCPM3-4B": 4_073_875_968,
    "gemma-4-E2B-it": 4_628_569_379,  # transformers counts the 35 scales of layers among its buffers
    "LFM2-1.2B": 1_170_340_608,
    "Qwen3.5-27B": 26_895_998_464,
    "gpt2": 124_439_808,
    "pythia-70m": 70_426_624,
}


def test_published_configurations_are_understood() -> None:
    smol, qwen = spec_from_huggingface(SMOLLM2), spec_from_huggingface(QWEN2)
    assert (smol.head_dim, smol.rope_theta, smol.tied_embeddings, smol.attention_bias) == (64, 100000.0, True, False)
    assert (qwen.head_dim, qwen.rope_theta, qwen.tied_embeddings, qwen.attention_bias) == (64, 1000000.0, True, True)
    assert qwen.rope_factors is None


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_has_as_many_parameters_as_transformers_counts(name: str) -> None:
    assert parameter_count(spec_from_huggingface(PUBLISHED[name])) == PARAMETERS[name]


def test_published_models_are_what_their_authors_say() -> None:
    specs = {name: spec_from_huggingface(config) for name, config in PUBLISHED.items()}
    assert specs["Llama-3.2-1B"].rope_factors is not None
    assert specs["Mistral-7B-v0.1"].layer_kinds == ("sliding",) * 32
    assert specs["Phi-3-mini-4k-instruct"].sliding_window == 2047
    phi4 = specs["Phi-4-mini-instruct"]
    assert (phi4.rotary_dim, phi4.original_context_length, phi4.layer_kinds) == (96, 4096, None)
    assert phi4.rope_attention_factor == pytest.approx((1 + math.log(32) / math.log(4096)) ** 0.5)
    assert specs["SmolLM3-3B"].no_rope_layers == tuple(range(3, 36, 4))
    assert specs["granite-3.3-2b-instruct"].attention_scale == 1 / 64
    assert AttentionRule.of(specs["gemma-2-2b-it"], 1) == AttentionRule(softcap=50.0)
    for name, every in (("gemma-2-2b-it", 2), ("gemma-3-1b-it", 6), ("gemma-3-4b-it", 6)):
        kinds = specs[name].layer_kinds or ()
        assert [i for i, kind in enumerate(kinds) if kind == "full"] == list(range(every - 1, len(kinds), every))
    assert (specs["gemma-3-4b-it"].rope_theta, specs["gemma-3-4b-it"].local_rope_theta) == (1e6, 1e4)
    gpt_oss = specs["gpt-oss-20b"]
    assert (gpt_oss.context_length, gpt_oss.rope_attention_factor) == (131072, pytest.approx(0.1 * math.log(32) + 1))
    assert (gpt_oss.gate_limit, gpt_oss.activation, gpt_oss.expert_intermediate_size) == (7.0, "quick_gelu", 2880)
    lfm2, qwen = specs["LFM2-1.2B"], specs["Qwen3.5-27B"]
    assert (lfm2.intermediate_size, lfm2.convolution_taps, lfm2.tied_embeddings) == (8192, 3, True)
    assert [i for i in range(16) if not lfm2.recurs(i)] == [2, 5, 8, 10, 12, 14]
    assert (qwen.linear_value_heads, qwen.rotary_dim, qwen.context_length) == (48, 64, 262144)
    assert qwen.attention_gate
    assert [qwen.kind(i) for i in range(4)] == ["linear", "linear", "linear", "full"]
    assert (specs["pythia-70m"].rotary_dim, specs["pythia-70m"].parallel_residual) == (16, True)


def test_old_configurations_without_newer_keys_get_what_those_mean() -> None:
    config = {key: value for key, value in SMOLLM2.items() if key not in ("num_key_value_heads", "rope_theta")}
    spec = spec_from_huggingface(config)
    assert (spec.num_key_value_heads, spec.rope_theta) == (9, 10000.0)


@pytest.mark.parametrize(
    ("base", "key", "value"),
    [
        (SMOLLM2, "attention_bias", "yes"),
        (SMOLLM2, "mlp_bias", 1),
        (SMOLLM2, "hidden_act", "relu"),
        (SMOLLM2, "rope_interleaved", True),
        (SMOLLM2, "sliding_window", 4096),
        (SMOLLM2, "quantization_config", {"quant_method": "gptq"}),
        (SMOLLM2, "partial_rotary_factor", 0.5),
        (SMOLLM2, "final_logit_softcapping", 30.0),
        (SMOLLM2, "rope_scaling", {"rope_type": "ntk", "factor": 4.0}),
        (SMOLLM2, "rope_scaling", {"rope_type": "yarn", "factor": 4.0, "extrapolation_factor": 1.0}),
        (SMOLLM2, "rope_scaling", {"rope_type": "yarn", "factor": 4.0, "truncate": 1}),
        (SMOLLM2, "rope_scaling", {"rope_type": "dynamic", "factor": 0.5}),
        (SMOLLM2, "rope_scaling", {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0] * 32}),
        (SMOLLM2, "rope_scaling", {"type": "linear", "factor": 4.0, "attention_factor": 1.2}),
        (SMOLLM2, "rope_scaling", {"type": "linear"}),
        (SMOLLM2, "rope_scaling", "linear"),
        (SMOLLM2, "num_hidden_layers", "30"),
        (SMOLLM2, "num_hidden_layers", 10**9),
        (SMOLLM2, "head_dim", 10**30),
        (SMOLLM2 | {"rope_theta": 1.0}, "rope_scaling", {"rope_type": "yarn", "factor": 4.0}),
        (PUBLISHED["gemma-3-1b-it"], "rope_parameters", {"full_attention": 3}),
        (PUBLISHED["gemma-3-1b-it"], "rope_parameters", {"sliding_attention": {"rope_type": "linear", "factor": 2.0}}),
        (PUBLISHED["gemma-3-1b-it"], "sliding_window_pattern", "6"),
        (PUBLISHED["gemma-3-1b-it"], "use_bidirectional_attention", True),
        (PUBLISHED["gemma-3-4b-it"], "text_config", {"model_type": "llama"}),
        (PUBLISHED["SmolLM3-3B"], "no_rope_layers", "none"),
        (PUBLISHED["Qwen3-30B-A3B"], "decoder_sparse_step", 0),
        (PUBLISHED["Qwen3-30B-A3B"], "num_experts_per_tok", 200),
        (PUBLISHED["Qwen3-30B-A3B"], "shared_expert_intermediate_size", 768),
        (PUBLISHED["gpt2"], "scale_attn_by_inverse_layer_idx", True),
        (PUBLISHED["pythia-70m"], "rotary_pct", 1.5),
        (SMOLLM2, "model_type", "mamba"),
        (QWEN2, "use_sliding_window", "yes"),
        (QWEN2, "layer_types", ["full_attention", "sliding_attention"]),
        (QWEN2 | {"use_sliding_window": True}, "layer_types", ["full_attention", "linear_attention"]),
        (QWEN2, "head_dim", 0),
    ],
)
def test_a_key_that_would_change_the_logits_is_refused_by_name(base: dict[str, Any], key: str, value: object) -> None:
    with pytest.raises(UnsupportedModel) as refusal:
        spec_from_huggingface(base | {key: value})
    named = {
        "model_type": str(value),
        "num_hidden_layers": "num_",
        "num_experts_per_tok": "expert",
        "rotary_pct": "rope",
    }
    assert named.get(key, key) in str(refusal.value) or "rope" in str(refusal.value)


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
        ("rope.scaling.type", "yarn"),  # without a factor
        ("rope.scaling.type", "dynamic"),
        ("block_count", 10**9),
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
    with pytest.raises(UnsupportedModel, match="mamba"):
        spec_from_gguf(SimpleNamespace(metadata={"general.architecture": "mamba"}, tensors={}, float32=None))


def test_gguf_without_an_embedding_is_damaged() -> None:
    file = _gguf()
    del file.tensors["token_embd.weight"]
    with pytest.raises(BadWeights, match="token_embd"):
        spec_from_gguf(file)
