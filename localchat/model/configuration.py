"""From a source's own description of the model (config.json of Hugging Face, metadata of GGUF) to a `ModelSpec`.

Strict at the door: every key is read, known to change no logits, or refused by name. A model that is refused can be
supported later; one that answers wrongly because a key was ignored is a defect that nobody sees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from localchat.errors import BadWeights, UnsupportedModel
from localchat.messages import SAMPLING_LIMITS
from localchat.model.families import Family, family
from localchat.model.rope import scaling_factors
from localchat.model.spec import ModelSpec

# Of training, of generation, of the library that wrote the file: no influence on the logits of a decoder.
_INERT_KEYS = frozenset(
    """
    architectures attention_dropout auto_map bos_token_id chunk_size_feed_forward dtype eos_token_id id2label
    initializer_range is_decoder is_encoder_decoder is_llama_config label2id max_position_embeddings
    model_max_length model_type output_attentions output_hidden_states pad_token_id pretraining_tp problem_type
    return_dict tokenizer_class torch_dtype torchscript transformers_version unk_token_id unsloth_fixed
    unsloth_version use_cache use_mrope vocab_size hidden_size intermediate_size num_hidden_layers
    num_attention_heads num_key_value_heads head_dim rms_norm_eps rope_theta rope_scaling rope_parameters
    tie_word_embeddings
    """.split()  # noqa: SIM905
)
# Keys that would change the maths, with the one value that is what the decoder computes.
_FIXED_VALUES: Mapping[str, Any] = {
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "use_sliding_window": False,
    "rope_interleaved": False,
}


def spec_from_huggingface(config: Mapping[str, Any]) -> ModelSpec:
    """The spec of a Hugging Face checkpoint from the contents of its config.json.

    Raises:
        UnsupportedModel: the family, a key, or a value of a key is not understood; the message names it.
    """
    entry = family(config.get("model_type"))
    _refuse_unknown(config, entry)
    hidden_size = _whole(config, "hidden_size", entry)
    num_heads = _whole(config, "num_attention_heads", entry)
    head_dim = _whole(config, "head_dim", entry, _shared_evenly(hidden_size, num_heads))
    rope = _rope_parameters(config, entry)
    theta = _number(rope, "rope_theta", entry, _number(config, "rope_theta", entry, 10000.0))
    return ModelSpec(
        family=entry.name,
        vocab_size=_whole(config, "vocab_size", entry),
        hidden_size=hidden_size,
        intermediate_size=_whole(config, "intermediate_size", entry),
        num_layers=_whole(config, "num_hidden_layers", entry),
        num_heads=num_heads,
        num_key_value_heads=_whole(config, "num_key_value_heads", entry, num_heads),
        head_dim=head_dim,
        rms_norm_eps=_number(config, "rms_norm_eps", entry),
        rope_theta=theta,
        context_length=_whole(config, "max_position_embeddings", entry),
        attention_bias=entry.attention_bias,
        tied_embeddings=bool(config.get("tie_word_embeddings", False)),
        rope_factors=scaling_factors(rope, head_dim, theta, entry.name),
    )


def read_huggingface_config(folder: Path) -> dict[str, Any]:
    """The config.json of a checkpoint folder.

    Raises:
        BadWeights: it is missing, or is not a JSON object.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadWeights(f"{path} cannot be read ({error}).", "A checkpoint folder needs its config.json.") from error
    if not isinstance(config, dict):
        raise BadWeights(f"{path} does not hold a JSON object.")
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


def _refuse_unknown(config: Mapping[str, Any], entry: Family) -> None:
    for key, value in config.items():
        if value is None or key in _INERT_KEYS or key in entry.inert_keys or key.startswith("_") or "." in key:
            continue  # a key with a dot belongs to another program, such as transformers.js
        if key in _FIXED_VALUES:
            allowed = _FIXED_VALUES[key]
            # Qwen2 has its biases without a key; a key that says so again changes nothing.
            if value == allowed or (key == "attention_bias" and entry.attention_bias and value is True):
                continue
            raise UnsupportedModel(f"{entry.name}: {key} = {value!r} is not supported, only {allowed!r}.")
        if key == "layer_types" and isinstance(value, list) and set(value) <= {"full_attention"}:
            continue
        raise UnsupportedModel(f"{entry.name}: the configuration has {key} = {value!r}, which is not understood.")


def _rope_parameters(config: Mapping[str, Any], entry: Family) -> Mapping[str, Any]:
    """`rope_parameters` (transformers 5) or `rope_scaling` (before); an empty table when there is neither."""
    found = [config[key] for key in ("rope_parameters", "rope_scaling") if config.get(key) is not None]
    if not all(isinstance(parameters, Mapping) for parameters in found):
        raise UnsupportedModel(f"{entry.name}: rope_scaling is not a table of values.")
    if len(found) == 2 and found[0] != found[1]:
        raise UnsupportedModel(f"{entry.name}: rope_parameters and rope_scaling contradict each other.")
    return found[0] if found else {}


class GGUFContents(Protocol):
    """What is needed of `localchat.weights.gguf_file.GGUFFile` here."""

    @property
    def metadata(self) -> Mapping[str, Any]: ...
    @property
    def tensors(self) -> Mapping[str, Any]: ...
    def float32(self, name: str) -> Tensor: ...


_GGUF_INERT = frozenset({"vocab_size", "rope.scaling.original_context_length", "rope.scaling.finetuned"})


def spec_from_gguf(file: GGUFContents) -> ModelSpec:
    """The spec of a GGUF file from its metadata and its list of tensors.

    Raises:
        UnsupportedModel: the family, a key, or a value of a key is not understood; the message names it.
        BadWeights: the file has no embedding.
    """
    entry = family(file.metadata.get("general.architecture"))
    prefix = f"{entry.name}."
    values = {key.removeprefix(prefix): value for key, value in file.metadata.items() if key.startswith(prefix)}
    if "token_embd.weight" not in file.tensors:
        raise BadWeights("The model has no tensor token_embd.weight.", "Get the file again; it may be incomplete.")
    hidden_size = _whole(values, "embedding_length", entry)
    num_heads = _whole(values, "attention.head_count", entry)
    head_dim = _whole(values, "attention.key_length", entry, _shared_evenly(hidden_size, num_heads))
    for key in ("attention.value_length", "rope.dimension_count"):
        if _whole(values, key, entry, head_dim) != head_dim:
            raise UnsupportedModel(f"{entry.name}: {key} = {values[key]} differs from the head's {head_dim} channels.")
    theta = _number(values, "rope.freq_base", entry, 10000.0)
    spec = ModelSpec(
        family=entry.name,
        vocab_size=int(file.tensors["token_embd.weight"].shape[0]),
        hidden_size=hidden_size,
        intermediate_size=_whole(values, "feed_forward_length", entry),
        num_layers=_whole(values, "block_count", entry),
        num_heads=num_heads,
        num_key_value_heads=_whole(values, "attention.head_count_kv", entry, num_heads),
        head_dim=head_dim,
        rms_norm_eps=_number(values, "attention.layer_norm_rms_epsilon", entry),
        rope_theta=theta,
        context_length=_whole(values, "context_length", entry),
        attention_bias=entry.attention_bias,
        tied_embeddings="output.weight" not in file.tensors,
        rope_factors=_gguf_rope_factors(file, values, entry, head_dim, theta),
    )
    _refuse_unknown_gguf(values, entry)
    return spec


_GGUF_READ = frozenset(
    """
    context_length embedding_length block_count feed_forward_length attention.head_count attention.head_count_kv
    attention.key_length attention.value_length attention.layer_norm_rms_epsilon rope.freq_base
    rope.dimension_count rope.scaling.type rope.scaling.factor
    """.split()  # noqa: SIM905
)
_GGUF_FIXED: Mapping[str, Any] = {"expert_count": 0, "expert_used_count": 0, "attention.causal": True}


def _refuse_unknown_gguf(values: Mapping[str, Any], entry: Family) -> None:
    for key, value in values.items():
        if key in _GGUF_READ or key in _GGUF_INERT or (key in _GGUF_FIXED and value == _GGUF_FIXED[key]):
            continue
        raise UnsupportedModel(f"{entry.name}: the file has {entry.name}.{key} = {value!r}, which is not understood.")


def _gguf_rope_factors(
    file: GGUFContents, values: Mapping[str, Any], entry: Family, head_dim: int, theta: float
) -> tuple[float, ...] | None:
    """Llama 3 scaling lies in a tensor of factors, linear scaling in the metadata."""
    parameters: dict[str, Any] = {}
    # llama.cpp takes a factor without a kind as linear.
    kind = values.get("rope.scaling.type", "linear" if "rope.scaling.factor" in values else "none")
    if kind != "none":
        parameters = {"rope_type": kind, "factor": values.get("rope.scaling.factor")}
    linear = scaling_factors(parameters, head_dim, theta, entry.name)
    if "rope_freqs.weight" not in file.tensors:
        return linear
    if linear is not None:
        raise UnsupportedModel(f"{entry.name}: the file scales its rope twice, by rope_freqs and by {kind} scaling.")
    return tuple(file.float32("rope_freqs.weight").reshape(-1).tolist())


def _shared_evenly(hidden_size: int, num_heads: int) -> int | None:
    """The head's channels when nothing says otherwise; None when the division leaves a rest."""
    return hidden_size // num_heads if num_heads > 0 and hidden_size % num_heads == 0 else None


def _whole(values: Mapping[str, Any], key: str, entry: Family, default: int | None = None) -> int:
    value = values.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise UnsupportedModel(f"{entry.name}: {key} is {value!r}, but must be a whole number.")
    return int(value)


def _number(values: Mapping[str, Any], key: str, entry: Family, default: float | None = None) -> float:
    value = values.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise UnsupportedModel(f"{entry.name}: {key} is {value!r}, but must be a number.")
    return float(value)
