"""GGUF files are read as the `gguf` package reads them, bit for bit, and without reading more than is asked for."""

from __future__ import annotations

from pathlib import Path

import gguf
import gguf_writing as writing
import numpy as np
import pytest
import torch

from localchat.errors import BadWeights
from localchat.weights.gguf_file import GGUFFile


def reference(kind: str, rows: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(gguf.quants.dequantize(rows, gguf.GGMLQuantizationType[kind]).copy())


def assert_same_bits(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.dtype == theirs.dtype == torch.float32
    assert ours.shape == theirs.shape
    assert torch.equal(ours.view(torch.int32), theirs.view(torch.int32))


@pytest.mark.parametrize("kind", writing.READABLE)
@pytest.mark.parametrize("extreme", [False, True])
def test_every_type_dequantizes_to_the_reference_bit_for_bit(kind: str, extreme: bool, tmp_path: Path) -> None:
    rows = writing.random_rows(kind, 37, 768, seed=1, extreme=extreme)
    file = GGUFFile(writing.write_gguf(tmp_path / "m.gguf", {"w": (kind, rows)}))
    assert file.quant_type("w") == kind
    assert file.tensors["w"].shape == (37, 768)
    assert_same_bits(file.float32("w"), reference(kind, rows))


@pytest.mark.parametrize("kind", ["F32", "Q4_1", "Q6_K"])
def test_large_tensors_are_dequantized_in_chunks_without_seams(kind: str, tmp_path: Path) -> None:
    rows = writing.random_rows(kind, 900, 2560, seed=2)  # more than one chunk
    file = GGUFFile(writing.write_gguf(tmp_path / "m.gguf", {"w": (kind, rows)}))
    assert_same_bits(file.float32("w"), reference(kind, rows))


@pytest.mark.parametrize("alignment", [None, 32, 256])
def test_raw_bytes_are_those_of_the_file_at_any_alignment(alignment: int | None, tmp_path: Path) -> None:
    tensors = {
        "odd": ("Q4_0", writing.random_rows("Q4_0", 1, 32, seed=3)),
        "vector": ("F32", writing.random_rows("F32", 1, 7, seed=4)),
        "matrix": ("Q8_0", writing.random_rows("Q8_0", 5, 64, seed=5)),
    }
    file = GGUFFile(writing.write_gguf(tmp_path / "m.gguf", tensors, alignment))
    assert list(file.tensors) == list(tensors)
    for name, (_, rows) in tensors.items():
        assert file.raw(name).tobytes() == rows.tobytes()
        assert file.tensors[name].nbytes == rows.nbytes


def test_metadata_of_every_kind_is_read(tmp_path: Path) -> None:
    rows = writing.random_rows("F32", 1, 4, seed=6)
    metadata = GGUFFile(writing.write_gguf(tmp_path / "m.gguf", {"w": ("F32", rows)})).metadata
    assert metadata["general.architecture"] == "llama"
    assert metadata["llama.context_length"] == 512
    assert metadata["llama.rope.freq_base"] == 10000.0
    assert metadata["tokenizer.ggml.add_bos_token"] is True
    assert metadata["tokenizer.ggml.tokens"] == ["<s>", "一", "🙂", " the", ""]
    assert metadata["tokenizer.ggml.scores"].tolist() == [0.0, -1.5, 2.0, 3.25, 4.0]
    assert metadata["tokenizer.ggml.token_type"].tolist() == [3, 1, 1, 1, 1]
    assert metadata["test.negative"] == -5
    assert metadata["test.double"] == 0.1
    assert metadata["test.flags"].tolist() == [True, False, True]


def test_version_2_is_read_too(tmp_path: Path) -> None:
    content = writing.header([writing.entry("a", 4, b"\7\0\0\0")], [writing.tensor("w", [3], 0, 0)], version=2)
    path = tmp_path / "m.gguf"
    path.write_bytes(content + bytes(-len(content) % 32) + np.arange(3, dtype=np.float32).tobytes())
    file = GGUFFile(path)
    assert file.metadata["a"] == 7
    assert file.float32("w").tolist() == [0.0, 1.0, 2.0]


def test_offsets_beyond_4_gigabytes_are_read(tmp_path: Path) -> None:
    offset = 5 << 30
    content = writing.header([], [writing.tensor("w", [4], 0, offset)])
    path = tmp_path / "sparse.gguf"
    with path.open("wb") as file:
        file.write(content + bytes(-len(content) % 32))
        file.seek(offset, 1)
        file.write(np.arange(4, dtype=np.float32).tobytes())
    assert GGUFFile(path).float32("w").tolist() == [0.0, 1.0, 2.0, 3.0]


def test_writing_into_a_tensor_does_not_reach_the_file(tmp_path: Path) -> None:
    path = writing.write_gguf(tmp_path / "m.gguf", {"w": ("F32", writing.random_rows("F32", 2, 8, seed=7))})
    before = path.read_bytes()
    file = GGUFFile(path)
    file.raw("w")[:] = 0
    file.float32("w").zero_()
    del file
    assert path.read_bytes() == before


def test_a_tensor_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = GGUFFile(writing.write_gguf(tmp_path / "m.gguf", {"w": ("F32", writing.random_rows("F32", 1, 4, seed=8))}))
    with pytest.raises(BadWeights, match=r"blk\.0\.nothing"):
        file.float32("blk.0.nothing")


@pytest.mark.parametrize("model", ["smollm2_gguf", "qwen_gguf"])
def test_a_real_file_reads_as_the_reference_reads_it(model: str, request: pytest.FixtureRequest) -> None:
    file = GGUFFile(request.getfixturevalue(model))
    first_of_kind = {info.type: info.name for info in reversed(file.tensors.values()) if info.nbytes < 1 << 23}
    assert len(first_of_kind) >= 2
    for kind, name in first_of_kind.items():
        info = file.tensors[name]
        rows = file.raw(name).reshape(info.shape[0] if len(info.shape) == 2 else 1, -1)
        assert_same_bits(file.float32(name), reference(kind, rows).view(info.shape))
    assert len(file.metadata["tokenizer.ggml.tokens"]) == file.tensors["token_embd.weight"].shape[0]
