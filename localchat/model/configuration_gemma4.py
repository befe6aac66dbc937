"""What sources say of a Gemma 4 that others do not: heads of two sizes, layers that share, inputs of every layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from localchat.errors import UnsupportedModel
from localchat.model.configuration_values import truth, whole
from localchat.model.family import Family
from localchat.translation import _

_HEADS = {"head_dim", "num_key_value_heads"}


def gemma4_fields(values: Mapping[str, Any], entry: Family, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Its fields of the spec, from the configuration of a checkpoint."""
    kinds = values.get("layer_types")
    if kinds is not None and (not isinstance(kinds, list) or kinds[-1:] != ["full_attention"]):
        raise UnsupportedModel(
            _("{family}: layer_types = {kinds!r} are not kinds of layers, the last one full.").format(
                family=entry.name, kinds=kinds
            )
        )
    if (seen := values.get("use_bidirectional_attention")) not in (None, False, "vision"):  # which is of images
        raise UnsupportedModel(
            _("{family}: use_bidirectional_attention = {seen!r} is not supported.").format(family=entry.name, seen=seen)
        )
    alike = truth(values, "attention_k_eq_v", entry)
    head_dim, heads = _of_full_layers(values, entry, alike)
    size = _per_layer_size(values, entry, fields)
    return {
        **_two_sizes(fields, head_dim, heads),
        "keys_as_values": alike,
        "shared_key_value_layers": whole(values, "num_kv_shared_layers", entry),
        "wide_shared_mlp": truth(values, "use_double_wide_mlp", entry),
        "per_layer_size": size,
    }


def _two_sizes(fields: Mapping[str, Any], head_dim: int, heads: int) -> dict[str, Any]:
    return {
        "full_head_dim": None if head_dim == fields["head_dim"] else head_dim,
        "full_key_value_heads": None if heads == fields["num_key_value_heads"] else heads,
    }


def _of_full_layers(values: Mapping[str, Any], entry: Family, alike: bool) -> tuple[int, int]:
    """Size and number of the key heads of full layers; newer configurations say it of each."""
    usual = whole(values, "num_key_value_heads", entry)
    each = values.get("per_layer_config")
    if each is None:
        heads = whole(values, "num_global_key_value_heads", entry, usual) if alike else usual
        return whole(values, "global_head_dim", entry), heads
    full = [str(i) for i, kind in enumerate(values.get("layer_types") or ()) if kind == "full_attention"]
    said = [each.get(layer, {}) for layer in full] if isinstance(each, Mapping) else []
    if not said or set(each) - set(full) or any(one != said[0] for one in said) or not set(said[0]) <= _HEADS:
        raise UnsupportedModel(
            _("{family}: per_layer_config is not the same two sizes for every full layer.").format(family=entry.name)
        )
    return whole(said[0], "head_dim", entry, values["head_dim"]), whole(said[0], "num_key_value_heads", entry, usual)


def _per_layer_size(values: Mapping[str, Any], entry: Family, fields: Mapping[str, Any]) -> int:
    if "hidden_size_per_layer_input" not in entry.reads:
        return 0
    size = whole(values, "hidden_size_per_layer_input", entry, 0)
    vocab_size = whole(values, "vocab_size_per_layer_input", entry)
    if size and vocab_size != fields["vocab_size"]:
        raise UnsupportedModel(
            _("{family}: vocab_size_per_layer_input = {vocab_size} is not the vocabulary's size.").format(
                family=entry.name, vocab_size=vocab_size
            )
        )
    return size


def gguf_gemma4(
    values: Mapping[str, Any], entry: Family, tensors: Collection[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metadata of a GGUF file as that of sliding layers alone, and the fields of the spec that say the rest."""
    sliding = values.get("attention.sliding_window_pattern")
    layers = whole(values, "block_count", entry)
    if not isinstance(sliding, (list, np.ndarray)) or len(sliding) != layers or all(sliding) or not any(sliding):
        raise UnsupportedModel(
            _("{family}: attention.sliding_window_pattern does not tell two kinds of layers.").format(family=entry.name)
        )
    first_sliding, first_full = list(sliding).index(True), list(sliding).index(False)
    heads = _each(values, "attention.head_count_kv", layers, entry)
    widths = _each(values, "feed_forward_length", layers, entry)
    shared = whole(values, "attention.shared_kv_layers", entry)
    wide = shared > 0 and widths[-1] == 2 * widths[0]
    expected_widths = [widths[0] * (2 if wide and i >= layers - shared else 1) for i in range(layers)]
    expected_heads = [heads[first_sliding if slides else first_full] for slides in sliding]
    if widths != expected_widths or heads != expected_heads:
        raise UnsupportedModel(
            _("{family}: feed_forward_length or attention.head_count_kv differ between layers.").format(
                family=entry.name
            )
        )
    of_sliding = {
        "attention.key_length": values.get("attention.key_length_swa"),
        "attention.value_length": values.get("attention.value_length_swa"),
        "attention.head_count_kv": heads[first_sliding],
        "feed_forward_length": widths[0],
    }
    if values.get("rope.dimension_count_swa") != of_sliding["attention.key_length"]:
        raise UnsupportedModel(
            _("{family}: rope.dimension_count_swa is not the size of a head.").format(family=entry.name)
        )
    head_dim, value_dim = (whole(values, f"attention.{each}_length", entry) for each in ("key", "value"))
    if head_dim != value_dim:
        raise UnsupportedModel(
            _("{family}: attention.value_length differs from the head's {head_dim}.").format(
                family=entry.name, head_dim=head_dim
            )
        )
    sizes = {"head_dim": of_sliding["attention.key_length"], "num_key_value_heads": heads[first_sliding]}
    return {**values, **of_sliding}, {
        **_two_sizes(sizes, head_dim, heads[first_full]),
        "keys_as_values": f"blk.{first_full}.attn_v.weight" not in tensors,
        "shared_key_value_layers": shared,
        "wide_shared_mlp": wide,
        "per_layer_size": whole(values, "embedding_length_per_layer_input", entry, 0),
    }


def _each(values: Mapping[str, Any], key: str, layers: int, entry: Family) -> list[int]:
    """A number by layer, of which the file may say one for all."""
    value = values.get(key)
    if not isinstance(value, (list, np.ndarray)):
        return [whole(values, key, entry)] * layers
    if len(value) != layers:
        raise UnsupportedModel(
            _("{family}: {key} is not one number for every layer.").format(family=entry.name, key=key)
        )
    return [int(each) for each in value]
