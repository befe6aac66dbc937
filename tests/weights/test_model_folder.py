"""A model folder is whole or not there, and says which file is wrong."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
from safetensors.torch import load_file

from localchat.errors import BadWeights, StorageFailed
from localchat.weights import model_folder
from localchat.weights.model_folder import open_model_folder, write_model_folder
from quant import rtn
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

CONFIG = {"family": "llama", "note": "注"}
QUANTIZATION = {"method": "rtn"}
EXTRA = {"tokenizer.json": b"{}", "chat_template.jinja": "你好".encode()}


def tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "norm": torch.randn(5, generator=generator),
        "half": torch.randn(3, generator=generator).half(),
        "big": torch.randn(16, 32, generator=generator),
        "scalar": torch.tensor(2.5),
        "bytes": torch.arange(7, dtype=torch.uint8),
        "strided": torch.randn(8, 6, generator=generator).t(),
        "packed": torch.arange(256, dtype=torch.uint8).view(4, 64),
    }


def write(folder: Path, seed: int = 0) -> None:
    write_model_folder(folder, CONFIG, tensors(seed), QUANTIZATION, EXTRA)


def assert_whole(folder: Path, seed: int = 0) -> None:
    model = open_model_folder(folder)
    assert model.config == CONFIG
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert model.quantization == {**QUANTIZATION, "weights_sha256": digest}
    for name, expected in tensors(seed).items():
        assert torch.equal(model.weights.tensor(name), expected)
    for name, content in EXTRA.items():
        assert (folder / name).read_bytes() == content


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "models" / "tiny")
    assert_whole(tmp_path / "models" / "tiny")
    assert [each.name for each in (tmp_path / "models").iterdir()] == ["tiny"]


def test_the_safetensors_library_reads_the_same(tmp_path: Path) -> None:
    write(tmp_path / "tiny")
    read = load_file(tmp_path / "tiny" / "model.safetensors")
    assert set(read) == set(tensors())
    for name, expected in tensors().items():
        assert read[name].dtype == expected.dtype
        assert torch.equal(read[name], expected)


def test_large_tensors_lie_on_64_bytes_and_all_on_multiples_of_their_elements(tmp_path: Path) -> None:
    write(tmp_path / "tiny")
    weights = open_model_folder(tmp_path / "tiny").weights
    for name, expected in tensors().items():
        alignment = 64 if expected.nbytes % 64 == 0 else expected.element_size()
        assert weights.tensor(name).data_ptr() % alignment == 0


@pytest.mark.parametrize("spec", [QuantSpec(4), QuantSpec(8, 0)], ids=str)
def test_a_quantized_matrix_comes_back_from_its_parts(spec: QuantSpec, tmp_path: Path) -> None:
    matrix = rtn.quantize(torch.randn(37, 96, generator=torch.Generator().manual_seed(0)), spec)
    parts = {f"w.{name}": part for name, part in matrix.parts().items()}
    write_model_folder(tmp_path / "m", {}, parts, {"w": spec.to_metadata()}, {})
    model = open_model_folder(tmp_path / "m")
    read = {name.removeprefix("w."): model.weights.tensor(name) for name in model.weights.names}
    again = QuantTensor.from_parts(QuantSpec.from_metadata(model.quantization["w"]), (37, 96), read)
    assert torch.equal(again.dequantize(), matrix.dequantize())


def test_a_model_is_replaced_and_one_that_is_open_stays_readable(tmp_path: Path) -> None:
    write(tmp_path / "tiny", seed=1)
    before = open_model_folder(tmp_path / "tiny")
    kept = before.weights.tensor("big")
    write(tmp_path / "tiny", seed=2)
    assert_whole(tmp_path / "tiny", seed=2)
    assert torch.equal(kept, tensors(1)["big"])
    assert [each.name for each in tmp_path.iterdir()] == ["tiny"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("existing", [False, True])
def test_a_disk_that_fails_midway_leaves_things_as_they_were(
    number: int, existing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if existing:
        write(tmp_path / "tiny", seed=1)

    def fail(file: BinaryIO, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:  # noqa: ARG001
        file.write(b"half of it")
        raise OSError(number, "what the system says")

    monkeypatch.setattr(model_folder, "write_safetensors", fail)
    with pytest.raises(StorageFailed, match=r"tiny \(what the system says\)\.") as raised:
        write(tmp_path / "tiny", seed=2)
    assert raised.value.hint
    assert [each.name for each in tmp_path.iterdir()] == (["tiny"] if existing else [])
    if existing:
        assert_whole(tmp_path / "tiny", seed=1)


def test_ctrl_c_midway_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(model_folder, "write_safetensors", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []


def test_the_old_model_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "tiny", seed=1)
    rename = Path.rename

    def refuse_the_new_one(self: Path, target: Path) -> Path:
        if self.name.endswith(".unfinished"):
            raise OSError(errno.EACCES, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_the_new_one)
    with pytest.raises(StorageFailed):
        write(tmp_path / "tiny", seed=2)
    assert [each.name for each in tmp_path.iterdir()] == ["tiny"]
    assert_whole(tmp_path / "tiny", seed=1)


def test_a_parent_that_is_no_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailed, match="cannot be written"):
        write(tmp_path / "file" / "tiny")


@pytest.mark.parametrize("name", ["../escape", "sub/file", "config.json", "model.safetensors", ".hidden", "", ".."])
def test_the_name_of_a_further_file_must_be_plain_and_free(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_model_folder(tmp_path / "tiny", CONFIG, {}, QUANTIZATION, {name: b""})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["config.json", "quantization.json", "model.safetensors"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    write(tmp_path / "tiny")
    (tmp_path / "tiny" / name).unlink()
    with pytest.raises(BadWeights, match=f"{name} is missing"):
        open_model_folder(tmp_path / "tiny")


@pytest.mark.parametrize("name", ["config.json", "quantization.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    write(tmp_path / "tiny")
    (tmp_path / "tiny" / name).write_bytes(content)
    with pytest.raises(BadWeights, match=name):
        open_model_folder(tmp_path / "tiny")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="nothing is not a model folder"):
        open_model_folder(tmp_path / "nothing")
