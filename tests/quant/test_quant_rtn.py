"""Rounding to nearest: how far a weight may move, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quant import pack, rtn
from quant.spec import QuantSpec

COVERING = [QuantSpec(4), QuantSpec(4, 64), QuantSpec(4, 128), QuantSpec(8, 0), QuantSpec(8, 32), QuantSpec(8, 128)]
ALL = [*COVERING, QuantSpec(4, 32, symmetric=True), QuantSpec(4, 128, symmetric=True)]


def random_weight(rows: int, columns: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def step_of_each(tensor: rtn.QuantTensor) -> Tensor:
    """The scale of every weight, [N, K]."""
    scales = pack.unpack_scales(tensor.scales)[: tensor.shape[0]].float()
    return scales.repeat_interleave(tensor.shape[1] // scales.shape[1], dim=1)


@pytest.mark.parametrize("spec", COVERING, ids=str)
@pytest.mark.parametrize("offset", [0.0, 3.0, -100.0])
@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-6, 500.0])
def test_no_weight_moves_by_more_than_half_a_step(spec: QuantSpec, offset: float, size: float) -> None:
    weight = (random_weight(19, 384) + offset) * size
    tensor = rtn.quantize(weight, spec)
    error = (tensor.dequantize() - weight).abs()
    rounding = 2e-7 * weight.abs()  # of float32 itself
    assert (error <= step_of_each(tensor) / 2 * (1 + 1e-6) + rounding).all()


def test_symmetric_int4_moves_no_weight_by_more_than_a_step() -> None:
    weight = random_weight(19, 384)
    tensor = rtn.quantize(weight, QuantSpec(4, 32, symmetric=True))
    error = (tensor.dequantize() - weight).abs()
    assert (error <= step_of_each(tensor).abs() * 1.01).all()
    assert (error <= step_of_each(tensor).abs() / 2 * 1.01).float().mean() > 0.98


@pytest.mark.parametrize("spec", ALL, ids=str)
def test_quantizing_what_was_dequantized_changes_little(spec: QuantSpec) -> None:
    once = rtn.quantize(random_weight(16, 256), spec).dequantize()
    twice = rtn.quantize(once, spec).dequantize()
    assert (twice - once).abs().max() <= 0.01 * once.abs().max()


@pytest.mark.parametrize("spec", ALL, ids=str)
def test_zero_stays_exactly_zero(spec: QuantSpec) -> None:
    assert not rtn.quantize(torch.zeros(3, 128), spec).dequantize().any()


def test_a_constant_group_is_kept_to_the_precision_of_float16() -> None:
    weight = torch.full((2, 64), 0.1)
    assert (rtn.quantize(weight, QuantSpec(4)).dequantize() - weight).abs().max() < 0.1 * 2**-11


def test_the_range_is_the_groups_own_even_far_from_zero() -> None:
    weight = random_weight(4, 64) * 0.01 + 1
    error = (rtn.quantize(weight, QuantSpec(4)).dequantize() - weight).abs().max()
    assert error < 0.004  # a range that had to contain zero would make it 0.03


def test_rows_quantize_alone_as_they_do_together(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = random_weight(75, 96)
    whole = rtn.quantize(weight, QuantSpec(4))
    monkeypatch.setattr(rtn, "_BLOCK_WEIGHTS", 32 * 96)
    in_blocks = rtn.quantize(weight, QuantSpec(4))
    for name, part in whole.parts().items():
        assert torch.equal(part, in_blocks.parts()[name])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_float_dtype_quantizes_as_its_float32_value(dtype: torch.dtype) -> None:
    weight = random_weight(8, 64).to(dtype)
    assert torch.equal(
        rtn.quantize(weight, QuantSpec(4)).dequantize(), rtn.quantize(weight.float(), QuantSpec(4)).dequantize()
    )


@pytest.mark.parametrize("spec", ALL, ids=str)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_weight_that_is_not_finite_is_refused(spec: QuantSpec, bad: float) -> None:
    weight = random_weight(20, 128)
    weight[18, 77] = bad
    with pytest.raises(ValueError, match="finite"):
        rtn.quantize(weight, spec)


@pytest.mark.parametrize("spec", [s for s in ALL if s.group_size], ids=str)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_scale_beyond_float16_is_refused(spec: QuantSpec, sign: int) -> None:
    weight = random_weight(4, 128)
    weight[1, 5] = sign * 1e8
    with pytest.raises(ValueError, match="float16"):
        rtn.quantize(weight, spec)


def test_a_row_scale_has_the_range_of_float32() -> None:
    weight = random_weight(4, 128) * 1e30
    assert (rtn.quantize(weight, QuantSpec(8, 0)).dequantize() - weight).abs().max() < 0.005 * weight.abs().max()


@pytest.mark.parametrize(
    ("weight", "spec"),
    [
        (torch.zeros(4, 48), QuantSpec(4)),
        (torch.zeros(4, 96), QuantSpec(4, 64)),
        (torch.zeros(4, 16), QuantSpec(8, 0)),
        (torch.zeros(0, 32), QuantSpec(4)),
        (torch.zeros(32), QuantSpec(4)),
        (torch.zeros(4, 32, dtype=torch.int64), QuantSpec(4)),
    ],
)
def test_what_is_no_matrix_of_whole_groups_is_refused(weight: Tensor, spec: QuantSpec) -> None:
    with pytest.raises(ValueError):
        rtn.quantize(weight, spec)
