"""What a quantized matrix means, and that stored parts are believed only when they fit."""

from __future__ import annotations

import pytest
import torch

from quant import pack, rtn, tensor
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

SPECS = [QuantSpec(4), QuantSpec(4, 64, symmetric=True), QuantSpec(8, 0), QuantSpec(8, 64)]


def example(spec: QuantSpec, rows: int = 37, columns: int = 192) -> QuantTensor:
    return rtn.quantize(torch.randn(rows, columns, generator=torch.Generator().manual_seed(1)), spec)


def test_int4_is_code_times_scale_plus_minimum() -> None:
    codes = torch.arange(64, dtype=torch.uint8).view(1, 64) % 16
    scales, minimums = torch.tensor([[0.5, -2.0]]).half(), torch.tensor([[-3.0, 0.25]]).half()
    parts = {
        "packed": pack.pack(codes, 4),
        "scales": pack.pack_scales(scales),
        "minimums": pack.pack_scales(minimums),
    }
    weights = QuantTensor.from_parts(QuantSpec(4), (1, 64), parts).dequantize()
    expected = torch.cat((codes[0, :32] * 0.5 - 3.0, codes[0, 32:] * -2.0 + 0.25))
    assert torch.equal(weights[0], expected)


def test_symmetric_int4_is_code_minus_8_times_scale() -> None:
    codes = torch.arange(32, dtype=torch.uint8).view(1, 32) % 16
    parts = {"packed": pack.pack(codes, 4), "scales": pack.pack_scales(torch.tensor([[0.5]]).half())}
    weights = QuantTensor.from_parts(QuantSpec(4, symmetric=True), (1, 32), parts).dequantize()
    assert torch.equal(weights, (codes.float() - 8) * 0.5)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_rows_are_those_of_the_whole_matrix(spec: QuantSpec) -> None:
    matrix = example(spec)
    ids = torch.tensor([36, 0, 15, 16, 36])
    assert torch.equal(matrix.rows(ids), matrix.dequantize()[ids])
    assert matrix.rows(torch.tensor([], dtype=torch.int64)).shape == (0, 192)


@pytest.mark.parametrize("bad", [-1, 37, 47, 48])
def test_a_row_outside_the_matrix_is_refused_even_within_the_padding(bad: int) -> None:
    with pytest.raises(IndexError):
        example(QuantSpec(4)).rows(torch.tensor([0, bad]))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_dequantizing_in_blocks_changes_nothing(spec: QuantSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = example(spec)
    whole = matrix.dequantize()
    monkeypatch.setattr(tensor, "_BLOCK_WEIGHTS", 16 * 192)
    assert torch.equal(matrix.dequantize(), whole)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_another_dtype_is_rounded_from_float32(spec: QuantSpec) -> None:
    matrix = example(spec)
    assert torch.equal(matrix.dequantize(torch.bfloat16), matrix.dequantize().bfloat16())


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_parts_give_the_same_matrix_back(spec: QuantSpec) -> None:
    matrix = example(spec)
    again = QuantTensor.from_parts(spec, matrix.shape, matrix.parts())
    assert torch.equal(again.dequantize(), matrix.dequantize())


@pytest.mark.parametrize(
    ("spec", "nbytes"),
    [
        (QuantSpec(4), 48 * 192 // 2 + 2 * 2 * 48 * 6),
        (QuantSpec(4, 64, symmetric=True), 48 * 192 // 2 + 2 * 48 * 3),
        (QuantSpec(8, 0), 48 * 192 + 4 * 48),
        (QuantSpec(8, 64), 48 * 192 + 2 * 48 * 3),
    ],
    ids=str,
)
def test_nbytes_counts_codes_scales_and_minimums(spec: QuantSpec, nbytes: int) -> None:
    assert example(spec).nbytes == nbytes


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_parts_that_do_not_fit_the_shape_are_refused(spec: QuantSpec) -> None:
    matrix = example(spec)
    for wrong in ((53, 192), (37, 224), (0, 192), (37, 0)):
        with pytest.raises(ValueError):
            QuantTensor.from_parts(spec, wrong, matrix.parts())
    for name, part in matrix.parts().items():
        with pytest.raises(ValueError, match=name):
            QuantTensor.from_parts(spec, matrix.shape, {**matrix.parts(), name: part.to(torch.float64)})
        with pytest.raises(ValueError, match=name):
            QuantTensor.from_parts(spec, matrix.shape, {**matrix.parts(), name: part[:-1]})
        with pytest.raises(ValueError, match="parts"):
            QuantTensor.from_parts(spec, matrix.shape, {n: p for n, p in matrix.parts().items() if n != name})
    with pytest.raises(ValueError, match="parts"):
        QuantTensor.from_parts(spec, matrix.shape, {**matrix.parts(), "zeros": matrix.scales})
