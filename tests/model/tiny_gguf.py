"""Models of transformers as GGUF files, as llama.cpp's converter writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from tiny_gguf_recurrent import RECURRENT, of_recurrent, write_recurrent_metadata
from transformers import PreTrainedConfig, PreTrainedModel

Array = npt.NDArray[np.float32]

ARCHITECTURES = {
    "mistral": "llama",
    "qwen3_moe": "qwen3moe",
    "gemma3_text": "gemma3",
    "gpt_neox": "gptneox",
    "olmo3": "olmo2",
    "gpt_oss": "gpt-oss",
    "gemma4_text": "gemma4",
    "gemma4_unified_text": "gemma4",
    "qwen3_5_text": "qwen35",
}
_GEMMA4 = ("gemma4_text", "gemma4_unified_text")
_PERMUTED = ("llama", "mistral", "smollm3", "granite")


def write_gguf(model: PreTrainedModel, path: Path, matrix_type: str = "F32", **extra: float) -> Path:
    """The model as llama.cpp's converter writes it.

    Args:
        matrix_type: GGUF's name of the type of the matrices.
        extra: float metadata of the architecture, with underscores for dots.
    """
    config = model.config
    architecture = ARCHITECTURES.get(config.model_type, config.model_type)
    writer = gguf.GGUFWriter(path, architecture)
    if config.model_type in RECURRENT:
        write_recurrent_metadata(writer, config)
    else:
        own = dict.fromkeys(_GEMMA4, _write_gemma4) | {"minicpm3": _write_minicpm3}
        own.get(config.model_type, _write_metadata)(writer, config)
    for key, value in extra.items():
        writer.add_float32(f"{architecture}.{key.replace('_', '.')}", value)
    kind = next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(kind, config.num_hidden_layers)
    for theirs, tensor in model.state_dict().items():
        if theirs == "lm_head.weight" and config.tie_word_embeddings:
            continue
        for stem, suffix, values in _converted(config, theirs, tensor.numpy()):
            name = names.get_name(stem)
            dense = values.ndim == 1 or suffix == "bias" or name == "position_embd" or "conv" in name.split(".")[-1]
            type_name = "F32" if dense else matrix_type
            quantized = gguf.GGMLQuantizationType[type_name]
            ours = f"{name}.{suffix}".removesuffix(".")
            writer.add_tensor(ours, gguf.quantize(values, quantized), raw_dtype=quantized)
    if config.model_type == "phi3" and config.rope_parameters["rope_type"] == "longrope":
        for length in ("long", "short"):
            factors = np.array(config.rope_parameters[f"{length}_factor"], dtype=np.float32)
            writer.add_tensor(f"rope_factors_{length}.weight", factors)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _write_metadata(writer: gguf.GGUFWriter, config: PreTrainedConfig) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", 4 * config.hidden_size))
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    if hasattr(config, "num_key_value_heads"):
        writer.add_head_count_kv(config.num_key_value_heads)
    head_dim = config.hidden_size // config.num_attention_heads
    if getattr(config, "head_dim", None):
        head_dim = config.head_dim
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if hasattr(config, "rms_norm_eps"):
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        writer.add_layer_norm_eps(getattr(config, "layer_norm_eps", getattr(config, "layer_norm_epsilon", None)))
    if hasattr(config, "rope_parameters"):
        _write_rope(writer, config, head_dim)
    _write_what_is_special(writer, config)


def _write_minicpm3(writer: gguf.GGUFWriter, config: PreTrainedConfig) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_q_lora_rank(config.q_lora_rank)
    writer.add_kv_lora_rank(config.kv_lora_rank)
    writer.add_key_length(config.qk_nope_head_dim + config.qk_rope_head_dim)
    writer.add_rope_dimension_count(config.qk_rope_head_dim)


def _write_gemma4(writer: gguf.GGUFWriter, config: PreTrainedConfig) -> None:
    sliding = [kind == "sliding_attention" for kind in config.layer_types]
    full, local = (config.per_layer_config[sliding.index(each)] for each in (False, True))
    shared = config.num_kv_shared_layers
    widths = [config.intermediate_size * (1 + (i >= len(sliding) - shared)) for i in range(len(sliding))]
    heads = [(local if slides else full).num_key_value_heads for slides in sliding]
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(widths if config.use_double_wide_mlp else config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(heads if config.attention_k_eq_v else heads[0])
    for add in (writer.add_key_length, writer.add_value_length, writer.add_rope_dimension_count):
        add(full.head_dim)
    for add in (writer.add_key_length_swa, writer.add_value_length_swa, writer.add_rope_dimension_count_swa):
        add(local.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["full_attention"]["rope_theta"])
    writer.add_rope_freq_base_swa(config.rope_parameters["sliding_attention"]["rope_theta"])
    turning = int(full.head_dim * config.rope_parameters["full_attention"]["partial_rotary_factor"] / 2)
    factors = [1.0] * turning + [1e30] * (full.head_dim // 2 - turning)
    writer.add_tensor("rope_freqs.weight", np.array(factors, dtype=np.float32))
    writer.add_sliding_window(config.sliding_window)
    writer.add_sliding_window_pattern(sliding)
    writer.add_shared_kv_layers(shared)
    writer.add_embedding_length_per_layer_input(getattr(config, "hidden_size_per_layer_input", 0) or 0)
    if config.final_logit_softcapping:
        writer.add_final_logit_softcapping(config.final_logit_softcapping)


def _write_rope(writer: gguf.GGUFWriter, config: PreTrainedConfig, head_dim: int) -> None:
    rope = config.rope_parameters.get("full_attention", config.rope_parameters)
    writer.add_rope_freq_base(rope["rope_theta"])
    if local := config.rope_parameters.get("sliding_attention"):
        writer.add_rope_freq_base_swa(local["rope_theta"])
    writer.add_rope_dimension_count(int(head_dim * rope.get("partial_rotary_factor", 1.0)))
    if rope["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
        if "attention_factor" in rope:
            writer.add_rope_scaling_yarn_attn_factor(rope["attention_factor"])
    if rope["rope_type"] in ("yarn", "longrope"):
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if rope["rope_type"] == "longrope":
        original = rope["original_max_position_embeddings"]
        share = np.log(config.max_position_embeddings / original) / np.log(original)
        writer.add_rope_scaling_attn_factors(float(np.sqrt(1 + share)))


def _write_what_is_special(writer: gguf.GGUFWriter, config: PreTrainedConfig) -> None:
    if config.model_type in ("phi3", "gemma2", "gemma3_text", "olmo3", "gpt_oss", *_GEMMA4):
        writer.add_sliding_window(config.sliding_window or 0)
    if config.model_type == "olmo3":
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config.layer_types])
    if config.model_type == "granite":
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    if config.model_type == "gemma2" and config.attn_logit_softcapping:
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if config.model_type == "gpt_neox":
        writer.add_parallel_residual(config.use_parallel_residual)
    if config.model_type == "qwen3_moe":
        writer.add_expert_count(config.num_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    if config.model_type == "gpt_oss":
        writer.add_expert_count(config.num_local_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_feed_forward_length(config.intermediate_size)


def _converted(config: PreTrainedConfig, name: str, values: Array) -> Iterator[tuple[str, str, Array]]:
    """Stem of the name, suffix and values of each tensor that the converter makes of one."""
    if config.model_type in RECURRENT:
        yield from of_recurrent(config, name, values)
        return
    if config.model_type == "gpt_oss" and ("experts" in name or "sinks" in name):
        yield from _of_gpt_oss(name, values)
        return
    if name.endswith("experts.gate_up_proj"):  # [expert, gate above up, hidden_size]
        for part, half in zip(("gate_proj", "up_proj"), np.split(values, 2, axis=1), strict=True):
            yield name.replace("gate_up_proj", part), "weight", np.ascontiguousarray(half)
        return
    if name.endswith("experts.down_proj"):
        yield name, "weight", values
        return
    stem, suffix = (name, "weight") if name.endswith("layer_scalar") else name.rsplit(".", 1)
    if config.model_type in _PERMUTED and ".q_proj." in name:
        values = _permuted(values, config.num_attention_heads)
    if config.model_type in _PERMUTED and ".k_proj." in name:
        values = _permuted(values, config.num_key_value_heads)
    if config.model_type.startswith(("gemma2", "gemma3")) and stem.endswith("norm"):
        values = values + 1
    if config.model_type == "gpt2" and stem.endswith(("c_attn", "c_proj", "c_fc")) and suffix == "weight":
        values = np.ascontiguousarray(values.T)
    if stem.endswith("query_key_value"):  # [head, query then key then value, ...] to all queries, all keys, all values
        split = values.reshape(config.num_attention_heads, 3, -1, *values.shape[1:])
        values = np.ascontiguousarray(split.swapaxes(0, 1).reshape(values.shape))
    yield stem, suffix, values


def _of_gpt_oss(name: str, values: Array) -> Iterator[tuple[str, str, Array]]:
    """Experts [expert, in, out] with gates and ups by turns, their biases, and sinks."""
    suffix = "bias" if name.endswith("_bias") else "weight"
    stem, values = name.removesuffix("_bias"), values if values.ndim < 3 else values.swapaxes(1, 2)
    if not stem.endswith("gate_up_proj"):
        yield stem, suffix, np.ascontiguousarray(values)
        return
    for turn, part in enumerate(("gate_proj", "up_proj")):
        yield stem.replace("gate_up_proj", part), suffix, np.ascontiguousarray(values[:, turn::2])


def _permuted(rows: Array, heads: int) -> Array:
    """`LlamaModel.permute` of llama.cpp's converter."""
    split = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(rows.shape))
