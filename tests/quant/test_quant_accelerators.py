"""CUDA and MPS, without either: torch's ops are replaced by what their source says, and shapes go through fake tensors.

The replacements check what the ops check and index as the kernels of ATen do (int4mm.cu, Quantized.metal), thread by
thread, so that they share nothing with the packing that is tested.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from quant import kernels, rtn
from quant.kernels import torch_cuda, torch_gpu, torch_mps, torch_op
from quant.kernels.torch_op import OpCandidate
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

CPU = torch.device("cpu")
INT4 = [QuantSpec(4), QuantSpec(4, 32, symmetric=True), QuantSpec(4, 64), QuantSpec(4, 128)]
INT8 = [QuantSpec(8, 32), QuantSpec(8, 128)]
ROW = QuantSpec(8, 0)
CANDIDATES: list[tuple[type[OpCandidate], QuantSpec]] = [
    *((torch_cuda.Int4, spec) for spec in INT4),
    *((torch_cuda.Int8, spec) for spec in (*INT8, ROW)),
    *((torch_mps.Int4, spec) for spec in INT4),
    *((torch_mps.Int8Group, spec) for spec in INT8),
    (torch_mps.Int8Row, ROW),
]
SHAPES = [(1, 32), (16, 128), (50, 96), (33, 576), (130, 896)]
ROWS = [1, 3, 8, 17, 130]


def cuda_pack(pairs: Tensor, tiles: int) -> Tensor:
    rows, columns = pairs.shape[0], 2 * pairs.shape[1]
    assert pairs.dtype == torch.uint8
    assert pairs.is_contiguous()
    assert tiles in (2, 4, 8)
    assert rows % 8 == columns % (tiles * 16) == 0
    words = torch.zeros(rows // 8, columns // (tiles * 16), 32, tiles // 2, dtype=torch.int64)
    thread = torch.arange(32)
    row = torch.arange(rows // 8).view(-1, 1, 1) * 8 + thread // 4
    for inner in range(0, tiles, 2):
        first = (torch.arange(words.shape[1]).view(1, -1, 1) * tiles + inner) * 8 + thread % 4
        v = [pairs[row, first + offset].long() for offset in (0, 4, 8, 12)]
        high = sum((each >> 4) << (4 * i) for i, each in enumerate(v))
        low = sum((each & 15) << (16 + 4 * i) for i, each in enumerate(v))
        words[..., inner // 2] = low | high
    return words.to(torch.int32)


def cuda_product(x: Tensor, packed: Tensor, group_size: int, scales_and_zeros: Tensor) -> Tensor:
    row_tiles, column_tiles, threads, pairs = packed.shape
    rows, columns = 8 * row_tiles, column_tiles * pairs * 32
    assert x.dtype == scales_and_zeros.dtype == torch.bfloat16
    assert packed.dtype == torch.int32
    assert x.is_contiguous()
    assert packed.is_contiguous()
    assert scales_and_zeros.is_contiguous()
    assert x.shape[1] == columns
    assert threads == 32
    assert pairs in (1, 2, 4)
    assert group_size in (32, 64, 128, 256)
    assert scales_and_zeros.shape == (columns // group_size, rows, 2)
    codes = torch.zeros(rows, columns)
    thread = torch.arange(32)
    row = torch.arange(row_tiles).view(-1, 1, 1) * 8 + thread // 4
    for pair in range(pairs):
        first = (torch.arange(column_tiles).view(1, -1, 1) * pairs + pair) * 32 + 2 * (thread % 4)
        for register in range(4):  # of two 16-bit halves, as they come out of `convert_i4x8_to_bf16x2x4`
            for half in range(2):
                shift = 4 * register + 16 * half
                codes[row, first + 8 * register + half] = (packed[..., pair].long() >> shift & 15).float() - 8
    weights = grouped(codes, scales_and_zeros).bfloat16()
    return x @ weights.t()


def mps_pack(pairs: Tensor, tiles: int) -> Tensor:
    rows, columns = pairs.shape[0], 2 * pairs.shape[1]
    assert pairs.dtype == torch.uint8
    assert rows % 8 == columns % (16 * tiles) == 0
    swapped = (pairs & 15) << 4 | pairs >> 4
    return swapped.contiguous().view(torch.int32).view(rows // 8, columns // (16 * tiles), 32, tiles // 2)


def mps_product(x: Tensor, packed: Tensor, group_size: int, scales_and_zeros: Tensor) -> Tensor:
    rows, columns = 8 * packed.shape[0], x.shape[1]
    assert x.dtype == scales_and_zeros.dtype == torch.float32
    assert x.is_contiguous()
    assert packed.is_contiguous()
    assert scales_and_zeros.shape == (columns // group_size, rows, 2)
    shorts = packed.view(torch.int16).view(rows, columns // 4).int()
    codes = torch.stack([shorts >> 4 * i & 15 for i in range(4)], dim=-1).view(rows, columns)
    return x @ grouped(codes - 8.0, scales_and_zeros).t()


def mps_int8_product(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    assert x.dtype == scales.dtype == torch.float32
    assert codes.dtype == torch.int8
    assert x.is_contiguous()
    assert codes.is_contiguous()
    assert codes.shape[0] % 32 == codes.shape[1] % 32 == 0
    return x @ codes.float().t() * scales


def grouped(codes: Tensor, scales_and_zeros: Tensor) -> Tensor:
    scales, zeros = scales_and_zeros.float().permute(2, 1, 0).unsqueeze(-1)
    return (codes.view(*scales.shape[:2], -1) * scales + zeros).view(codes.shape)


def on_cpu(kind: type[OpCandidate], monkeypatch: pytest.MonkeyPatch) -> OpCandidate:
    """A candidate that takes the CPU for its device, and the ops of that device."""
    pack, product = (cuda_pack, cuda_product) if kind.device_type == "cuda" else (mps_pack, mps_product)
    monkeypatch.setattr(torch, "_convert_weight_to_int4pack", pack)
    monkeypatch.setattr(torch, "_weight_int4pack_mm", product)
    monkeypatch.setattr(torch, "_weight_int8pack_mm", mps_int8_product)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    candidate = kind()
    candidate.device_type = "cpu"
    return candidate


def example(spec: QuantSpec, rows: int, columns: int) -> QuantTensor:
    generator = torch.Generator().manual_seed(rows + columns)
    return rtn.quantize(torch.randn(rows, columns, generator=generator) * 0.05 + 0.01, spec)


def activations(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))


@pytest.mark.parametrize(("kind", "spec"), CANDIDATES, ids=lambda each: getattr(each, "name", str(each)))
def test_every_candidate_matches_the_reference(
    kind: type[OpCandidate], spec: QuantSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = on_cpu(kind, monkeypatch)
    allowed = 0.01 if kind.device_type == "cuda" else 1e-5
    for rows, columns in SHAPES:
        if not spec.accepts(columns):
            continue
        tensor = example(spec, rows, columns)
        assert candidate.refusal(tensor, CPU) is None
        kernel = candidate.prepare(tensor, CPU)
        for count in ROWS:
            x = activations(count, columns)
            y, weights = kernel.matmul(x), tensor.dequantize()
            assert (y.dtype, y.shape) == (torch.float32, (count, rows))
            size = x.norm() * weights.norm() / columns**0.5  # of the product, if nothing cancels by chance
            assert (y - x @ weights.t()).norm() <= allowed * size


@pytest.mark.parametrize("kind", [torch_cuda.Int4, torch_mps.Int4], ids=lambda kind: kind.name)
@pytest.mark.parametrize("columns", [32, 64, 96, 128, 640, 1024])
def test_weights_are_expanded_to_what_the_op_multiplies_by(
    kind: type[OpCandidate], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = on_cpu(kind, monkeypatch).prepare(example(QuantSpec(4), 48, columns), CPU)
    assert isinstance(kernel, torch_gpu.Int4Kernel)
    one_by_one = kernel.matmul(torch.eye(columns)[:7])
    assert torch.equal(kernel.matmul(torch.eye(columns).repeat(4, 1))[:7], one_by_one)


@pytest.mark.parametrize(("kind", "spec"), [(torch_mps.Int4, INT4[0]), (torch_mps.Int8Group, INT8[0])], ids=str)
def test_expanding_in_pieces_gives_what_expanding_at_once_gives(
    kind: type[OpCandidate], spec: QuantSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = on_cpu(kind, monkeypatch).prepare(example(spec, 130, 64), CPU)
    x = activations(200, 64)
    at_once = kernel.matmul(x)
    monkeypatch.setattr(torch_gpu, "_PIECE_WEIGHTS", 1)
    torch.testing.assert_close(kernel.matmul(x), at_once)


@pytest.mark.parametrize("kind", [torch_cuda.Int8, torch_mps.Int8Row], ids=lambda kind: kind.name)
def test_a_row_scale_is_not_rounded_to_bfloat16(kind: type[OpCandidate], monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.ones(16, 32) * (1 + 2**-10)  # a scale that bfloat16 cannot hold
    kernel = on_cpu(kind, monkeypatch).prepare(rtn.quantize(weight, ROW), CPU)
    for count in (1, 200):
        y = kernel.matmul(torch.eye(32)[:1].repeat(count, 1))
        torch.testing.assert_close(y, weight[:, 0].repeat(count, 1), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("kind", "spec"), CANDIDATES, ids=lambda each: getattr(each, "name", str(each)))
def test_shapes_dtypes_and_devices_are_right_on_the_device(kind: type[OpCandidate], spec: QuantSpec) -> None:
    device, tensor = torch.device(kind.device_type, 0), example(spec, 50, 384)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = {name: mode.from_tensor(part) for name, part in tensor.parts().items()}
        kernel = kind().prepare(QuantTensor.from_parts(spec, tensor.shape, fake), device)
        for count in (1, 7, 512):
            y = kernel.matmul(torch.empty(count, 384, device=device))
            assert (y.shape, y.dtype, y.device) == ((count, 50), torch.float32, device)


@pytest.mark.parametrize(
    ("device", "chosen"),
    [
        ("cuda:0", ["torch CUDA int4 x bfloat16", "torch CUDA 2 x int4 x bfloat16", "torch CUDA 2 x int4 x bfloat16"]),
        ("mps", ["torch MPS int4 x float32", "torch MPS int8 x float32", "torch MPS 2 x int4 x float32"]),
    ],
)
def test_each_device_gets_its_own_products(device: str, chosen: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 6))
    monkeypatch.setattr(torch_op, "trial_failure", lambda *_: None)
    reports = kernels.report(device)
    assert [each.format for each in reports if each.chosen] == ["int4 by 32", "int8 by row", "int8 by 32"]
    assert [each.name for each in reports if each.chosen] == chosen


def test_an_old_cuda_device_gets_dense_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    reports = kernels.report("cuda:0")
    assert {each.name for each in reports if each.chosen} == {"torch dense copy"}
    reasons = {each.reason for each in reports if each.name == "torch CUDA int4 x bfloat16"}
    assert "needs compute capability 8.0, and this device has 7.5" in reasons


def test_candidates_refuse_other_devices_and_formats() -> None:
    assert torch_cuda.Int4().refusal(example(INT4[0], 16, 64), CPU) == "runs on cuda only"
    assert torch_mps.Int4().refusal(example(INT4[0], 16, 64), torch.device("cuda:0")) == "runs on mps only"
    assert torch_cuda.Int4().refusal(example(ROW, 16, 64), torch.device("cuda:0")) == "is for int4"
    reason = torch_cuda.Int8().refusal(example(INT4[0], 16, 64), torch.device("cuda:0"))
    assert reason == "is for int8 by group and int8 by row"


def missing(*_: object) -> Tensor:
    raise AttributeError("module 'torch' has no attribute '_weight_int4pack_mm'")


def refusing(*_: object) -> Tensor:
    raise NotImplementedError("The operator is not implemented\nfor this device")


def mistaken(x: Tensor, packed: Tensor, group_size: int, scales_and_zeros: Tensor) -> Tensor:
    return cuda_product(x, packed.roll(1, 0), group_size, scales_and_zeros)


def without_numbers(x: Tensor, packed: Tensor, group_size: int, scales_and_zeros: Tensor) -> Tensor:
    return cuda_product(x, packed, group_size, scales_and_zeros) * torch.nan


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (missing, "cannot run it here (module 'torch' has no attribute '_weight_int4pack_mm')"),
        (refusing, "cannot run it here (The operator is not implemented)"),
        (mistaken, "runs it here with a wrong result"),
        (without_numbers, "runs it here with a wrong result"),
    ],
)
def test_an_op_that_torch_lacks_or_changed_is_noticed(op: object, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = on_cpu(torch_cuda.Int4, monkeypatch)
    monkeypatch.setattr(torch, "_weight_int4pack_mm", op)
    assert candidate.refusal(example(INT4[0], 16, 64), CPU) == f"torch {torch.__version__} {reason}"


def test_a_packing_that_torch_changed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The op would go on working, but weights could no longer be expanded from its packing."""
    candidate = on_cpu(torch_cuda.Int4, monkeypatch)
    monkeypatch.setattr(torch, "_convert_weight_to_int4pack", lambda pairs, tiles: cuda_pack(pairs, tiles).flip(0))
    monkeypatch.setattr(torch, "_weight_int4pack_mm", lambda x, packed, *rest: cuda_product(x, packed.flip(0), *rest))
    assert "wrong result" in str(candidate.refusal(example(INT4[0], 16, 64), CPU))
