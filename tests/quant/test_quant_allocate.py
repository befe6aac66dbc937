"""Spending bytes: within the budget, and where they save most."""

from __future__ import annotations

import itertools

import pytest
import torch
from layers import random_layer

from quant import gptq
from quant.allocate import EIGHT_BITS, FOUR_BITS, Option, allocate, rounding_damage
from quant.spec import QuantSpec
from quant.tensor import stored_bytes

SMALL, MIDDLE, LARGE = QuantSpec(4, 64), QuantSpec(4, 32), QuantSpec(8, 32)


def options(*damages: float, unit: int = 100) -> list[Option]:
    return [
        Option(spec, size * unit, damage)
        for spec, size, damage in zip((SMALL, MIDDLE, LARGE), (9, 10, 17), damages, strict=True)
    ]


def test_bytes_go_where_they_save_most() -> None:
    chosen = allocate({"dull": options(1.0, 0.9, 0.0), "keen": options(9.0, 8.0, 0.0)}, budget=2600)
    assert chosen == {"dull": SMALL, "keen": LARGE}


def test_an_option_that_is_larger_and_no_better_is_never_taken() -> None:
    assert allocate({"one": options(1.0, 1.5, 1.2)}, budget=10_000) == {"one": SMALL}


def test_the_choice_is_near_the_best_of_all_choices() -> None:
    generator = torch.Generator().manual_seed(3)
    table = {}
    for name in "abcdef":
        base, unit = (
            float(torch.rand((), generator=generator)) * 10,
            100 + int(torch.randint(300, (), generator=generator)),
        )
        table[name] = options(base, 0.7 * base, 0.01 * base, unit=unit)
    budget = int(
        0.6 * sum(each[-1].nbytes for each in table.values()) + 0.4 * sum(each[0].nbytes for each in table.values())
    )
    chosen = allocate(table, budget)
    picked = [next(option for option in table[name] if option.spec == spec) for name, spec in chosen.items()]
    assert sum(option.nbytes for option in picked) <= budget
    fitting = [each for each in itertools.product(*table.values()) if sum(option.nbytes for option in each) <= budget]
    best = min(sum(option.damage for option in each) for each in fitting)
    assert sum(option.damage for option in picked) <= 1.5 * best + 0.5


def test_a_budget_below_the_smallest_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="899"):
        allocate({"one": options(1.0, 0.5, 0.0)}, budget=899)


@pytest.mark.parametrize("spec", [*FOUR_BITS, *EIGHT_BITS], ids=str)
def test_bytes_are_known_before_there_is_a_tensor(spec: QuantSpec) -> None:
    weight, inputs = random_layer(rows=75)
    tensor = gptq.quantize(weight, spec, gptq.factorize(inputs.T @ inputs, spec.group_size))
    assert stored_bytes(spec, 75, 256) == tensor.nbytes


def test_the_estimate_puts_formats_in_the_order_of_what_they_cost_in_truth() -> None:
    weight, inputs = random_layer(tokens=4096)
    hessian = inputs.T @ inputs / len(inputs)
    column = gptq.pivots(hessian)
    estimated, true = {}, {}
    for spec in (*FOUR_BITS, *EIGHT_BITS):
        estimated[spec] = rounding_damage(weight, spec, torch.ones(96), column)
        held = gptq.quantize(weight, spec, gptq.factorize(hessian, spec.group_size)).dequantize()
        change = held - weight
        true[spec] = 0.5 * float(((change @ hessian) * change).sum())
    for one, other in itertools.combinations(estimated, 2):
        if max(true[one], true[other]) > 1.5 * min(true[one], true[other]):
            assert (estimated[one] < estimated[other]) == (true[one] < true[other]), (str(one), str(other))
    for spec, damage in estimated.items():
        assert 0.3 < damage / true[spec] < 3, str(spec)
