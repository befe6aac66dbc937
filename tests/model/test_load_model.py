"""Loading: a folder or a GGUF file becomes a decoder, with progress, and a stop ends it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_gguf import write_gguf
from tiny_models import CONFIGS, reference_model, save_checkpoint

from localchat.engine.kv_cache import KVCache
from localchat.errors import BadWeights, ModelNotFound, Stopped, UnsupportedModel
from localchat.model.decoder import Decoder, Weight
from localchat.model.load import LoadedModel, load_model
from localchat.model.sources import open_source
from localchat.model.stored import to_stored
from localchat.text.chat_text import load_chat_text
from localchat.weights.model_folder import write_model_folder
from quant import rtn
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

TOKENS = torch.randint(0, 97, (40,), generator=torch.Generator().manual_seed(2))


def _tiny_gguf(folder: Path, matrix_type: str = "F32") -> Path:
    config = type(CONFIGS["llama"])(**CONFIGS["llama"].to_dict() | {"hidden_size": 96, "intermediate_size": 160})
    config.head_dim = 16
    return write_gguf(reference_model(config), folder / "tiny.gguf", matrix_type)


def _write_folder(source_path: Path, folder: Path, spec: QuantSpec | None, **about: Any) -> dict[str, Weight]:
    source = open_source(source_path)
    weights: dict[str, Weight] = {}
    for name in source.plan:
        weight = source.float32(name)
        weights[name] = rtn.quantize(weight, spec) if spec is not None and weight.ndim == 2 else weight
    tensors, layout = to_stored(weights)
    write_model_folder(folder, {**source.spec.to_dict(), **about}, tensors, layout, {})
    return weights


@torch.inference_mode()
def _logits(model: LoadedModel) -> torch.Tensor:
    return model.decoder(TOKENS, KVCache(model.spec, 64, model.cache_dtype), all_logits=True)


def test_a_gguf_is_run_at_its_own_precision_in_float32(tmp_path: Path) -> None:
    path = _tiny_gguf(tmp_path, "Q8_0")
    model = load_model(path)
    assert (model.name, model.precision, model.bits_per_weight, model.cache_dtype) == (
        "tiny",
        "float32",
        32.0,
        torch.float32,
    )
    assert model.file_bytes == path.stat().st_size
    assert model.parameters == sum(parameter.numel() for parameter in model.decoder.parameters())


def test_a_checkpoint_folder_is_run_in_float32_as_transformers_runs_it(tmp_path: Path) -> None:
    reference = reference_model(CONFIGS["llama"])
    folder = save_checkpoint(reference, tmp_path)
    model = load_model(folder)
    with torch.inference_mode():
        assert (_logits(model) - reference(TOKENS[None]).logits[0]).abs().max() < 1e-4
    assert (model.name, model.precision) == (folder.name, "float32")
    assert model.file_bytes == (folder / "model.safetensors").stat().st_size


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q8_0"])
def test_moved_tensors_of_a_gguf_are_its_dequantized_tensors_with_their_rows_in_order(
    kind: str, tmp_path: Path
) -> None:
    source = open_source(_tiny_gguf(tmp_path, kind))
    for name, entry in source.plan.items():
        moved = source.moved(name)
        if len(entry.shape) == 1:
            assert moved is None
            assert not source.is_quantized(name)
        else:
            assert isinstance(moved, QuantTensor)
            assert torch.equal(moved.dequantize(), source.float32(name))
            assert source.is_quantized(name)


@pytest.mark.parametrize(
    ("spec", "precision", "bits"), [(QuantSpec(4), "int4", 5.0), (QuantSpec(8, 32), "int8", 8.5), (None, "float32", 32)]
)
def test_a_folder_gives_the_logits_of_the_weights_that_were_written(
    spec: QuantSpec | None, precision: str, bits: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALCHAT_KERNEL", "reference")
    monkeypatch.setattr("localchat.model.load.QUANTIZED_CACHE_DTYPE", torch.float32)
    path = _tiny_gguf(tmp_path)
    written = _write_folder(path, tmp_path / "model", spec, name="tiny-model", sampling={"temperature": 0.2})
    model = load_model(tmp_path / "model")
    assert (model.name, model.sampling, model.precision) == ("tiny-model", {"temperature": 0.2}, precision)
    assert model.file_bytes == (tmp_path / "model" / "model.safetensors").stat().st_size
    assert bits <= model.bits_per_weight < bits * 1.25  # the vocabulary of 97 is padded to 112 rows; norms are float32
    meant = {n: w.dequantize() if isinstance(w, QuantTensor) else w for n, w in written.items()}
    with torch.inference_mode():
        expected = Decoder(model.spec, meant)(TOKENS, KVCache(model.spec, 64), all_logits=True)
    assert (_logits(model) - expected).abs().max() < 1e-3


def test_progress_goes_from_nothing_to_everything_in_every_stage(tmp_path: Path) -> None:
    path = _tiny_gguf(tmp_path)
    _write_folder(path, tmp_path / "model", QuantSpec(4))
    for source in (path, tmp_path / "model"):
        seen: dict[str, list[float]] = {}
        load_model(source, on_progress=lambda stage, fraction, seen=seen: seen.setdefault(stage, []).append(fraction))
        assert len(seen) == 2
        for fractions in seen.values():
            assert fractions == sorted(fractions)
            assert fractions[-1] == 1.0
            assert len(fractions) > 3


@pytest.mark.parametrize("after", [0, 3, 20, 33])
def test_a_stop_ends_the_load_wherever_it_is(after: int, tmp_path: Path) -> None:
    path = _tiny_gguf(tmp_path)
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise Stopped

    with pytest.raises(Stopped):
        load_model(path, check=check)


def test_a_path_with_nothing_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        load_model(tmp_path / "nowhere")


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("file", "changes", "error"),
    [
        ("config.json", {"query_norm": True}, UnsupportedModel),
        ("quantization.json", {"format_version": 99}, UnsupportedModel),
        ("config.json", {"hidden_size": "96"}, UnsupportedModel),
        ("config.json", {"num_layers": 4}, BadWeights),
        ("config.json", {"vocab_size": 96}, BadWeights),
        ("config.json", {"sampling": "hot"}, BadWeights),
        ("quantization.json", {"tensors": None}, BadWeights),
        ("quantization.json", {"tensors": {}}, BadWeights),
        (
            "quantization.json",
            {"tensors": {"embedding": {"bits": 3, "group_size": 32, "symmetric": False}}},
            BadWeights,
        ),
    ],
)
def test_a_folder_whose_files_do_not_fit_each_other_is_refused(
    file: str, changes: dict[str, Any], error: type[Exception], tmp_path: Path
) -> None:
    _write_folder(_tiny_gguf(tmp_path), tmp_path / "model", QuantSpec(4))
    _edit(tmp_path / "model" / file, **changes)
    with pytest.raises(error):
        load_model(tmp_path / "model")


def test_smollm2_at_its_own_precision_knows_where_paris_is(smollm2_gguf: Path) -> None:
    model, tokenizer = load_model(smollm2_gguf), load_chat_text(smollm2_gguf).tokenizer
    assert (model.precision, model.parameters) == ("float32", 134_515_008)
    ids = torch.tensor(tokenizer.encode("The Eiffel Tower stands in the city of"))
    with torch.inference_mode():
        token = int(model.decoder(ids, KVCache(model.spec, 64)).argmax())
    assert tokenizer.decode([token]).strip() == "Paris"
