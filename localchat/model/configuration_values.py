"""Values of a source's description of its model, each checked for what it must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from localchat.errors import UnsupportedModel
from localchat.model.family import Family
from localchat.translation import _


def whole(values: Mapping[str, Any], key: str, entry: Family, default: int | None = None) -> int:
    """A whole number; the default stands for a key that is absent or null."""
    value = values.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise UnsupportedModel(
            _("{family}: {key} is {value!r}, but must be a whole number.").format(
                family=entry.name, key=key, value=value
            )
        )
    return int(value)


def number(values: Mapping[str, Any], key: str, entry: Family, default: float | None = None) -> float:
    """A number other than zero; the default stands for a key that is absent or null."""
    value = values.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)) or value == 0:
        raise UnsupportedModel(
            _("{family}: {key} is {value!r}, but must be a number other than 0.").format(
                family=entry.name, key=key, value=value
            )
        )
    return float(value)


def truth(values: Mapping[str, Any], key: str, entry: Family, default: bool | None = None) -> bool:
    """True or false; the default stands for a key that is absent or null."""
    value = values.get(key)
    value = default if value is None else value
    if not isinstance(value, (bool, np.bool_)):
        raise UnsupportedModel(
            _("{family}: {key} is {value!r}, but must be true or false.").format(
                family=entry.name, key=key, value=value
            )
        )
    return bool(value)


def whole_list(values: Mapping[str, Any], key: str, entry: Family) -> list[int] | None:
    """A list of whole numbers; None for a key that is absent or null."""
    value = values.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(type(each) is int for each in value):
        raise UnsupportedModel(
            _("{family}: {key} is {value!r}, but must be a list of whole numbers.").format(
                family=entry.name, key=key, value=value
            )
        )
    return value


def shared_evenly(hidden_size: int, num_heads: int) -> int | None:
    """The head's channels when nothing says otherwise; None when the division leaves a rest."""
    return hidden_size // num_heads if num_heads > 0 and hidden_size % num_heads == 0 else None


def sliding_layers(pattern: int, num_layers: int) -> list[bool]:
    """All but every n-th slide; all where n is 0."""
    return [pattern <= 0 or bool((i + 1) % pattern) for i in range(num_layers)]


def window_fields(sliding: list[bool], window: int, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the spec; a window that the context cannot outgrow is none, and rope that is the same is no other."""
    local = fields["local_rope_theta"]
    if local == fields["rope_theta"] and fields["rope_factors"] is None and fields["rope_long_factors"] is None:
        local = None
    if not any(sliding) or (window >= fields["context_length"] and local is None):
        return {"local_rope_theta": None}
    kinds = tuple("sliding" if each else "full" for each in sliding)
    return {"sliding_window": window, "layer_kinds": kinds, "local_rope_theta": local}
