"""A GGUF model in several files, as the `gguf` package splits it."""

from __future__ import annotations

import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from localchat.errors import BadWeights
from localchat.weights.gguf_file import GGUFFile

MATRICES = {f"blk.{i}.w": np.random.default_rng(i).standard_normal((4, 32)).astype(np.float32) for i in range(5)}


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Three files with two, two and one of the matrices."""
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama", split_max_tensors=2)
    writer.add_context_length(512)
    writer.add_token_list(["a", "b"])
    for name, values in MATRICES.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = sorted(tmp_path.glob("*.gguf"))
    assert [path.name for path in found] == [f"m-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    return found


@pytest.mark.parametrize("given", [0, 1, 2])
def test_any_part_stands_for_all(parts: list[Path], given: int) -> None:
    file = GGUFFile(parts[given])
    assert file.path == parts[0]
    assert file.metadata["tokenizer.ggml.tokens"] == ["a", "b"]
    assert set(file.tensors) == set(MATRICES)
    for name, values in MATRICES.items():
        assert torch.equal(file.float32(name), torch.from_numpy(values)), name
    assert file.file_bytes == sum(part.stat().st_size for part in parts)


def test_a_part_that_is_missing_is_named(parts: list[Path]) -> None:
    parts[1].unlink()
    with pytest.raises(BadWeights, match=r"m-00002-of-00003\.gguf is missing"):
        GGUFFile(parts[0])
    parts[0].unlink()
    with pytest.raises(BadWeights, match=r"m-00001-of-00003\.gguf cannot be read"):
        GGUFFile(parts[2])


def test_parts_of_another_model_or_in_another_order_are_refused(parts: list[Path]) -> None:
    shutil.copy(parts[2], parts[1])
    with pytest.raises(BadWeights, match="part 2 of 3"):
        GGUFFile(parts[0])


def test_a_part_that_was_renamed_is_told_what_it_should_be_called(parts: list[Path]) -> None:
    renamed = parts[0].rename(parts[0].with_name("model.gguf"))
    with pytest.raises(BadWeights, match="NAME-00001-of-00003"):
        GGUFFile(renamed)


def test_a_part_whose_tensors_are_in_another_too_is_refused(parts: list[Path], tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "other.gguf", "llama")
    writer.add_uint16("split.no", 2)
    writer.add_uint16("split.count", 3)
    writer.add_tensor("blk.0.w", MATRICES["blk.0.w"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (tmp_path / "other.gguf").replace(parts[2])
    with pytest.raises(BadWeights, match="in another part too"):
        GGUFFile(parts[0])


def test_parts_with_fewer_tensors_than_announced_are_refused(parts: list[Path], tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "other.gguf", "llama")
    writer.add_uint16("split.no", 2)
    writer.add_uint16("split.count", 3)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (tmp_path / "other.gguf").replace(parts[2])
    with pytest.raises(BadWeights, match="announces another number"):
        GGUFFile(parts[0])
