"""From the metadata of a GGUF file to a `ModelSpec`; as strict as `localchat.model.configuration`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from localchat.errors import BadWeights, UnsupportedModel
from localchat.model.configuration_gemma4 import gguf_gemma4
from localchat.model.configuration_latent import gguf_latent
from localchat.model.configuration_recurrent import RECURRENT_GGUF_KEYS, gguf_recurrent
from localchat.model.configuration_values import number, shared_evenly, sliding_layers, truth, whole, window_fields
from localchat.model.family import Family
from localchat.model.family_table import gguf_family
from localchat.model.rope_scaling import read_scaling
from localchat.model.spec import ModelSpec
from localchat.model.spec_checks import check_sizes
from localchat.translation import _


class GGUFContents(Protocol):
    """What is needed of `localchat.weights.gguf_file.GGUFFile` here."""

    @property
    def metadata(self) -> Mapping[str, Any]: ...
    @property
    def tensors(self) -> Mapping[str, Any]: ...
    def float32(self, name: str) -> Tensor: ...


# Read below, of every family.
_READ = frozenset(
    """
    context_length embedding_length block_count feed_forward_length attention.head_count attention.head_count_kv
    attention.key_length attention.value_length attention.layer_norm_rms_epsilon attention.layer_norm_epsilon
    rope.freq_base rope.dimension_count rope.scaling.type rope.scaling.factor rope.scaling.original_context_length
    rope.scaling.yarn_attn_factor rope.scaling.yarn_beta_fast rope.scaling.yarn_beta_slow
    """.split()  # noqa: SIM905
)
_INERT = frozenset({"vocab_size"})
_FIXED: Mapping[str, Any] = {
    "expert_count": 0,
    "expert_used_count": 0,
    "attention.causal": True,
    "attention.sliding_window": 0,
}
# Keys that are one field of the spec each.
_FIELDS = {
    "attention.scale": "attention_scale",
    "embedding_scale": "embedding_scale",
    "residual_scale": "residual_scale",
    "attn_logit_softcapping": "attention_softcap",
    "final_logit_softcapping": "logit_softcap",
}


def spec_from_gguf(file: GGUFContents) -> ModelSpec:
    """The spec of a GGUF file from its metadata and its list of tensors.

    Raises:
        UnsupportedModel: the family, a key, or a value of a key is not understood; the message names it.
        BadWeights: the file has no embedding.
    """
    entry = gguf_family(file.metadata.get("general.architecture"))
    prefix = f"{entry.gguf}."
    values = {key.removeprefix(prefix): value for key, value in file.metadata.items() if key.startswith(prefix)}
    if "token_embd.weight" not in file.tensors:
        raise BadWeights(
            _("The model has no tensor token_embd.weight."), _("Get the file again; it may be incomplete.")
        )
    _refuse_unknown(values, entry)
    values = {**entry.gguf_defaults, **values}
    values, further = _of_its_kind(values, entry, file)
    fields = {**entry.spec, **_sizes(values, entry, file), **_biases(file, entry), **further}
    check_sizes(fields)
    hidden_size, num_heads = fields["hidden_size"], fields["num_heads"]
    if whole(values, "attention.value_length", entry, fields["head_dim"]) != fields["head_dim"]:
        raise UnsupportedModel(
            _("{family}: attention.value_length differs from the head's {field}.").format(
                family=entry.name, field=fields["head_dim"]
            )
        )
    if entry.embeds_by_root:
        fields["embedding_scale"] = hidden_size**0.5
    for key, field in _FIELDS.items():
        if key in entry.gguf_reads and key in values:
            fields[field] = number(values, key, entry)
    if fields["num_layers"] == entry.gguf_layers_scaled_by_width:
        fields["attention_scale"] = (hidden_size / num_heads) ** -0.5
    if "logit_scale" in entry.gguf_reads and "logit_scale" in values:
        fields["logit_scale"] = 1 / number(values, "logit_scale", entry)
    if "use_parallel_residual" in entry.gguf_reads:
        fields["parallel_residual"] = truth(values, "use_parallel_residual", entry)
    if "expert_count" in entry.gguf_reads:
        fields |= _experts(values, entry)
    if (step := values.get("no_rope_layer_interval")) is not None:
        fields["no_rope_layers"] = tuple(i for i in range(fields["num_layers"]) if (i + 1) % step == 0)
    fields |= _rope(file, values, entry, fields)
    fields |= _sliding(values, entry, fields)
    return ModelSpec(family=entry.name, **fields)


def _of_its_kind(values: dict[str, Any], entry: Family, file: GGUFContents) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metadata as that of usual layers, and fields of the spec that say what is not usual in them."""
    if "attention.key_length_swa" in entry.gguf_reads:
        return gguf_gemma4(values, entry, file.tensors)
    if "attention.kv_lora_rank" in entry.gguf_reads:
        return gguf_latent(values, entry)
    if entry.gguf_reads & RECURRENT_GGUF_KEYS:
        return gguf_recurrent(values, entry)
    return values, {}


def _sizes(values: Mapping[str, Any], entry: Family, file: GGUFContents) -> dict[str, Any]:
    hidden_size = whole(values, "embedding_length", entry)
    num_heads = whole(values, "attention.head_count", entry)
    norm = "rms_" if entry.spec.get("norm", "rms") == "rms" else ""
    return {
        "vocab_size": int(file.tensors["token_embd.weight"].shape[0]),
        "hidden_size": hidden_size,
        "intermediate_size": whole(values, "feed_forward_length", entry),
        "num_layers": whole(values, "block_count", entry),
        "num_heads": num_heads,
        "num_key_value_heads": whole(values, "attention.head_count_kv", entry, num_heads),
        "head_dim": whole(values, "attention.key_length", entry, shared_evenly(hidden_size, num_heads)),
        "rms_norm_eps": number(values, f"attention.layer_norm_{norm}epsilon", entry),
        "context_length": whole(values, "context_length", entry),
        "tied_embeddings": "output.weight" not in file.tensors,
    }


def _refuse_unknown(values: Mapping[str, Any], entry: Family) -> None:
    for key, value in values.items():
        if key in _READ or key in _INERT or key in entry.gguf_reads or (key in _FIXED and value == _FIXED[key]):
            continue
        if key == "rope.scaling.finetuned" and (value or entry.gguf != "granite"):
            continue  # says how it was trained; granite turns nothing without it
        raise UnsupportedModel(
            _("{family}: the file has {gguf}.{key} = {value!r}, which is not understood.").format(
                family=entry.name, gguf=entry.gguf, key=key, value=value
            )
        )


def _biases(file: GGUFContents, entry: Family) -> dict[str, bool]:
    """Whether projections have biases, which only the list of tensors says."""
    if entry.fused.get("gguf"):
        return {}
    query = "blk.0.attn_q.bias" in file.tensors or entry.spec.get("attention_bias", False)
    return {
        "attention_bias": query,
        "attention_output_bias": "blk.0.attn_output.bias" in file.tensors,
        "mlp_bias": bool({"blk.0.ffn_down.bias", "blk.0.ffn_down_exps.bias"} & set(file.tensors)),
    }


def _experts(values: Mapping[str, Any], entry: Family) -> dict[str, Any]:
    return {
        "num_experts": whole(values, "expert_count", entry),
        "experts_per_token": whole(values, "expert_used_count", entry),
        "expert_intermediate_size": whole(values, "expert_feed_forward_length", entry),
    }


def _rope(file: GGUFContents, values: Mapping[str, Any], entry: Family, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Rope's fields of the spec, and the context length that its scaling makes."""
    head_dim, context_length = fields.get("full_head_dim") or fields["head_dim"], fields["context_length"]
    theta = number(values, "rope.freq_base", entry, 10000.0)
    rotary_dim = whole(values, "rope.dimension_count", entry, head_dim)
    if rotary_dim != head_dim and "rope.dimension_count" not in entry.gguf_reads:
        raise UnsupportedModel(
            _("{family}: rope.dimension_count differs from the head's {head_dim} channels.").format(
                family=entry.name, head_dim=head_dim
            )
        )
    if not 2 <= rotary_dim <= head_dim:
        raise UnsupportedModel(
            _("{family}: rope turns {rotary_dim} of {head_dim} channels.").format(
                family=entry.name, rotary_dim=rotary_dim, head_dim=head_dim
            )
        )
    scaling = read_scaling(_scaling_parameters(values, entry), rotary_dim, theta, context_length, entry.name)
    local = number(values, "rope.freq_base_swa", entry, theta) if "rope.freq_base_swa" in entry.gguf_reads else None
    made: dict[str, Any] = {
        "rope_theta": theta,
        "local_rope_theta": local,
        "rotary_dim": None if rotary_dim == head_dim else rotary_dim,
        "rope_factors": scaling.factors,
        "rope_attention_factor": scaling.attention_factor,
        "rope_long_factors": None,
        "context_length": scaling.context_length,
    }
    tensors = {name: f"{name}.weight" for name in ("rope_freqs", "rope_factors_short", "rope_factors_long")}
    given = {
        name: tuple(file.float32(each).reshape(-1).tolist()) for name, each in tensors.items() if each in file.tensors
    }
    if given and scaling.factors is not None:
        raise UnsupportedModel(
            _("{family}: the file scales its rope twice, by {given} and by its metadata.").format(
                family=entry.name, given=min(given)
            )
        )
    if "rope_freqs" in given:
        made["rope_factors"] = given["rope_freqs"]
    if "rope_factors_long" in given:
        made["rope_factors"], made["rope_long_factors"] = given.get("rope_factors_short"), given["rope_factors_long"]
        made["original_context_length"] = whole(values, "rope.scaling.original_context_length", entry, context_length)
        if "rope.scaling.attn_factor" in values:
            made["rope_attention_factor"] = number(values, "rope.scaling.attn_factor", entry)
    return made


def _scaling_parameters(values: Mapping[str, Any], entry: Family) -> dict[str, Any]:
    """What of the metadata Hugging Face's configurations would say; factors of frequencies are tensors."""
    # llama.cpp takes a factor without a kind as linear.
    kind = values.get("rope.scaling.type", "linear" if "rope.scaling.factor" in values else "none")
    if kind in ("none", "longrope"):
        return {}
    parameters = {"rope_type": kind, "factor": number(values, "rope.scaling.factor", entry)}
    if kind == "yarn":
        parameters |= {
            "original_max_position_embeddings": values.get("rope.scaling.original_context_length"),
            "attention_factor": values.get("rope.scaling.yarn_attn_factor"),
            "beta_fast": values.get("rope.scaling.yarn_beta_fast"),
            "beta_slow": values.get("rope.scaling.yarn_beta_slow"),
            "truncate": values.get("rope.scaling.yarn_truncate"),
        }
    return parameters


def _sliding(values: Mapping[str, Any], entry: Family, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Which layers slide, and over how many tokens; no window, or one of 0 tokens, means none."""
    window = whole(values, "attention.sliding_window", entry, 0)
    num_layers, pattern = fields["num_layers"], values.get("attention.sliding_window_pattern")
    if window == 0 or "attention.sliding_window" not in entry.gguf_reads:
        return {"local_rope_theta": None}
    if isinstance(pattern, (list, np.ndarray)):
        if len(pattern) != num_layers:
            raise UnsupportedModel(
                _("{family}: attention.sliding_window_pattern is not one truth for every layer.").format(
                    family=entry.name
                )
            )
        return window_fields([bool(each) for each in pattern], window, fields)
    step = whole(values, "attention.sliding_window_pattern", entry, entry.sliding_pattern)
    return window_fields(sliding_layers(step, num_layers), window, fields)
