"""MXFP4 means the numbers that the gguf package says, in a GGUF file, in a checkpoint, and in our own format."""

from __future__ import annotations

from pathlib import Path

import gguf
import gguf_writing as writing
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from localchat.errors import BadWeights, UnsupportedModel
from localchat.weights import mxfp4
from localchat.weights.gguf_blocks import to_quant_tensor
from localchat.weights.gguf_file import GGUFFile
from localchat.weights.packed_checkpoint import CheckpointFile
from localchat.weights.packed_format import PackedFormat, read_packed_format
from quant.spec import QuantSpec

MXFP4 = PackedFormat("mxfp4", 4, 32)


def _blocks(rows: int, columns: int, low: int, high: int) -> NDArray[np.uint8]:
    """Bytes of a matrix [rows, bytes of a row]: random codes, and random scales from `low` to `high`."""
    random = np.random.default_rng(rows)
    blocks = random.integers(0, 256, (rows * columns // 32, 17), dtype=np.uint8)
    blocks[:, 0] = random.integers(low, high + 1, len(blocks))
    return blocks.reshape(rows, -1)


def _file(data: NDArray[np.uint8], folder: Path) -> GGUFFile:
    return GGUFFile(writing.write_gguf(folder / "m.gguf", {"w": ("MXFP4", data)}))


def test_every_scale_and_code_of_a_gguf_is_that_of_the_gguf_package_bit_for_bit(tmp_path: Path) -> None:
    data = _blocks(255, 64, 0, 254)
    data.reshape(-1, 17)[:255, 0] = np.arange(255)
    expected = torch.from_numpy(gguf.quants.dequantize(data, gguf.GGMLQuantizationType.MXFP4).copy())
    assert torch.equal(_file(data, tmp_path).float32("w").view(torch.int32), expected.view(torch.int32))


@pytest.mark.parametrize(("low", "high"), [(104, 143), (118, 124)])
def test_a_matrix_moves_into_our_format_without_a_value_changing(low: int, high: int, tmp_path: Path) -> None:
    file = _file(_blocks(37, 96, low, high), tmp_path)
    tensor = to_quant_tensor(file, "w")
    assert tensor is not None
    assert tensor.spec == QuantSpec(8, 32)
    assert torch.equal(tensor.dequantize(), file.float32("w"))


@pytest.mark.parametrize("byte", [0, 103, 144, 255])
def test_a_scale_that_float16_lacks_is_left_to_the_caller(byte: int, tmp_path: Path) -> None:
    data = _blocks(4, 64, 118, 124)
    data[2, 17] = byte
    assert to_quant_tensor(_file(data, tmp_path), "w") is None


def test_the_scale_of_a_group_of_zeros_means_nothing(tmp_path: Path) -> None:
    data = _blocks(4, 64, 118, 124)
    data[2, 17], data[2, 18:34] = 0, 0x80
    tensor = to_quant_tensor(_file(data, tmp_path), "w")
    assert tensor is not None
    assert not tensor.dequantize()[2, 32:].any()


def _experts(count: int = 3, rows: int = 8, columns: int = 64) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    shape = count, rows, columns // 32
    return {
        "experts.down_proj_blocks": torch.randint(0, 256, (*shape, 16), generator=generator, dtype=torch.uint8),
        "experts.down_proj_scales": torch.randint(118, 125, shape, generator=generator, dtype=torch.uint8),
        "experts.down_proj_bias": torch.randn(count, rows, generator=generator),
    }


def _checkpoint(folder: Path, tensors: dict[str, Tensor]) -> CheckpointFile:
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return CheckpointFile(folder, MXFP4)


def test_experts_of_a_checkpoint_are_what_transformers_unpacks(tmp_path: Path) -> None:
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    tensors = _experts()
    file = _checkpoint(tmp_path, tensors)
    blocks, scales = tensors["experts.down_proj_blocks"], tensors["experts.down_proj_scales"]
    expected = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
    assert file.shapes == {"experts.down_proj": (3, 64, 8), "experts.down_proj_bias": (3, 8)}
    for index in range(3):
        assert torch.equal(file.float32("experts.down_proj", index), expected[index])
        moved = file.quant_tensor("experts.down_proj", index)
        assert moved is not None
        assert torch.equal(moved.dequantize(), expected[index].T)
        assert torch.equal(file.float32("experts.down_proj_bias", index), tensors["experts.down_proj_bias"][index])


@pytest.mark.parametrize(
    "change",
    [
        {"experts.down_proj_scales": torch.zeros(3, 8, 1, dtype=torch.uint8)},
        {"experts.down_proj_scales": torch.zeros(3, 8, 2)},
        {"experts.down_proj_blocks": torch.zeros(3, 8, 2, 8, dtype=torch.uint8)},
        {"experts.down_proj_blocks": torch.zeros(8, 2, 16, dtype=torch.uint8)},
    ],
)
def test_parts_that_do_not_fit_each_other_are_damage(change: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"experts\.down_proj is damaged"):
        _checkpoint(tmp_path, _experts() | change)


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    tensors = _experts()
    del tensors["experts.down_proj_scales"]
    with pytest.raises(BadWeights, match="down_proj_scales"):
        _checkpoint(tmp_path, tensors)


def test_a_checkpoint_that_only_says_so_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="no matrix is quantized"):
        _checkpoint(tmp_path, {"weight": torch.zeros(2, 2)})


def test_the_configuration_is_understood_or_refused_by_the_name_of_the_key(tmp_path: Path) -> None:
    told = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.embed_tokens", "lm_head"]}
    assert read_packed_format({"quantization_config": told}, tmp_path) == MXFP4
    with pytest.raises(UnsupportedModel, match="group_size"):
        read_packed_format({"quantization_config": told | {"group_size": 16}}, tmp_path)


def test_halves_of_all_codes_are_those_of_the_standard() -> None:
    values = mxfp4.halves(torch.arange(16, dtype=torch.uint8)).float() / 2
    assert values.tolist() == [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]
