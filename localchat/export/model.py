"""An installed model opened for export, and what every format asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from localchat.errors import UnsupportedModel
from localchat.export.precision import dense
from localchat.model.decoder import Weight
from localchat.model.families import SourceKind, TensorSource, tensor_plan
from localchat.model.spec import ModelSpec
from localchat.model.stored import from_stored, stored_spec
from localchat.text.chat_text import ChatText, load_chat_text
from localchat.translation import _
from localchat.weights.model_folder import open_model_folder

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """What is exported. The weights stay in the mapped file until they are written.

    Attributes:
        config: the model folder's config.json.
    """

    config: Mapping[str, Any]
    spec: ModelSpec
    weights: Mapping[str, Weight]
    text: ChatText


@dataclass(frozen=True, slots=True)
class Part:
    """One of our tensors and where it goes in a tensor of the format: its row i becomes row `rows[i]` (None: row i)."""

    ours: str
    rows: Rows | None = None
    added: float = 0.0


@dataclass(frozen=True, slots=True)
class Target:
    """A tensor of the format, made of one or several of ours.

    Attributes:
        shape: in the format.
        stacked: the parts are matrices one upon the other, in their order, and not rows of one matrix.
    """

    name: str
    shape: tuple[int, ...]
    parts: tuple[Part, ...]
    stacked: bool = False


def open_for_export(folder: Path) -> OpenedModel:
    """Open a model folder of ours.

    Raises:
        BadWeights, UnsupportedModel, BadTemplate: it cannot be used; the message says why.
    """
    opened = open_model_folder(folder)
    spec = stored_spec(opened)
    return OpenedModel(opened.config, spec, from_stored(opened, spec), load_chat_text(folder))


def targets(spec: ModelSpec, kind: SourceKind) -> list[Target]:
    """The tensors of the format, in the order of ours: the inverse of `tensor_plan`.

    Raises:
        UnsupportedModel: the format holds matrices with rows for columns, whose groups would lie the wrong way.
    """
    grouped: dict[str, dict[str, TensorSource]] = {}
    for ours, source in tensor_plan(spec, kind).items():
        if source.transposed:
            raise UnsupportedModel(
                _(
                    "Models of the family {family} cannot be exported to this format, which transposes their matrices."
                ).format(family=spec.family)
            )
        grouped.setdefault(source.name, {})[ours] = source
    return [_target(name, sources) for name, sources in grouped.items()]


def _target(name: str, sources: Mapping[str, TensorSource]) -> Target:
    first = next(iter(sources.values()))
    ordered = sorted(sources.items(), key=lambda item: item[1].index or 0)  # stable
    parts = tuple(Part(ours, source.row_order, source.added) for ours, source in ordered)
    return Target(name, first.stored_shape or first.shape, parts, first.index is not None)


def part_weights(target: Target, weights: Mapping[str, Weight]) -> list[Weight]:
    """The parts of a tensor as they stand in the format, but for the precision."""
    return [dense(weights[part.ours]) - part.added if part.added else weights[part.ours] for part in target.parts]


def check_read_back(spec: ModelSpec, found: ModelSpec, format: str) -> None:
    """Compare what a format would say of a model with the model; only names of families may differ.

    Raises:
        UnsupportedModel: something would be lost on the way, so that the export would run wrong.
    """
    ours, theirs = _comparable(spec), _comparable(found)
    if different := [name for name in ours if ours[name] != theirs[name]]:
        raise UnsupportedModel(
            _("Models of the family {family} cannot be exported to {format}: it would lose {different}.").format(
                family=spec.family, format=format, different=", ".join(different)
            )
        )


def _comparable(spec: ModelSpec) -> dict[str, Any]:
    """Fields in the precision of formats, float32, and what means the same in the same words."""
    values = spec.to_dict()
    del values["family"]  # of two that are alike, a format may know one
    values["attention_scale"] = values["attention_scale"] or spec.head_dim**-0.5
    if values["rope_long_factors"] == values["rope_factors"]:
        values["rope_long_factors"] = values["original_context_length"] = None
    return {name: _rounded(value) for name, value in values.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(np.float32(value))
    return tuple(map(_rounded, value)) if isinstance(value, (tuple, list)) else value
