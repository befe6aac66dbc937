"""The passport: measured against the source, kept beside the model, shown by the command."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from localchat.commands.app import run
from localchat.engine.kv_cache import KVCache
from localchat.errors import InvalidSetting, LocalChatError, ModelNotFound, Stopped, StorageFailed
from localchat.evaluation import comparison, passport
from localchat.evaluation.passport import measure_passport
from localchat.evaluation.reference import Reference
from localchat.evaluation.speed import bench_apart
from localchat.model.decoder import Decoder
from localchat.model.sources import open_source
from localchat.paths import assets_dir
from localchat.text.chat_text import load_chat_text
from localchat.weights.model_folder import add_to_quantization
from tests.model.tiny_models import CONFIGS, reference_model, save_checkpoint

GEMMA4 = "gemma4_text, inputs of every layer, shared keys"
BENCH = {
    "model": "smollm2-135m",
    "device": "cpu",
    "kernel": "avx512 int4 x int8",
    "threads": 2,
    "bits_per_weight": 5.74,
    "file_bytes": 96_643_456,
    "prompt_tokens": 512,
    "prefill_tokens_per_second": 1458.0,
    "generated_tokens": 64,
    "decode_tokens_per_second": 167.3,
    "load_s": 0.2,
    "peak_rss_bytes": 400_478_208,
}
TEXT = {
    "text": "passport/en.txt",
    "sha256": "caa41b919182caf0",
    "tokens": 1275,
    "mean_kl": 0.0123,
    "p99_kl": 0.25,
    "same_top": 0.915,
    "perplexity": 24.25,
    "reference_perplexity": 23.01,
}
PASSPORT = {
    "measured_at": "2026-01-01T00:00:00+00:00",
    "source": "source.gguf",
    "context": 512,
    "texts": {"en": TEXT, "zh": TEXT},
    **BENCH,
}


@pytest.fixture
def installed(home: Path, smollm2_folder: Path) -> Path:
    """SmolLM2 in a home of its own; only what may be written to is a copy."""
    folder = home / "data/models/smollm2-135m"
    folder.mkdir(parents=True)
    for file in smollm2_folder.iterdir():
        if file.name == "model.safetensors":
            (folder / file.name).symlink_to(file)
        else:
            shutil.copy(file, folder / file.name)
    return folder


def _quantization(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "quantization.json").read_text("utf-8"))
    return result


@pytest.mark.parametrize("name", ["qwen2", "gemma3_text", "qwen3_moe", "gpt2", "gpt_oss", GEMMA4])
def test_the_reference_gives_the_logits_of_the_whole_model_layer_by_layer(name: str, tmp_path: Path) -> None:
    save_checkpoint(reference_model(CONFIGS[name]), tmp_path)
    source = open_source(tmp_path)
    ids = torch.randint(0, 97, (2, 24), generator=torch.Generator().manual_seed(0))
    layers: list[float] = []
    reference = Reference(source, ids.tolist(), on_progress=layers.append, check=lambda: None)
    whole = Decoder(source.spec, {name: source.float32(name) for name in source.plan})
    for number, chunk in enumerate(ids):
        with torch.inference_mode():
            expected = whole(chunk, KVCache(source.spec, 24), all_logits=True)
        assert (reference.logits(number, 0, 24) - expected).abs().max() < 1e-4
        assert (reference.logits(number, 5, 7) - expected[5:7]).abs().max() < 1e-4
    assert len(layers) == source.spec.num_layers
    assert layers[-1] == 1.0


def test_the_passport_of_a_model_says_what_quantization_cost_and_what_it_takes_to_run(
    smollm2_gguf: Path, smollm2_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passport, "bench_apart", lambda *_, **__: BENCH)
    stages: dict[str, float] = {}
    found = measure_passport(smollm2_gguf, smollm2_folder, on_progress=stages.__setitem__, chunks=1)
    assert set(found["texts"]) == {"en", "zh"}
    for text in found["texts"].values():
        assert text["tokens"] == 255
        assert 0 < text["mean_kl"] < 0.01  # the file is in Q4_1, which our int4 holds exactly
        assert text["mean_kl"] < text["p99_kl"]
        assert text["same_top"] > 0.9
        assert text["perplexity"] == pytest.approx(text["reference_perplexity"], rel=0.02)
    assert found["source"] == smollm2_gguf.name
    assert (found["peak_rss_bytes"], found["decode_tokens_per_second"]) == (400_478_208, 167.3)
    assert found["measured_at"].endswith("+00:00")
    assert stages["Reading with the source"] == stages["Comparing, zh"] == 1.0
    json.dumps(found)


def test_the_texts_of_the_passport_are_never_calibrated_on() -> None:
    calibration = "".join(file.read_text("utf-8") for file in (assets_dir() / "calibration").glob("*.txt"))
    for language in passport.LANGUAGES:
        text = (assets_dir() / f"passport/{language}.txt").read_text("utf-8")
        lines = [line for line in text.splitlines() if len(line) > 44]
        assert len(lines) > 25
        assert not [line for line in lines if line in calibration]


def test_a_source_of_another_vocabulary_is_refused(qwen_gguf: Path, smollm2_folder: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"vocabulary of 49,152 tokens, and its source one of 151,936"):
        measure_passport(qwen_gguf, smollm2_folder)


def test_a_source_that_is_not_there_is_not_found(smollm2_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        measure_passport(tmp_path / "nowhere.gguf", smollm2_folder)


def test_speed_and_memory_are_measured_in_a_process_that_holds_nothing_else(smollm2_folder: Path) -> None:
    ballast = b"x" * 600_000_000
    found = bench_apart(smollm2_folder, repeat=1)
    assert 300_000_000 < found["peak_rss_bytes"] < len(ballast)
    assert found["decode_tokens_per_second"] > 0


def test_a_measurement_that_is_stopped_leaves_no_process_behind(smollm2_folder: Path) -> None:
    looks = 0

    def check() -> None:
        nonlocal looks
        looks += 1
        if looks > 2:
            raise Stopped

    with pytest.raises(Stopped):
        bench_apart(smollm2_folder, check=check)
    assert not [child for child in psutil.Process().children() if "bench" in child.cmdline()]


def test_what_the_measured_process_complains_of_is_said(tmp_path: Path) -> None:
    with pytest.raises(LocalChatError, match=r"could not be measured: There is no model"):
        bench_apart(tmp_path / "nowhere")


def test_figures_are_added_to_what_is_known_of_a_model(installed: Path) -> None:
    before = _quantization(installed)
    add_to_quantization(installed, {"passport": {"a": 1}})
    add_to_quantization(installed, {"passport": {"b": "é"}})
    assert _quantization(installed) == {**before, "passport": {"b": "é"}}


def test_a_full_disk_leaves_what_was_known_of_a_model_as_it_was(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, files = _quantization(installed), sorted(installed.iterdir())

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFailed):
        add_to_quantization(installed, {"passport": {}})
    assert _quantization(installed) == before
    assert sorted(installed.iterdir()) == files


def test_measure_keeps_the_figures_and_show_prints_them(
    installed: Path, smollm2_gguf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "show", "smollm2-135m"]) == 0
    assert "Not measured yet" in capsys.readouterr().out
    monkeypatch.setattr(passport, "measure_passport", lambda *_, **__: PASSPORT)
    assert run(["models", "measure", "smollm2-135m", "--source", str(smollm2_gguf)]) == 0
    shown = capsys.readouterr().out
    assert _quantization(installed)["passport"] == PASSPORT
    for figure in ("0.0123", "0.250", "91.5%", "24.25", "23.01", "400 MB", "167.3", "source.gguf", "8,192"):
        assert figure in shown
    assert run(["models", "show", "smollm2-135m", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["passport"] == PASSPORT
    assert [plan["context"] for plan in facts["memory"]["plans"]] == [4096, 8192]


def test_compare_puts_two_models_side_by_side(
    installed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(comparison, "bench_apart", lambda *_, **__: BENCH)
    text = assets_dir() / "passport/en.txt"
    options = ["--text", str(text), "--context", "128", "--chunks", "2"]
    assert run(["compare", "smollm2-135m", str(installed), *options, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    one, other = result["models"]
    assert one["perplexity"] == other["perplexity"] > 1
    assert result["divergence"]["tokens"] == 2 * 63
    assert result["divergence"]["same_top"] == 1.0
    assert run(["compare", "smollm2-135m", str(installed), *options]) == 0
    assert "same top token 100.0%" in capsys.readouterr().out


def test_models_that_split_a_text_differently_are_compared_by_bits_a_byte(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "bench_apart", lambda *_, **__: BENCH)
    encode = load_chat_text(installed).tokenizer.encode
    splits = iter((encode, lambda text: [0, *encode(text)]))
    monkeypatch.setattr(
        comparison,
        "load_chat_text",
        lambda _: SimpleNamespace(tokenizer=SimpleNamespace(encode=next(splits), adds_bos=False)),
    )
    text = (assets_dir() / "passport/en.txt").read_text("utf-8")
    result = comparison.compare_models(installed, installed, text, context=64, chunks=2)
    one, other = result["models"]
    assert result["divergence"] is None
    assert one["perplexity"] != other["perplexity"]
    assert one["bits_per_byte"] == pytest.approx(math.log2(one["perplexity"]) * len(encode(text)) / len(text.encode()))
