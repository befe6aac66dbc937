"""Blocks move from GGUF into our format without a value changing."""

from __future__ import annotations

from pathlib import Path

import gguf_writing as writing
import pytest
import torch

from localchat.errors import BadWeights
from localchat.weights.gguf_blocks import to_quant_tensor
from localchat.weights.gguf_file import GGUFFile
from quant.spec import QuantSpec

EXACT = {
    "Q4_0": QuantSpec(4, 32, symmetric=True),
    "Q4_1": QuantSpec(4, 32),
    "Q5_0": QuantSpec(8, 32),
    "Q8_0": QuantSpec(8, 32),
}


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


@pytest.mark.parametrize("kind", [kind for kind in writing.READABLE if kind not in EXACT])
def test_a_type_that_would_change_is_left_to_the_caller(kind: str, tmp_path: Path) -> None:
    data = writing.random_rows(kind, 4, 256, seed=0)
    file = GGUFFile(writing.write_gguf(tmp_path / "m.gguf", {"w": (kind, data)}))
    assert to_quant_tensor(file, "w") is None


def test_a_vector_is_left_to_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    content = writing.header([], [writing.tensor("w", [32], 8, 0)])
    path.write_bytes(content + bytes(-len(content) % 32) + bytes(34))
    assert to_quant_tensor(GGUFFile(path), "w") is None


@pytest.mark.parametrize("kind", EXACT)
def test_a_scale_that_is_no_number_is_damage(kind: str, tmp_path: Path) -> None:
    data = writing.random_rows(kind, 4, 64, seed=0)
    data[2, 0:2] = (0x00, 0x7C)  # infinity in float16
    file = GGUFFile(writing.write_gguf(tmp_path / "m.gguf", {"w": (kind, data)}))
    with pytest.raises(BadWeights, match="scale of w"):
        to_quant_tensor(file, "w")


def test_a_tensor_that_is_not_there_is_named(tmp_path: Path) -> None:
    data = writing.random_rows("Q4_1", 4, 64, seed=0)
    file = GGUFFile(writing.write_gguf(tmp_path / "m.gguf", {"w": ("Q4_1", data)}))
    with pytest.raises(BadWeights, match="elsewhere"):
        to_quant_tensor(file, "elsewhere")


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
