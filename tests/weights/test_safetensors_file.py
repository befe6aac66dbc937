"""Safetensors files and folders of shards: mapped, checked, and nothing but safetensors."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from localchat.errors import BadWeights
from localchat.weights.safetensors_file import SafetensorsFile


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "a": torch.randn(3, 5, generator=generator),
        "b": torch.randn(7, generator=generator).bfloat16(),
        "c": torch.arange(6, dtype=torch.uint8).view(2, 3),
    }


@pytest.fixture
def single(tmp_path: Path) -> Path:
    save_file(tensors(), tmp_path / "model.safetensors", metadata={"format": "pt", "note": "注"})
    return tmp_path / "model.safetensors"


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    all_tensors = tensors()
    save_file({"a": all_tensors["a"]}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({n: all_tensors[n] for n in "bc"}, tmp_path / "model-00002-of-00002.safetensors")
    weight_map = {"a": "model-00001-of-00002.safetensors"} | dict.fromkeys("bc", "model-00002-of-00002.safetensors")
    write_index(tmp_path, {"metadata": {}, "weight_map": weight_map})
    return tmp_path


def write_index(folder: Path, content: Any) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))


def assert_holds_all(file: SafetensorsFile) -> None:
    assert sorted(file.names) == ["a", "b", "c"]
    for name, expected in tensors().items():
        assert name in file
        assert file.tensor(name).dtype == expected.dtype
        assert torch.equal(file.tensor(name), expected)


def test_a_file_gives_its_tensors_and_metadata(single: Path) -> None:
    file = SafetensorsFile(single)
    assert_holds_all(file)
    assert file.metadata == {"format": "pt", "note": "注"}


def test_a_folder_with_one_file_reads_the_same(single: Path) -> None:
    assert_holds_all(SafetensorsFile(single.parent))


def test_a_folder_of_shards_reads_the_same(sharded: Path) -> None:
    assert_holds_all(SafetensorsFile(sharded))


def test_a_tensor_is_mapped_and_not_copied(single: Path) -> None:
    file = SafetensorsFile(single)
    assert file.tensor("a").data_ptr() == file.tensor("a").data_ptr()


def test_a_tensor_that_is_not_there_is_named(single: Path) -> None:
    with pytest.raises(BadWeights, match="elsewhere"):
        SafetensorsFile(single).tensor("elsewhere")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"m\.safetensors is missing"):
        SafetensorsFile(tmp_path / "m.safetensors")


def test_a_file_cut_anywhere_is_refused(single: Path) -> None:
    whole = single.read_bytes()
    for size in range(len(whole)):
        single.write_bytes(whole[:size])
        with pytest.raises(BadWeights, match=r"model\.safetensors"):
            SafetensorsFile(single)


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}},
        {"a": {"dtype": "FLOAT", "shape": [2], "data_offsets": [0, 8]}},
        {"a": {"shape": [2], "data_offsets": [0, 8]}},
        ["a"],
    ],
)
def test_a_header_that_lies_is_refused(header: Any, tmp_path: Path) -> None:
    text = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(BadWeights):
        SafetensorsFile(path)


def test_a_header_longer_than_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for length in (100, 1 << 40, (1 << 64) - 1):
        path.write_bytes(struct.pack("<Q", length) + b"{}")
        with pytest.raises(BadWeights):
            SafetensorsFile(path)


@pytest.mark.parametrize(
    "shard",
    [
        "../outside.safetensors",
        "/etc/passwd",
        "sub/model.safetensors",
        "..\\outside.safetensors",
        "C:x.safetensors",
        "model.bin",
        "",
        7,
        None,
    ],
)
def test_a_shard_outside_the_folder_is_refused(shard: Any, sharded: Path) -> None:
    save_file({"a": torch.zeros(2)}, sharded.parent / "outside.safetensors")
    write_index(sharded, {"weight_map": {"a": shard}})
    with pytest.raises(BadWeights, match="not a safetensors file beside it"):
        SafetensorsFile(sharded)


@pytest.mark.parametrize("content", [[], {}, {"weight_map": []}, {"weight_map": {}}, "text", 3])
def test_an_index_of_another_form_is_refused(content: Any, sharded: Path) -> None:
    write_index(sharded, content)
    with pytest.raises(BadWeights, match=r"index\.json"):
        SafetensorsFile(sharded)


def test_an_index_that_is_not_json_is_refused(sharded: Path) -> None:
    for content in (b"{", b"\xff", b"[" * 100_000):
        (sharded / "model.safetensors.index.json").write_bytes(content)
        with pytest.raises(BadWeights, match=r"index\.json"):
            SafetensorsFile(sharded)


def test_a_missing_shard_is_named(sharded: Path) -> None:
    (sharded / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(BadWeights, match=r"model-00002-of-00002\.safetensors is missing"):
        SafetensorsFile(sharded)


def test_a_shard_without_its_tensor_is_named(sharded: Path) -> None:
    write_index(sharded, {"weight_map": {"d": "model-00001-of-00002.safetensors"}})
    with pytest.raises(BadWeights, match=r"00001-of-00002\.safetensors lacks the tensor d"):
        SafetensorsFile(sharded)


def test_pickle_is_never_read_and_the_message_says_so(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "pytorch_model.bin")
    with pytest.raises(BadWeights, match="pickle") as raised:
        SafetensorsFile(tmp_path)
    assert "safetensors" in raised.value.hint
    with pytest.raises(BadWeights):
        SafetensorsFile(tmp_path / "pytorch_model.bin")


def test_an_empty_folder_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"no model\.safetensors and no model\.safetensors\.index\.json"):
        SafetensorsFile(tmp_path)
