"""What sources say of attention over latents, as MiniCPM3 has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localchat.errors import UnsupportedModel
from localchat.model.configuration_values import shared_evenly, whole
from localchat.model.family import Family
from localchat.translation import _


def latent_fields(values: Mapping[str, Any], entry: Family, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Its fields of the spec, from the configuration of a checkpoint."""
    scaling = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if isinstance(scaling, Mapping) and "yarn" in (scaling.get("rope_type"), scaling.get("type")):
        raise UnsupportedModel(
            _("{family}: yarn rope scaling of attention over latents is not supported.").format(family=entry.name)
        )
    usual = shared_evenly(fields["hidden_size"], fields["num_heads"])
    return _fields(
        entry,
        fields,
        query_rank=whole(values, "q_lora_rank", entry),
        key_value_rank=whole(values, "kv_lora_rank", entry),
        plain=whole(values, "qk_nope_head_dim", entry),
        turning=whole(values, "qk_rope_head_dim", entry),
        value=whole(values, "v_head_dim", entry, usual),
    )


def gguf_latent(values: Mapping[str, Any], entry: Family) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metadata of a GGUF file without what means something else here, and the fields of the spec that it says, or
    that llama.cpp takes for granted."""
    hidden_size, heads = whole(values, "embedding_length", entry), whole(values, "attention.head_count", entry)
    turning = whole(values, "rope.dimension_count", entry)
    sizes = {"num_heads": heads, "num_key_value_heads": whole(values, "attention.head_count_kv", entry, heads)}
    fields = _fields(
        entry,
        sizes,
        query_rank=whole(values, "attention.q_lora_rank", entry),
        key_value_rank=whole(values, "attention.kv_lora_rank", entry),
        plain=whole(values, "attention.key_length", entry) - turning,
        turning=turning,
        value=whole(values, "attention.value_length", entry, shared_evenly(hidden_size, heads)),
    )
    scales = {
        "embedding_scale": 12.0,
        "residual_scale": 1.4 / whole(values, "block_count", entry) ** 0.5,
        "logit_scale": 256 / hidden_size,
    }
    lengths = {f"attention.{each}_length": fields["head_dim"] for each in ("key", "value")}
    return {**values, **lengths}, {**fields, **scales}


def _fields(
    entry: Family,
    fields: Mapping[str, Any],
    *,
    query_rank: int,
    key_value_rank: int,
    plain: int,
    turning: int,
    value: int,
) -> dict[str, Any]:
    if fields["num_key_value_heads"] != fields["num_heads"]:
        raise UnsupportedModel(
            _("{family}: heads that share keys and attend over latents are not supported.").format(family=entry.name)
        )
    if min(query_rank, key_value_rank, plain, turning, value) < 1:
        raise UnsupportedModel(_("{family}: a head or a latent has no channels.").format(family=entry.name))
    return {
        "num_key_value_heads": 1,
        "head_dim": turning + key_value_rank,
        "rotary_dim": turning,
        "query_rank": query_rank,
        "key_value_rank": key_value_rank,
        "plain_head_dim": plain,
        "value_head_dim": value,
        "attention_scale": (plain + turning) ** -0.5,
    }
