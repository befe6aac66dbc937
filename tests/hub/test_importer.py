"""Importing the real models: what is kept, what is quantized, and what happens when it cannot be done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from localchat.errors import BadWeights, LocalChatError, ModelNotFound
from localchat.hub.importer import _converted, import_model
from localchat.hub.installed import read_model
from localchat.model.families import TensorSource
from localchat.model.sources import WeightSource, open_source
from localchat.paths import models_dir
from localchat.weights.model_folder import open_model_folder
from quant import rtn
from quant.spec import QuantSpec
from quant.tensor import QuantTensor


def stored(folder: Path, name: str, shape: tuple[int, ...]) -> torch.Tensor:
    opened = open_model_folder(folder)
    if name not in opened.quantization["tensors"]:
        return opened.weights.tensor(name)
    spec = QuantSpec.from_metadata(opened.quantization["tensors"][name])
    parts = {part: opened.weights.tensor(f"{name}.{part}") for part in ("packed", "scales")}
    if not spec.symmetric:
        parts["minimums"] = opened.weights.tensor(f"{name}.minimums")
    return QuantTensor.from_parts(spec, (shape[0], shape[1]), parts).dequantize()


def test_four_bit_blocks_are_moved_into_our_int4_without_changing_a_value(
    smollm2_gguf: Path, smollm2_folder: Path
) -> None:
    source = open_source(smollm2_gguf)
    for name in ("layers.0.query", "layers.7.key", "layers.29.down", "layers.3.gate"):
        assert torch.equal(stored(smollm2_folder, name, source.plan[name].shape), source.float32(name)), name


def test_the_vocabulary_gets_eight_bits(smollm2_gguf: Path, smollm2_folder: Path) -> None:
    source = open_source(smollm2_gguf)
    quantization = open_model_folder(smollm2_folder).quantization
    assert quantization["tensors"]["embedding"]["bits"] == 8
    theirs = source.float32("embedding")  # Q8_0, which our int8 by 32 holds exactly
    assert torch.equal(stored(smollm2_folder, "embedding", source.plan["embedding"].shape), theirs)


def test_an_imported_model_is_listed_with_its_facts(smollm2_folder: Path) -> None:
    model = read_model(smollm2_folder)
    assert not model.damage
    assert (model.architecture, model.precision, model.context_length) == ("llama", "int4", 8192)
    assert model.parameters == 134_515_008
    assert 5 < model.bits_per_weight < 6
    assert model.licence == "apache-2.0"


def test_without_bits_a_quantized_file_keeps_its_values(home: Path, smollm2_gguf: Path) -> None:  # noqa: ARG001
    imported = import_model(smollm2_gguf, "kept")
    source = open_source(smollm2_gguf)
    for name in ("embedding", "layers.5.up"):
        assert torch.equal(stored(imported.folder, name, source.plan[name].shape), source.float32(name)), name


def test_eight_bits_are_close_to_the_source(home: Path, smollm2_gguf: Path) -> None:  # noqa: ARG001
    imported = import_model(smollm2_gguf, "eight", bits=8)
    source = open_source(smollm2_gguf)
    for name in ("layers.0.query", "layers.12.down"):
        theirs = source.float32(name)
        assert (stored(imported.folder, name, source.plan[name].shape) - theirs).norm() / theirs.norm() < 0.012
    assert json.loads((imported.folder / "quantization.json").read_text())["precision"] == "int8"


class OneMatrix(WeightSource):
    """A quantized matrix, whose blocks can be moved into `own`, or cannot."""

    def __init__(self, name: str, own: QuantSpec | None) -> None:
        self.plan = {name: TensorSource("theirs", (16, 64))}
        self.weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
        self.blocks = None if own is None else rtn.quantize(self.weight, own)

    def is_quantized(self, name: str) -> bool:  # noqa: ARG002
        return True

    def float32(self, name: str) -> torch.Tensor:  # noqa: ARG002
        return self.weight

    def moved(self, name: str) -> QuantTensor | None:  # noqa: ARG002
        return self.blocks


INT4, INT8 = QuantSpec(4, 32), QuantSpec(8, 32)


@pytest.mark.parametrize(
    ("name", "own", "bits", "kept"),
    [
        ("layers.0.down", INT4, None, True),
        ("layers.0.down", INT8, None, True),
        ("layers.0.down", INT4, 4, True),
        ("layers.0.down", INT8, 8, True),
        ("layers.0.down", INT8, 4, False),
        ("layers.0.down", INT4, 8, False),
        ("embedding", INT4, None, True),
        ("embedding", INT4, 4, True),
        ("output", INT8, 4, True),
    ],
)
def test_blocks_are_kept_unless_the_layers_shall_have_other_bits(
    name: str, own: QuantSpec, bits: int | None, kept: bool
) -> None:
    source = OneMatrix(name, own)
    weight = _converted(source, name, bits)
    assert isinstance(weight, QuantTensor)
    assert (weight is source.blocks) == kept
    assert weight.spec == (own if kept else QuantSpec(bits or 8, 32))


@pytest.mark.parametrize(("bits", "spec"), [(None, INT8), (8, INT8), (4, INT4)])
def test_blocks_that_cannot_be_kept_are_rounded_to_eight_bits_or_to_those_asked_for(
    bits: int | None, spec: QuantSpec
) -> None:
    weight = _converted(OneMatrix("layers.0.down", None), "layers.0.down", bits)
    assert isinstance(weight, QuantTensor)
    assert weight.spec == spec


def test_a_truncated_file_is_refused_and_nothing_is_left(home: Path, smollm2_gguf: Path, tmp_path: Path) -> None:  # noqa: ARG001
    cut = tmp_path / "cut.gguf"
    with smollm2_gguf.open("rb") as file:
        cut.write_bytes(file.read(40_000_000))
    with pytest.raises(BadWeights):
        import_model(cut)
    assert not models_dir().exists() or not list(models_dir().iterdir())


def test_stopping_an_import_leaves_nothing(home: Path, smollm2_gguf: Path) -> None:  # noqa: ARG001
    class Enough(Exception):
        pass

    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise Enough

    with pytest.raises(Enough):
        import_model(smollm2_gguf, "stopped", bits=4, check=check)
    assert not models_dir().exists() or not list(models_dir().iterdir())


def test_a_path_with_nothing_there_is_one_sentence(home: Path, tmp_path: Path) -> None:  # noqa: ARG001
    with pytest.raises(ModelNotFound):
        import_model(tmp_path / "none.gguf")
    with pytest.raises(LocalChatError):
        import_model(tmp_path)
