"""Every way to multiply gives what the reference gives, within what bfloat16 can hold, and can say why it was taken."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quant import kernels, rtn
from quant.kernels import torch_cpu, torch_dense, torch_op
from quant.kernels.interface import Candidate
from quant.kernels.reference import Reference
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

CPU = torch.device("cpu")
SPECS = [QuantSpec(4), QuantSpec(4, 32, symmetric=True), QuantSpec(4, 64), QuantSpec(8, 0), QuantSpec(8, 32)]
SUITED: list[tuple[Candidate, QuantSpec]] = [
    *((torch_cpu.Int4(), spec) for spec in SPECS[:3]),
    (torch_cpu.Int8Row(), QuantSpec(8, 0)),
    (torch_cpu.Int8Group(), QuantSpec(8, 32)),
    *((torch_dense.Dense(), spec) for spec in SPECS),
]
ROWS = [1, 2, 3, 5, 7, 8, 9, 17, 64, 65, 130]
SHAPES = [(1, 32), (16, 64), (50, 96), (33, 576), (130, 896)]


def example(spec: QuantSpec, rows: int, columns: int) -> QuantTensor:
    generator = torch.Generator().manual_seed(rows + columns)
    weight = torch.randn(rows, columns, generator=generator) + 0.1 * torch.randn(rows, 1, generator=generator)
    return rtn.quantize(weight * 0.05, spec)


def assert_close_for_bfloat16(y: Tensor, x: Tensor, tensor: QuantTensor) -> None:
    """Four roundings of 8 bits (input, weight or scale, two outputs) of relative size 2**-9 each bound a product.

    Those of inputs and scales add up over |x| @ |w|. Random signs make the error far smaller than that bound, so its
    root mean square is held against that of the result as well.
    """
    expected = x @ tensor.dequantize().t()
    # int4's zero point is rounded on its own, so the codes' offset counts as weight too.
    span = tensor.dequantize().abs() + tensor.dequantize().abs().amax(1, keepdim=True)
    bound = 4 * 2**-9 * (x.abs() @ span.t()) + 1e-6
    error = (y - expected).abs()
    assert y.dtype == torch.float32
    assert y.shape == expected.shape
    assert (error <= bound).all()
    if y.numel() >= 64:
        assert error.square().mean().sqrt() <= 0.006 * expected.square().mean().sqrt()


@pytest.mark.parametrize(("candidate", "spec"), SUITED, ids=lambda each: getattr(each, "name", str(each)))
def test_every_candidate_matches_the_reference(candidate: Candidate, spec: QuantSpec) -> None:
    if reason := candidate.refusal(example(spec, 16, 64), CPU):
        pytest.skip(reason)
    for rows, columns in SHAPES:
        if not spec.accepts(columns):
            continue
        tensor = example(spec, rows, columns)
        kernel = candidate.prepare(tensor, CPU)
        for count in ROWS:
            x = torch.randn(count, columns, generator=torch.Generator().manual_seed(count))
            assert_close_for_bfloat16(kernel.matmul(x), x, tensor)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_reference_multiplies_by_the_dequantized_matrix(spec: QuantSpec) -> None:
    tensor = example(spec, 37, 192)
    x = torch.randn(5, 192, generator=torch.Generator().manual_seed(0))
    expected = (x.double() @ tensor.dequantize().double().t()).float()
    torch.testing.assert_close(Reference().prepare(tensor, CPU).matmul(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("candidate", [torch_cpu.Int4(), torch_cpu.Int8Group()], ids=lambda each: each.name)
def test_packing_in_pieces_gives_what_packing_at_once_gives(
    candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensor = example(QuantSpec(4) if candidate.name == torch_cpu.Int4.name else QuantSpec(8, 32), 400, 64)
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    at_once = candidate.prepare(tensor, CPU).matmul(x)
    monkeypatch.setattr(torch_cpu, "_PIECE_WEIGHTS", 1)
    assert torch.equal(candidate.prepare(tensor, CPU).matmul(x), at_once)


def test_a_row_scale_is_not_rounded_to_bfloat16() -> None:
    weight = torch.ones(16, 32) * (1 + 2**-10)  # a scale that bfloat16 cannot hold
    kernel = torch_cpu.Int8Row().prepare(rtn.quantize(weight, QuantSpec(8, 0)), CPU)
    for count in (1, 200):
        y = kernel.matmul(torch.eye(32)[:1].repeat(count, 1))
        torch.testing.assert_close(y, weight[:, 0].repeat(count, 1), rtol=1e-6, atol=0)


def test_a_fallback_is_taken_when_an_op_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALCHAT_KERNEL", "torch")

    def failure(candidate: Candidate, *_: object) -> str | None:
        return "torch 1.0 cannot run it here" if "int4" in candidate.name else None

    monkeypatch.setattr(torch_op, "trial_failure", failure)
    for spec in (QuantSpec(4), QuantSpec(8, 32)):
        assert kernels.select(example(spec, 16, 32)).name == "torch dense copy"
    taken = {r.format: r.name for r in kernels.report() if r.chosen}
    assert taken == {
        "int4 by 32": "torch dense copy",
        "int8 by row": "torch int8 x bfloat16",
        "int8 by 32": "torch dense copy",
    }
    reasons = [r.reason for r in kernels.report() if r.name == "torch int4 x bfloat16"]
    assert reasons[0] == "torch 1.0 cannot run it here"


def test_dense_products_are_float32_where_bfloat16_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_dense, "_cpu_multiplies_bfloat16", lambda: False)
    tensor = example(QuantSpec(4), 33, 64)
    x = torch.randn(200, 64, generator=torch.Generator().manual_seed(0))
    expected = x @ tensor.dequantize().t()
    for candidate in (torch_dense.Dense(), torch_cpu.Int4()):
        torch.testing.assert_close(candidate.prepare(tensor, CPU).matmul(x), expected, rtol=1e-4, atol=1e-5)


def test_the_report_names_one_chosen_kernel_a_format_and_a_reason_for_the_others() -> None:
    reports = kernels.report()
    for name in {each.format for each in reports}:
        assert sum(each.chosen for each in reports if each.format == name) == 1
    assert all(bool(each.reason) != each.chosen for each in reports)


def test_the_environment_forces_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALCHAT_KERNEL", "reference")
    assert kernels.select(example(QuantSpec(4), 16, 32)).name == "reference float32"
    assert {r.name for r in kernels.report() if r.chosen} == {"reference float32"}
    assert "LOCALCHAT_KERNEL asks for reference" in {r.reason for r in kernels.report()}


def test_the_environment_cannot_ask_for_what_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALCHAT_KERNEL", "rocm")
    with pytest.raises(ValueError, match="torch or reference"):
        kernels.select(example(QuantSpec(4), 16, 32))
