"""From the config.json of a Hugging Face checkpoint to a `ModelSpec`.

Strict at the door: every key is read, known to change no logits, or refused by name. A model that is refused can be
supported later; one that answers wrongly because a key was ignored is a defect that nobody sees.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from localchat.errors import BadWeights, UnsupportedModel
from localchat.messages import SAMPLING_LIMITS
from localchat.model.configuration_gemma4 import gemma4_fields
from localchat.model.configuration_latent import latent_fields
from localchat.model.configuration_recurrent import RECURRENT_KEYS, recurrent_fields
from localchat.model.configuration_rope import rope_fields
from localchat.model.configuration_values import (
    number,
    shared_evenly,
    sliding_layers,
    truth,
    whole,
    whole_list,
    window_fields,
)
from localchat.model.family import Family
from localchat.model.family_table import family
from localchat.model.spec import ModelSpec
from localchat.model.spec_checks import check_sizes
from localchat.translation import _

# Of training, of generation, of the library that wrote the file: no influence on the logits of a decoder. And what
# `spec_from_huggingface` reads of every family.
_INERT_KEYS = frozenset(
    """
    architectures attention_dropout auto_map bos_token_id chunk_size_feed_forward dtype eos_token_id id2label
    initializer_range is_decoder is_encoder_decoder is_llama_config label2id max_position_embeddings
    model_max_length model_type output_attentions output_hidden_states pad_token_id pretraining_tp problem_type
    return_dict tokenizer_class torch_dtype torchscript transformers_version unk_token_id unsloth_fixed
    unsloth_version use_cache use_mrope vocab_size hidden_size intermediate_size num_hidden_layers
    num_attention_heads num_key_value_heads head_dim rms_norm_eps rope_theta rope_scaling rope_parameters
    tie_word_embeddings hidden_act
    """.split()  # noqa: SIM905
)
# Keys that would change the maths, with the one value that is what the decoder computes, for families that do not read
# them.
_FIXED_VALUES: Mapping[str, Any] = {
    "attention_bias": False,
    "mlp_bias": False,
    "use_sliding_window": False,
    "rope_interleaved": False,
    "partial_rotary_factor": 1.0,
    "use_bidirectional_attention": False,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "lm_head_bias": False,
    "full_attn_mod": 1,
    "interpolate_factor": 1,
    "conv_bias": False,
    "use_pos_enc": True,
    "block_use_swiglu": True,
    "swiglu_alpha": 1.702,
    "enable_moe_block": False,
}
_ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
}
# Keys that are one field of the spec each; the others are read by name below.
_FIELDS: Mapping[str, tuple[str, Callable[[float], float]]] = {
    "embedding_multiplier": ("embedding_scale", float),
    "residual_multiplier": ("residual_scale", float),
    "attention_multiplier": ("attention_scale", float),
    "logits_scaling": ("logit_scale", lambda value: 1 / value),
    "query_pre_attn_scalar": ("attention_scale", lambda value: value**-0.5),
    "attn_logit_softcapping": ("attention_softcap", float),
    "final_logit_softcapping": ("logit_softcap", float),
    "swiglu_limit": ("gate_limit", float),
}


def spec_from_huggingface(config: Mapping[str, Any]) -> ModelSpec:
    """The spec of a Hugging Face checkpoint from the contents of its config.json.

    Raises:
        UnsupportedModel: the family, a key, or a value of a key is not understood; the message names it.
    """
    entry = family(config.get("model_type"))
    if config.get("model_type") == entry.wrapper:
        config = _text_part(config, entry)
    values = {key: value for key, value in config.items() if key not in entry.inert_keys}
    values = {entry.renamed.get(key, key): value for key, value in values.items()}
    _refuse_unknown(values, entry)
    values = {**entry.defaults, **values}
    fields = {**entry.spec, **_sizes(values, entry)}
    check_sizes(fields)
    if entry.embeds_by_root:
        fields["embedding_scale"] = fields["hidden_size"] ** 0.5
    for key, (field, convert) in _FIELDS.items():
        if key in entry.reads and values.get(key) is not None:
            fields[field] = convert(number(values, key, entry))
    if "attention_bias" in entry.reads:
        biased = truth(values, "attention_bias", entry, entry.spec.get("attention_bias", False))
        fields["attention_bias"] = fields["attention_output_bias"] = biased
    if "mlp_bias" in entry.reads:
        fields["mlp_bias"] = truth(values, "mlp_bias", entry, False)
    if "use_parallel_residual" in entry.reads:
        fields["parallel_residual"] = truth(values, "use_parallel_residual", entry, True)
    if "num_experts" in entry.reads:
        fields |= _experts(values, entry, fields)
    if "scale_emb" in entry.reads:
        fields |= _minicpm_scales(values, entry, fields)
    if "global_head_dim" in entry.reads:
        fields |= gemma4_fields(values, entry, fields)
    if "kv_lora_rank" in entry.reads:
        fields |= latent_fields(values, entry, fields)
    fields |= rope_fields(values, entry, fields)
    recurs = entry.reads & RECURRENT_KEYS
    fields |= recurrent_fields(values, entry, fields) if recurs else _sliding(values, entry, fields)
    if "no_rope_layers" in entry.reads:
        fields["no_rope_layers"] = _no_rope_layers(values, entry, fields["num_layers"])
    return ModelSpec(family=entry.name, **fields)


def _sizes(values: Mapping[str, Any], entry: Family) -> dict[str, Any]:
    hidden_size = whole(values, "hidden_size", entry)
    num_heads = whole(values, "num_attention_heads", entry)
    return {
        "vocab_size": whole(values, "vocab_size", entry),
        "hidden_size": hidden_size,
        "intermediate_size": whole(
            values, "intermediate_size", entry, 4 * hidden_size if "n_inner" in entry.renamed else None
        ),
        "num_layers": whole(values, "num_hidden_layers", entry),
        "num_heads": num_heads,
        "num_key_value_heads": whole(values, "num_key_value_heads", entry, num_heads),
        "head_dim": whole(values, "head_dim", entry, shared_evenly(hidden_size, num_heads)),
        "rms_norm_eps": number(values, "rms_norm_eps", entry),
        "context_length": whole(values, "max_position_embeddings", entry),
        "tied_embeddings": bool(values.get("tie_word_embeddings", False)),
        "activation": _activation(values, entry),
    }


def _text_part(config: Mapping[str, Any], entry: Family) -> Mapping[str, Any]:
    """The configuration of the text model in one that sees as well; what is said of images is left out."""
    text = config.get("text_config")
    if not isinstance(text, Mapping) or text.get("model_type") != entry.name:
        raise UnsupportedModel(
            _("{wrapper}: text_config is not a configuration of the family {family}.").format(
                wrapper=entry.wrapper, family=entry.name
            )
        )
    tied = {"tie_word_embeddings": config["tie_word_embeddings"]} if "tie_word_embeddings" in config else {}
    return {**tied, **text}


def read_huggingface_config(folder: Path) -> dict[str, Any]:
    """The config.json of a checkpoint folder.

    Raises:
        BadWeights: it is missing, or is not a JSON object.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadWeights(
            _("{path} cannot be read ({error}).").format(path=path, error=error),
            _("A checkpoint folder needs its config.json."),
        ) from error
    if not isinstance(config, dict):
        raise BadWeights(_("{path} does not hold a JSON object.").format(path=path))
    return config


def read_recommended_sampling(folder: Path) -> dict[str, float]:
    """What generation_config.json of a checkpoint folder recommends, under our names; what we would refuse is left out.

    It only sets defaults that the user sees and changes, so a file that is missing or odd is no reason to stop.
    """
    try:
        given = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(given, dict):
        return {}
    wanted = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
    return {key: given[key] for key in wanted if SAMPLING_LIMITS[key].allows(given.get(key))}


def _refuse_unknown(values: Mapping[str, Any], entry: Family) -> None:
    for key, value in values.items():
        if value is None or key in _INERT_KEYS or key.startswith("_") or "." in key:
            continue  # a key with a dot belongs to another program, such as transformers.js
        if key in entry.reads:
            continue
        if key in _FIXED_VALUES:
            if value == _FIXED_VALUES[key]:
                continue
            raise UnsupportedModel(
                _("{family}: {key} = {value!r} is not supported, only {fixed_value!r}.").format(
                    family=entry.name, key=key, value=value, fixed_value=_FIXED_VALUES[key]
                )
            )
        if key == "layer_types" and isinstance(value, list) and set(map(str, value)) <= {"full_attention"}:
            continue
        raise UnsupportedModel(
            _("{family}: the configuration has {key} = {value!r}, which is not understood.").format(
                family=entry.name, key=key, value=value
            )
        )


def _activation(values: Mapping[str, Any], entry: Family) -> str:
    name = values.get("hidden_act")
    name = entry.defaults.get("hidden_act", "silu") if name is None else name
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise UnsupportedModel(
            _("{family}: hidden_act = {name!r} is not supported, only {activations}.").format(
                family=entry.name, name=name, activations=", ".join(_ACTIVATIONS)
            )
        )
    return _ACTIVATIONS[name]


def _experts(values: Mapping[str, Any], entry: Family, fields: Mapping[str, Any]) -> dict[str, Any]:
    step = whole(values, "decoder_sparse_step", entry)
    if step < 1:
        raise UnsupportedModel(
            _("{family}: decoder_sparse_step = {step} is not a number of layers.").format(family=entry.name, step=step)
        )
    dense = set(whole_list(values, "mlp_only_layers", entry) or ())
    dense |= {i for i in range(fields["num_layers"]) if (i + 1) % step}
    usual = None if "moe_intermediate_size" in entry.reads else fields["intermediate_size"]
    return {
        "num_experts": whole(values, "num_experts", entry),
        "experts_per_token": whole(values, "num_experts_per_tok", entry),
        "expert_intermediate_size": whole(values, "moe_intermediate_size", entry, usual),
        "normalize_expert_weights": truth(values, "norm_topk_prob", entry),
        "dense_layers": tuple(sorted(dense)),
    }


def _minicpm_scales(values: Mapping[str, Any], entry: Family, fields: Mapping[str, Any]) -> dict[str, Any]:
    base = whole(values, "dim_model_base", entry)
    return {
        "embedding_scale": number(values, "scale_emb", entry),
        "residual_scale": number(values, "scale_depth", entry) / fields["num_layers"] ** 0.5,
        "logit_scale": base / fields["hidden_size"],
    }


def _sliding(values: Mapping[str, Any], entry: Family, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Which layers slide, and over how many tokens."""
    num_layers = fields["num_layers"]
    used = truth(values, "use_sliding_window", entry, False) if "use_sliding_window" in entry.reads else True
    kinds = values.get("layer_types") if "layer_types" in entry.reads else None
    if "sliding_window" not in entry.reads or values.get("sliding_window") is None or not used:
        allowed, what = {"full_attention"}, _("full, and no window is in use")
    else:
        allowed, what = {"full_attention", "sliding_attention"}, _("full or sliding attention")
    if kinds is not None and not (isinstance(kinds, list) and set(map(str, kinds)) <= allowed):
        raise UnsupportedModel(
            _("{family}: layer_types = {kinds!r} are not all {what}.").format(family=entry.name, kinds=kinds, what=what)
        )
    if len(allowed) == 1:
        return {"local_rope_theta": None}
    if kinds is not None:
        sliding = [kind == "sliding_attention" for kind in kinds]
    elif "max_window_layers" in entry.reads:
        sliding = [i >= whole(values, "max_window_layers", entry) for i in range(num_layers)]
    elif entry.sliding_pattern is not None:
        pattern = whole(values, "sliding_window_pattern", entry, entry.sliding_pattern)
        sliding = sliding_layers(pattern, num_layers)
    else:
        raise UnsupportedModel(
            _("{family}: the configuration has a sliding_window, but no layer_types.").format(family=entry.name)
        )
    return window_fields(sliding, whole(values, "sliding_window", entry), fields)


def _no_rope_layers(values: Mapping[str, Any], entry: Family, num_layers: int) -> tuple[int, ...]:
    """Layers by index; the list of the configuration has a 1 for every layer that turns."""
    turns = whole_list(values, "no_rope_layers", entry)
    if turns is not None:
        return tuple(i for i, turn in enumerate(turns[:num_layers]) if not turn)
    step = whole(values, "no_rope_layer_interval", entry)
    return tuple(i for i in range(num_layers) if (i + 1) % max(step, 1) == 0)
