"""What sources say of layers that keep a state in the place of keys and values: which they are, and of what size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from localchat.errors import UnsupportedModel
from localchat.model.configuration_values import number, truth, whole, whole_list
from localchat.model.family import GUESSING_LAYERS, Family
from localchat.translation import _

RECURRENT_KEYS = frozenset({"conv_L_cache", "linear_conv_kernel_dim"})
"""Keys of which a family with such layers reads one, in Hugging Face configurations."""
RECURRENT_GGUF_KEYS = frozenset({"shortconv.l_cache", "ssm.conv_kernel"})
"""The same of GGUF files."""

_KINDS = {"full_attention": "full", "conv": "convolution", "linear_attention": "linear"}


def recurrent_fields(values: Mapping[str, Any], entry: Family, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Their fields of the spec, from the configuration of a checkpoint."""
    count, kinds = fields["num_layers"], values.get("layer_types")
    own = "conv" if "conv_L_cache" in entry.reads else "linear_attention"
    if kinds is None:
        full = _full_layers(values, entry, count)
        kinds = ["full_attention" if i in full else own for i in range(count)]
    allowed = "full_attention", own
    if not isinstance(kinds, list) or len(kinds) != count or not set(map(str, kinds)) <= set(allowed):
        raise UnsupportedModel(
            _("{family}: layer_types = {kinds!r} are not {allowed} for every layer.").format(
                family=entry.name, kinds=kinds, allowed=_(" or ").join(allowed)
            )
        )
    layer_kinds = tuple(_KINDS[kind] for kind in kinds)
    if own == "conv":
        return {
            "layer_kinds": layer_kinds,
            "convolution_taps": whole(values, "conv_L_cache", entry),
            "intermediate_size": _adjusted_width(values, entry, fields["intermediate_size"]),
        }
    if not truth(values, "attn_output_gate", entry):
        raise UnsupportedModel(
            _("{family}: attention without an attn_output_gate is not supported.").format(family=entry.name)
        )
    return {
        "layer_kinds": layer_kinds,
        "convolution_taps": whole(values, "linear_conv_kernel_dim", entry),
        "linear_key_heads": whole(values, "linear_num_key_heads", entry),
        "linear_value_heads": whole(values, "linear_num_value_heads", entry),
        "linear_key_dim": whole(values, "linear_key_head_dim", entry),
        "linear_value_dim": whole(values, "linear_value_head_dim", entry),
    }


def _full_layers(values: Mapping[str, Any], entry: Family, count: int) -> list[int]:
    if "full_attn_idxs" in entry.reads:
        listed = whole_list(values, "full_attn_idxs", entry)
        return list(range(count)) if listed is None else listed
    step = whole(values, "full_attention_interval", entry)
    return [i for i in range(count) if step > 0 and (i + 1) % step == 0]


def _adjusted_width(values: Mapping[str, Any], entry: Family, width: int) -> int:
    """Of the MLP: what the configuration says is that of one without a gate and as many weights."""
    if not truth(values, "block_auto_adjust_ff_dim", entry):
        return width
    width = int(number(values, "block_ffn_dim_multiplier", entry) * int(2 * width / 3))
    step = whole(values, "block_multiple_of", entry)
    if step < 1:
        raise UnsupportedModel(_("{family}: block_multiple_of is {step}.").format(family=entry.name, step=step))
    return -(-width // step) * step


def gguf_recurrent(values: Mapping[str, Any], entry: Family) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metadata of a GGUF file as that of its layers with attention alone, and the fields of the spec that say which
    they are and what the others have."""
    written = whole(values, "block_count", entry)
    count = written - whole(values, GUESSING_LAYERS, entry, 0)
    if "shortconv.l_cache" in entry.gguf_reads:
        heads = values.get("attention.head_count_kv")
        if not isinstance(heads, (list, np.ndarray)) or len(heads) != count or len({int(n) for n in heads} - {0}) != 1:
            raise UnsupportedModel(
                _("{family}: attention.head_count_kv is not one number or 0 for every layer.").format(family=entry.name)
            )
        taps = whole(values, "shortconv.l_cache", entry)
        layer_kinds = tuple("full" if each else "convolution" for each in heads)
        return {**values, "attention.head_count_kv": int(max(heads))}, {
            "layer_kinds": layer_kinds,
            "convolution_taps": taps,
        }
    value_heads, inner = whole(values, "ssm.time_step_rank", entry), whole(values, "ssm.inner_size", entry)
    if value_heads < 1 or inner % value_heads:
        raise UnsupportedModel(
            _("{family}: ssm.inner_size is no multiple of ssm.time_step_rank.").format(family=entry.name)
        )
    return {**values, "block_count": count}, {
        "layer_kinds": _linear_layers(values, entry, written)[:count],
        "convolution_taps": whole(values, "ssm.conv_kernel", entry),
        "linear_key_heads": whole(values, "ssm.group_count", entry),
        "linear_value_heads": value_heads,
        "linear_key_dim": whole(values, "ssm.state_size", entry),
        "linear_value_dim": inner // value_heads,
        "tiled_value_heads": True,
    }


def _linear_layers(values: Mapping[str, Any], entry: Family, count: int) -> tuple[str, ...]:
    listed = values.get("attention.recurrent_layers")
    if listed is None:
        step = whole(values, "full_attention_interval", entry, 4)
        listed = [step < 1 or (i + 1) % step != 0 for i in range(count)]
    if not isinstance(listed, (list, np.ndarray)) or len(listed) != count:
        raise UnsupportedModel(
            _("{family}: attention.recurrent_layers is not one truth for every layer.").format(family=entry.name)
        )
    return tuple("linear" if each else "full" for each in listed)
