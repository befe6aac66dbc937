"""What llama.cpp's converter makes of models whose layers keep states: their metadata and their tensors."""

from __future__ import annotations

from collections.abc import Iterator

import gguf
import numpy as np
import numpy.typing as npt
from transformers import PreTrainedConfig

Array = npt.NDArray[np.float32]

RECURRENT = ("lfm2", "qwen3_5_text")


def write_recurrent_metadata(writer: gguf.GGUFWriter, config: PreTrainedConfig) -> None:
    rope = config.rope_parameters
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    guessing = getattr(config, "mtp_num_hidden_layers", 0)
    writer.add_block_count(config.num_hidden_layers + guessing)
    writer.add_head_count(config.num_attention_heads)
    writer.add_rope_freq_base(rope["rope_theta"])
    if config.model_type == "lfm2":
        heads = config.num_key_value_heads
        writer.add_head_count_kv([heads if kind == "full_attention" else 0 for kind in config.layer_types])
        writer.add_vocab_size(config.vocab_size)
        writer.add_shortconv_l_cache(config.conv_L_cache)
        writer.add_layer_norm_rms_eps(config.norm_eps)
        width = int(config.block_ffn_dim_multiplier * int(2 * config.intermediate_size / 3))
        step = config.block_multiple_of
        writer.add_feed_forward_length(
            step * ((width + step - 1) // step) if config.block_auto_adjust_ff_dim else config.intermediate_size
        )
        return
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(int(config.head_dim * rope["partial_rotary_factor"]))
    writer.add_rope_dimension_sections([11, 11, 10, 0])
    writer.add_ssm_conv_kernel(config.linear_conv_kernel_dim)
    writer.add_ssm_state_size(config.linear_key_head_dim)
    writer.add_ssm_group_count(config.linear_num_key_heads)
    writer.add_ssm_time_step_rank(config.linear_num_value_heads)
    writer.add_ssm_inner_size(config.linear_value_head_dim * config.linear_num_value_heads)
    if guessing:
        writer.add_uint32(f"{writer.arch}.nextn_predict_layers", guessing)
        rows = np.zeros((config.hidden_size, 2 * config.hidden_size), dtype=np.float32)
        writer.add_tensor(f"blk.{config.num_hidden_layers}.nextn.eh_proj.weight", rows)
    recurrent = [kind == "linear_attention" for kind in config.layer_types] + [False] * guessing
    writer.add_array(f"{writer.arch}.attention.recurrent_layers", recurrent)
    writer.add_full_attention_interval(4)


def of_recurrent(config: PreTrainedConfig, name: str, values: Array) -> Iterator[tuple[str, str, Array]]:
    """Stem of the name, suffix and values of each tensor that the converter makes of one."""
    stem, suffix = name.rsplit(".", 1)
    if values.ndim == 3:  # a convolution, [channels, 1, taps]
        values = values.squeeze(1)
    if "linear_attn." in name:
        values = _turns(config, stem, suffix, values)
    if suffix == "A_log":
        stem, suffix, values = name, "", -np.exp(values)
    if suffix == "dt_bias":
        stem, suffix = f"{stem}.dt_proj", "bias"
    if config.model_type == "qwen3_5_text" and stem.endswith("norm") and not stem.endswith("linear_attn.norm"):
        values = values + 1
    yield stem, suffix, np.ascontiguousarray(values)


def _turns(config: PreTrainedConfig, stem: str, suffix: str, values: Array) -> Array:
    """The value heads in turns: one of every key head, then the next of every one."""
    size = config.linear_value_head_dim
    if stem.endswith("out_proj"):
        return _turned(config, values.T, size).T
    if stem.endswith(("in_proj_qkv", "conv1d")):
        keys = 2 * config.linear_key_head_dim * config.linear_num_key_heads
        return np.concatenate((values[:keys], _turned(config, values[keys:], size)))
    if stem.endswith("in_proj_z"):
        return _turned(config, values, size)
    if stem.endswith(("in_proj_a", "in_proj_b")) or suffix in ("A_log", "dt_bias"):
        return _turned(config, values, 1)
    return values


def _turned(config: PreTrainedConfig, rows: Array, size: int) -> Array:
    split = rows.reshape(config.linear_num_key_heads, -1, size, *rows.shape[1:])
    return split.swapaxes(0, 1).reshape(rows.shape)
