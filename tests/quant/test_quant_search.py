"""The search for scales and minimums: nearer than rounding, and nearer still where it counts."""

from __future__ import annotations

import pytest
import torch
from layers import random_layer

from quant import rtn, search
from quant.spec import QuantSpec

SPECS = [QuantSpec(4, size, symmetric) for size in (32, 64, 128) for symmetric in (False, True)]
EIGHT = [QuantSpec(8, size) for size in (0, 32, 128)]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_squared_error_is_less_than_that_of_rounding(spec: QuantSpec) -> None:
    weight, _ = random_layer()
    searched = (search.quantize(weight, spec).dequantize() - weight).square().sum()
    rounded = (rtn.quantize(weight, spec).dequantize() - weight).square().sum()
    assert searched < 0.93 * rounded


@pytest.mark.parametrize("spec", EIGHT, ids=str)
def test_with_eight_bits_it_is_never_worse(spec: QuantSpec) -> None:
    weight, _ = random_layer()
    searched = (search.quantize(weight, spec).dequantize() - weight).square().sum()
    rounded = (rtn.quantize(weight, spec).dequantize() - weight).square().sum()
    assert searched <= rounded


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_columns_that_matter_get_less_error(spec: QuantSpec) -> None:
    weight, inputs = random_layer()
    importance = inputs.square().mean(0)
    alike = (search.quantize(weight, spec).dequantize() - weight).square() @ importance
    weighted = (search.quantize(weight, spec, importance).dequantize() - weight).square() @ importance
    assert weighted.sum() < 0.9 * alike.sum()


@pytest.mark.parametrize("spec", [*SPECS, *EIGHT], ids=str)
def test_zero_stays_zero_and_a_constant_stays_what_it_is(spec: QuantSpec) -> None:
    assert not search.quantize(torch.zeros(3, 128), spec).dequantize().any()
    assert (search.quantize(torch.full((3, 128), -0.7), spec).dequantize() + 0.7).abs().max() < 0.001


def test_columns_that_were_never_used_still_get_sensible_codes() -> None:
    weight, _ = random_layer()
    importance = torch.zeros(256)
    importance[:32] = 1.0
    error = (search.quantize(weight, QuantSpec(4), importance).dequantize() - weight).square()
    assert (
        error[:, 32:].sum() < 1.01 * (rtn.quantize(weight, QuantSpec(4)).dequantize() - weight)[:, 32:].square().sum()
    )


def test_rows_alone_become_what_they_become_together(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, _ = random_layer(75)
    whole = search.quantize(weight, QuantSpec(4))
    monkeypatch.setattr(search, "_BLOCK_WEIGHTS", 32 * 256)
    assert torch.equal(search.quantize(weight, QuantSpec(4)).packed, whole.packed)


@pytest.mark.parametrize("spec", [QuantSpec(4), QuantSpec(4, 32, True), QuantSpec(8, 32)], ids=str)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e9])
def test_a_weight_that_cannot_be_held_is_refused(spec: QuantSpec, bad: float) -> None:
    weight, _ = random_layer()
    weight[40, 7] = bad
    with pytest.raises(ValueError, match="finite"):
        search.quantize(weight, spec)


@pytest.mark.parametrize("importance", [torch.ones(255), -torch.ones(256), torch.full((256,), torch.nan)])
def test_an_importance_that_is_none_is_refused(importance: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="256"):
        search.quantize(random_layer()[0], QuantSpec(4), importance)
