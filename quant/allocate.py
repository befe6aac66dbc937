"""Spending a budget of bytes where it buys most: which matrix gets eight bits, which four, and in what groups.

The damage of a matrix is estimated from the curvature of the loss, as a product of two parts (Martens and Grosse, 2015,
arXiv 1503.05671): how much an output row matters (its mean squared gradient) and how much a change of weights changes
the outputs. For rounding that lets later columns make up for earlier ones, the latter is not the Hessian's diagonal but
its pivots (Frantar et al., 2022; Chee et al., 2023, arXiv 2307.13304, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from quant import search
from quant.spec import ROW_GROUP, QuantSpec

FOUR_BITS = tuple(QuantSpec(4, size, symmetric) for size in (128, 64, 32) for symmetric in (True, False))
EIGHT_BITS = (QuantSpec(8, ROW_GROUP), QuantSpec(8, 128), QuantSpec(8, 32))


@dataclass(frozen=True, slots=True)
class Option:
    """One way to hold a matrix. `damage` is in nats a token, or in anything that adds up."""

    spec: QuantSpec
    nbytes: int
    damage: float


def rounding_damage(weight: Tensor, spec: QuantSpec, row_importance: Tensor, column_importance: Tensor) -> float:
    """Half the sum of squared errors of `weight` [N, K] in `spec`, each times its row's and its column's importance."""
    change = search.quantize(weight, spec, column_importance).dequantize() - weight
    return 0.5 * float((change.square_() @ column_importance) @ row_importance)


def allocate(options: Mapping[str, Sequence[Option]], budget: int) -> dict[str, QuantSpec]:
    """The choice of one option a matrix with the least sum of damages found within `budget` bytes.

    Greedy along the lower convex hull of each matrix's options, the step with the largest fall in damage a byte first:
    best possible but for the one step that no longer fits (Shoham and Gersho, 1988, "Efficient bit allocation for an
    arbitrary set of quantizers").

    Raises:
        ValueError: not even the smallest options fit.
    """
    hulls = {name: _hull(choices) for name, choices in options.items()}
    chosen = dict.fromkeys(hulls, 0)
    left = budget - sum(hull[0].nbytes for hull in hulls.values())
    if left < 0:
        raise ValueError(f"the smallest choice takes {budget - left} bytes, more than the {budget} allowed")
    steps = [(_gain(hull, place), name, place) for name, hull in hulls.items() for place in range(1, len(hull))]
    stuck: set[str] = set()
    for _, name, place in sorted(steps, key=lambda step: (-step[0], step[1], step[2])):
        cost = hulls[name][place].nbytes - hulls[name][place - 1].nbytes
        if name in stuck or cost > left:
            stuck.add(name)  # what comes after on this hull builds on this step
            continue
        chosen[name] = place
        left -= cost
    return {name: hulls[name][place].spec for name, place in chosen.items()}


def _hull(choices: Sequence[Option]) -> list[Option]:
    """Those that are best for some price of a byte, by size."""
    hull: list[Option] = []
    for option in sorted(choices, key=lambda option: (option.nbytes, option.damage)):
        if hull and option.damage >= hull[-1].damage:
            continue
        while len(hull) > 1 and _slope(hull[-2], option) >= _slope(hull[-2], hull[-1]):
            hull.pop()
        hull.append(option)
    return hull


def _slope(smaller: Option, larger: Option) -> float:
    """Fall of damage a byte."""
    return (smaller.damage - larger.damage) / (larger.nbytes - smaller.nbytes)


def _gain(hull: Sequence[Option], place: int) -> float:
    return _slope(hull[place - 1], hull[place])
