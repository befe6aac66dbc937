"""Which matrices of a layer read the same input, and in which order they come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from localchat.model.decoder import DecoderLayer, Weight

_STAGES = (
    ("query", "key", "value", "attention_gate", "input", "gates", "rates", "fading", "query_down", "key_value_down"),
    ("query_up",),
    ("attention_output", "output"),
    ("router", "gate", "up"),
    ("down",),
)


@dataclass(frozen=True, slots=True)
class Site:
    """Matrices of a layer, by their names within it, that read one input: what the first of them is given."""

    names: tuple[str, ...]

    def module(self, layer: DecoderLayer) -> nn.Module:
        """The module that reads the input."""
        return layer.get_submodule(self.names[0])


def stages(weights: Mapping[str, Weight]) -> list[list[Site]]:
    """The sites of a layer, in the order in which text comes through them.

    An expert's matrices are a site apart, as it sees a part of the tokens; the router reads what all of them read.
    """
    matrices = [name for name, weight in weights.items() if len(weight.shape) == 2]
    result: list[list[Site]] = []
    for members in _STAGES:
        sites: dict[str, list[str]] = {}
        for name in matrices:
            owner, _, own = name.rpartition(".")
            if own in members:
                sites.setdefault(owner, []).append(name)
        if sites:
            result.append([Site(tuple(names)) for names in sites.values()])
    return result
