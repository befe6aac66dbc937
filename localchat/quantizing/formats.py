"""What each matrix of a model becomes: the same for all layers, or chosen within a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from localchat.errors import InvalidSetting
from localchat.hub.importer import target_spec
from localchat.model.families import parameter_count
from localchat.model.sources import WeightSource
from localchat.quantizing.options import QuantizeOptions
from localchat.translation import _
from quant.allocate import Option, allocate
from quant.spec import QuantSpec
from quant.tensor import stored_bytes

Formats = dict[str, QuantSpec]


def plain_formats(source: WeightSource, options: QuantizeOptions) -> Formats:
    """All layers alike, the vocabulary in int8; a matrix whose rows the groups do not fit has smaller ones."""
    formats: Formats = {}
    for name, entry in source.plan.items():
        if len(entry.shape) != 2:
            continue
        spec = target_spec(name, options.bits)
        sizes = [size for size in (128, 64, 32) if size <= options.group_size]
        fitting = [size for size in sizes if QuantSpec(spec.bits, size).accepts(entry.shape[1])]
        formats[name] = QuantSpec(spec.bits, fitting[0]) if fitting and not name.endswith("embedding") else spec
    return formats


def chosen_formats(
    source: WeightSource, plain: Formats, options: Mapping[str, Sequence[Option]], budget: float | None
) -> Formats:
    """The formats with the least damage within `budget` bits a weight; None is what the plain ones take.

    Raises:
        InvalidSetting: the budget is too small for any choice.
    """
    choices = {name: options[name] for name in plain if options.get(name) and not name.endswith("router")}
    total = parameter_count(source.spec)
    taken = {name: _bytes(entry.shape, plain.get(name)) for name, entry in source.plan.items()}
    allowed = sum(taken.values()) if budget is None else int(budget * total / 8)
    fixed = sum(size for name, size in taken.items() if name not in choices)
    try:
        return plain | allocate(choices, allowed - fixed)
    except ValueError as error:
        least = fixed + sum(min(option.nbytes for option in each) for each in choices.values())
        raise InvalidSetting(
            _("The budget of {budget} bits a weight is too small for this model.").format(budget=budget),
            _("The least possible is {least}.").format(least=math.ceil(80 * least / total) / 10),
        ) from error


def _bytes(shape: tuple[int, ...], spec: QuantSpec | None) -> int:
    if spec is None or not spec.accepts(shape[1]):
        return 4 * math.prod(shape)
    return stored_bytes(spec, shape[0], shape[1])
