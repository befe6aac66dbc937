"""Blocks move from GGUF into our format without a value changing, or with less change than rounding anew brings."""

from __future__ import annotations

from pathlib import Path

import gguf
import gguf_writing as writing
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from localchat.errors import BadWeights
from localchat.weights.gguf_blocks import to_quant_tensor
from localchat.weights.gguf_file import GGUFFile
from quant import pack, rtn
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

EXACT = {
    "Q4_0": QuantSpec(4, 32, symmetric=True),
    "Q4_1": QuantSpec(4, 32),
    "Q5_0": QuantSpec(8, 32),
    "Q8_0": QuantSpec(8, 32),
}
NEAR = {"Q4_K": QuantSpec(4, 32), "Q5_1": QuantSpec(8, 32), "Q5_K": QuantSpec(8, 32)}


def moved(kind: str, data: NDArray[np.uint8], folder: Path) -> QuantTensor | None:
    return to_quant_tensor(GGUFFile(writing.write_gguf(folder / "m.gguf", {"w": (kind, data)})), "w")


def reference(kind: str, data: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(gguf.quants.dequantize(data, gguf.GGMLQuantizationType[kind]).copy())


def blocks_with(kind: str, halves: NDArray[np.float16], seed: int) -> NDArray[np.uint8]:
    """A matrix [rows, 512] of random codes, with these numbers [blocks, 2] for scale and minimum of each block."""
    weights, size = writing.block_size(kind)
    data = writing.random_rows(kind, len(halves) * weights // 512, 512, seed)
    data.reshape(-1, size)[:, :4] = halves.view(np.uint8)
    return data


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(1, 32), (37, 96), (64, 576)])
def test_the_values_are_the_same_bit_for_bit(kind: str, extreme: bool, rows: int, columns: int, tmp_path: Path) -> None:
    data = writing.random_rows(kind, rows, columns, seed=rows, extreme=extreme)
    file = GGUFFile(writing.write_gguf(tmp_path / "m.gguf", {"w": (kind, data)}))
    tensor = to_quant_tensor(file, "w")
    assert tensor is not None
    assert tensor.spec == EXACT[kind]
    assert tensor.shape == (rows, columns)
    assert torch.equal(tensor.dequantize().view(torch.int32), file.float32("w").view(torch.int32))


@pytest.mark.parametrize("kind", [kind for kind in writing.READABLE if kind not in EXACT | NEAR])
def test_a_type_that_would_change_is_left_to_the_caller(kind: str, tmp_path: Path) -> None:
    data = writing.random_rows(kind, 4, 256, seed=0)
    file = GGUFFile(writing.write_gguf(tmp_path / "m.gguf", {"w": (kind, data)}))
    assert to_quant_tensor(file, "w") is None


def test_a_vector_is_left_to_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    content = writing.header([], [writing.tensor("w", [32], 8, 0)])
    path.write_bytes(content + bytes(-len(content) % 32) + bytes(34))
    assert to_quant_tensor(GGUFFile(path), "w") is None


@pytest.mark.parametrize("kind", EXACT | NEAR)
def test_a_scale_that_is_no_number_is_damage(kind: str, tmp_path: Path) -> None:
    data = writing.random_rows(kind, 4, 256, seed=0)
    data[2, 0:2] = (0x00, 0x7C)  # infinity in float16
    file = GGUFFile(writing.write_gguf(tmp_path / "m.gguf", {"w": (kind, data)}))
    with pytest.raises(BadWeights, match="scale of w"):
        to_quant_tensor(file, "w")


def test_a_tensor_that_is_not_there_is_named(tmp_path: Path) -> None:
    data = writing.random_rows("Q4_1", 4, 64, seed=0)
    file = GGUFFile(writing.write_gguf(tmp_path / "m.gguf", {"w": ("Q4_1", data)}))
    with pytest.raises(BadWeights, match="elsewhere"):
        to_quant_tensor(file, "elsewhere")


@pytest.mark.parametrize("exponents", [(-24, -14), (-14, 0), (0, 9)])
def test_q4_k_keeps_its_codes_and_rounds_scales_and_minimums_to_float16(
    exponents: tuple[float, float], tmp_path: Path
) -> None:
    random = np.random.default_rng(3)
    halves = 2 ** random.uniform(*exponents, (74, 2)) * random.choice([-1.0, 1.0], (74, 2))
    data = blocks_with("Q4_K", halves.astype(np.float16), seed=3)
    tensor = moved("Q4_K", data, tmp_path)
    assert tensor is not None
    assert tensor.minimums is not None
    assert (tensor.spec, tensor.shape) == (NEAR["Q4_K"], (37, 512))
    nibbles = data.reshape(-1, 144)[:, 16:].reshape(-1, 4, 32)
    codes = torch.from_numpy(np.stack([nibbles & 15, nibbles >> 4], axis=2).reshape(37, 512))
    assert torch.equal(pack.unpack(tensor.packed, 4)[:37], codes)
    scales, minimums = (
        pack.unpack_scales(part)[:37].double().repeat_interleave(32, dim=1) for part in (tensor.scales, tensor.minimums)
    )
    off = (tensor.dequantize() - reference("Q4_K", data)).abs()
    assert (off <= 2**-11 * 1.001 * (codes * scales.abs() + minimums.abs())).all()  # half a float16 step, and float32's


def test_q4_k_loses_nothing_where_float16_is_subnormal(tmp_path: Path) -> None:
    halves = np.random.default_rng(4).integers(1, 17, (20, 2), dtype=np.uint16).view(np.float16)  # times 2^-24
    data = blocks_with("Q4_K", halves, seed=4)
    tensor = moved("Q4_K", data, tmp_path)
    assert tensor is not None
    assert tensor.scales.abs().max() < 2**-14
    assert torch.equal(tensor.dequantize(), reference("Q4_K", data))


@pytest.mark.parametrize("at", [0, 1])
def test_q4_k_with_a_product_beyond_float16_is_left_to_the_caller(at: int, tmp_path: Path) -> None:
    halves = np.ones((20, 2), np.float16)
    halves[7, at] = 60000
    assert moved("Q4_K", blocks_with("Q4_K", halves, seed=5), tmp_path) is None


@pytest.mark.parametrize("kind", ["Q5_1", "Q5_K"])
@pytest.mark.parametrize(("size", "gain"), [(1.0, 0.8), (2.0**-16, 1.0), (2.0**-22, 1.0)])
def test_five_bits_and_a_minimum_come_nearer_than_by_rounding(
    kind: str, size: float, gain: float, tmp_path: Path
) -> None:
    random = np.random.default_rng(6)
    step = random.uniform(0.5, 2, (592, 1)) * size
    offset = step * random.uniform(10, 22, (592, 1)) * (-1 if kind == "Q5_1" else 1)
    data = blocks_with(kind, np.concatenate([step, offset], axis=1).astype(np.float16), seed=6)
    tensor, expected = moved(kind, data, tmp_path), reference(kind, data)
    assert tensor is not None
    assert tensor.spec == NEAR[kind]
    rounded = rtn.quantize(expected, NEAR[kind]).dequantize()
    assert (tensor.dequantize() - expected).norm() <= gain * (rounded - expected).norm()


def test_a_minimum_of_whole_parts_of_a_step_is_kept_exactly(tmp_path: Path) -> None:
    parts = np.array([[6, -84], [7, -112], [6, -99], [8, -30]], np.float16)  # -14, -16, -16.5, -3.75 steps
    data = blocks_with("Q5_1", np.tile(parts, (8, 1)) / 1024, seed=7)
    tensor = moved("Q5_1", data, tmp_path)
    assert tensor is not None
    assert torch.equal(tensor.dequantize(), reference("Q5_1", data))


@pytest.mark.parametrize("kind", ["Q5_1", "Q5_K"])
def test_zeros_stay_zeros(kind: str, tmp_path: Path) -> None:
    tensor = moved(kind, blocks_with(kind, np.zeros((16, 2), np.float16), seed=8), tmp_path)
    assert tensor is not None
    assert not tensor.dequantize().any()


def test_real_q4_k_changes_by_less_than_a_thousandth(qwen_gguf: Path) -> None:
    file = GGUFFile(qwen_gguf)
    name = next(name for name, info in file.tensors.items() if info.type == "Q4_K")
    tensor, expected = to_quant_tensor(file, name), file.float32(name)
    assert tensor is not None
    assert (tensor.dequantize() - expected).norm() < 0.001 * expected.norm()


@pytest.mark.parametrize("model", ["smollm2_gguf", "qwen_gguf"])
def test_real_matrices_keep_their_values(model: str, request: pytest.FixtureRequest) -> None:
    file = GGUFFile(request.getfixturevalue(model))
    checked = set()
    for name, info in file.tensors.items():
        if info.type in EXACT and info.type not in checked and info.nbytes < 1 << 23:
            tensor = to_quant_tensor(file, name)
            assert tensor is not None
            assert torch.equal(tensor.dequantize().view(torch.int32), file.float32(name).view(torch.int32))
            checked.add(info.type)
    assert checked
