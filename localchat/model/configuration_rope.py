"""What the config.json of a Hugging Face checkpoint says of rope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localchat.errors import UnsupportedModel
from localchat.model.configuration_values import number, whole
from localchat.model.family import Family
from localchat.model.rope_scaling import read_scaling
from localchat.translation import _


def rope_fields(values: Mapping[str, Any], entry: Family, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Rope's fields of the spec, and the context length that its scaling makes."""
    parameters, local_theta = _local_and_global(_rope_parameters(values, entry), values, entry)
    theta = number(parameters, "rope_theta", entry, number(values, "rope_theta", entry, 10000.0))
    share = number(parameters, "partial_rotary_factor", entry, number(values, "partial_rotary_factor", entry, 1.0))
    if parameters.get("rope_type") == "proportional":
        share = 1.0  # which turns the others as well, by nothing
    if share != 1 and "partial_rotary_factor" not in entry.reads:
        raise UnsupportedModel(
            _("{family}: partial_rotary_factor = {share!r} is not supported, only 1.").format(
                family=entry.name, share=share
            )
        )
    if "original_max_position_embeddings" in entry.reads and values.get("original_max_position_embeddings"):
        original = whole(values, "original_max_position_embeddings", entry)
        parameters = {**parameters, "original_max_position_embeddings": original}
    head_dim, context_length = fields.get("full_head_dim") or fields["head_dim"], fields["context_length"]
    rotary_dim = fields.get("rotary_dim") or (int(head_dim * share) if 0 < share <= 1 else 0)
    if rotary_dim < 2:
        raise UnsupportedModel(
            _("{family}: rope turns a share of {share!r} of a head_dim of {head_dim}.").format(
                family=entry.name, share=share, head_dim=head_dim
            )
        )
    scaling = read_scaling(parameters, rotary_dim, theta, context_length, entry.name)
    return {
        "rope_theta": theta,
        "local_rope_theta": local_theta,
        "rotary_dim": None if rotary_dim == head_dim else rotary_dim,
        "rope_factors": scaling.factors,
        "rope_attention_factor": scaling.attention_factor,
        "rope_long_factors": scaling.long_factors,
        "original_context_length": scaling.original_context_length,
        "context_length": scaling.context_length,
    }


def _rope_parameters(values: Mapping[str, Any], entry: Family) -> Mapping[str, Any]:
    """`rope_parameters` (transformers 5) or `rope_scaling` (before); an empty table when there is neither."""
    usual = entry.defaults.get("rope_parameters")  # what the family has where nothing is said
    if values.get("rope_scaling") is not None and values.get("rope_parameters") is usual:
        values = {**values, "rope_parameters": None}
    found = [values[key] for key in ("rope_parameters", "rope_scaling") if values.get(key) is not None]
    if not all(isinstance(parameters, Mapping) for parameters in found):
        raise UnsupportedModel(_("{family}: rope_scaling is not a table of values.").format(family=entry.name))
    if len(found) == 2 and found[0] != found[1]:
        raise UnsupportedModel(
            _("{family}: rope_parameters and rope_scaling contradict each other.").format(family=entry.name)
        )
    return found[0] if found else {}


def _local_and_global(
    parameters: Mapping[str, Any], values: Mapping[str, Any], entry: Family
) -> tuple[Mapping[str, Any], float | None]:
    """The parameters of layers that see everything, and the base of the others where that is another matter."""
    if "rope_local_base_freq" not in entry.reads:
        return parameters, None
    theta = number(values, "rope_local_base_freq", entry, number(values, "rope_theta", entry, 10000.0))
    if not {"full_attention", "sliding_attention"} & set(parameters):
        return parameters, theta
    if unknown := sorted(set(parameters) - {"full_attention", "sliding_attention", "rope_theta", "rope_type"}):
        raise UnsupportedModel(
            _("{family}: rope_parameters has {unknown}, which is not understood.").format(
                family=entry.name, unknown=", ".join(unknown)
            )
        )
    full, local = (parameters.get(kind) or {} for kind in ("full_attention", "sliding_attention"))
    if not isinstance(full, Mapping) or not isinstance(local, Mapping):
        raise UnsupportedModel(_("{family}: rope_parameters are not tables of values.").format(family=entry.name))
    theta = number(local, "rope_theta", entry, theta)
    if read_scaling(local, 2, theta, 1, entry.name) != read_scaling({}, 2, theta, 1, entry.name):
        raise UnsupportedModel(_("{family}: scaled rope in sliding layers is not supported.").format(family=entry.name))
    return full, theta
