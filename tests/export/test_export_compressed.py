"""Folders in compressed-tensors' format, loaded by transformers: the logits are those of our decoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_exports import CONFIGS, install, random_weights, spec_of
from transformers import AutoModelForCausalLM, AutoTokenizer

from localchat.engine.kv_cache import KVCache
from localchat.errors import UnsupportedModel
from localchat.export.exporter import Exported, export_model
from localchat.export.model import open_for_export
from localchat.export.precision import dense
from localchat.messages import Message
from localchat.model.decoder import Decoder
from localchat.model.spec import ModelSpec
from localchat.text.chat_text import load_chat_text
from localchat.weights.safetensors_file import SafetensorsFile
from quant.spec import ROW_GROUP, QuantSpec

INT4, SYMMETRIC, INT8 = QuantSpec(4, 32), QuantSpec(4, 32, symmetric=True), QuantSpec(8, 32)
Held = Callable[[str], QuantSpec | None]
TOKENS = torch.randint(0, 256, (70,), generator=torch.Generator().manual_seed(1))


def exported(tmp_path: Path, name: str, held: Held) -> tuple[Path, Exported]:
    folder = install(tmp_path / "tiny", spec_of(name), random_weights(spec_of(name), held))
    return folder, export_model(folder, "compressed-tensors", tmp_path / "out")


def our_logits(folder: Path, *dense_too: str) -> torch.Tensor:
    """In float32, with the vocabulary and what else is exported dense in float16, as it is exported."""
    model = open_for_export(folder)
    weights = {name: dense(weight) for name, weight in model.weights.items()}
    halves = ("embedding", "output", *dense_too)
    weights |= {name: weight.half().float() for name, weight in weights.items() if name.split(".")[-1] in halves}
    with torch.inference_mode():
        decoder = Decoder(model.spec, weights, device=torch.device("cpu"))
        return decoder(TOKENS, KVCache(model.spec, len(TOKENS)), all_logits=True)


def their_logits(folder: Path) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.inference_mode():
        logits: torch.Tensor = model.eval()(TOKENS[None]).logits[0]
    return logits


def config_of(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in ("phi3", "qwen3_moe")])
def test_transformers_computes_the_same_logits(tmp_path: Path, name: str) -> None:
    folder, result = exported(tmp_path, name, lambda each: INT8 if "down" in each else SYMMETRIC)
    torch.testing.assert_close(their_logits(result.path), our_logits(folder), atol=1e-3, rtol=1e-3)
    assert len(result.notes) == 1


@pytest.mark.parametrize(
    "held",
    [SYMMETRIC, INT8, QuantSpec(8, 64), QuantSpec(8, ROW_GROUP)],
    ids=str,
)
def test_every_precision_that_the_format_has_keeps_its_weights(tmp_path: Path, held: QuantSpec) -> None:
    folder, result = exported(tmp_path, "llama", lambda name: held if not name.endswith("down") else INT8)
    torch.testing.assert_close(their_logits(result.path), our_logits(folder), atol=1e-3, rtol=1e-3)


def test_matrices_that_are_not_quantized_are_float16_and_the_user_is_told(tmp_path: Path) -> None:
    folder, result = exported(tmp_path, "llama", lambda name: None if name.endswith("gate") else INT8)
    assert config_of(result.path)["quantization_config"]["ignore"].count("model.layers.2.mlp.up_proj") == 1
    torch.testing.assert_close(their_logits(result.path), our_logits(folder, "gate", "up"), atol=1e-3, rtol=1e-3)
    assert "8, with the vocabulary, are float16" in result.notes[0]


def test_a_fused_matrix_is_written_as_one(tmp_path: Path) -> None:
    held = {"query": SYMMETRIC, "value": INT8}
    folder, result = exported(tmp_path, "phi3", lambda name: held.get(name.split(".")[-1], SYMMETRIC))
    torch.testing.assert_close(their_logits(result.path), our_logits(folder), atol=1e-3, rtol=1e-3)
    groups = config_of(result.path)["quantization_config"]["config_groups"].values()
    assert {"model.layers.0.self_attn.qkv_proj"} <= {
        name for group in groups if group["weights"]["num_bits"] == 8 for name in group["targets"]
    }


def test_int4_with_minimums_becomes_int8_that_is_hardly_off(tmp_path: Path) -> None:
    folder, result = exported(tmp_path, "llama", lambda _: INT4)
    ours, theirs = our_logits(folder).log_softmax(-1), their_logits(result.path).log_softmax(-1)
    assert (ours.exp() * (ours - theirs)).sum(-1).mean() < 6e-4
    assert "int8" in result.notes[1]
    assert float(result.notes[1].split()[-2]) < 0.5  # per cent; rounding to int8 anew would be off by 0.55


def test_what_runs_as_one_matrix_has_one_precision(tmp_path: Path) -> None:
    held = {"value": INT8, "up": QuantSpec(4, 64, symmetric=True)}
    folder, result = exported(tmp_path, "llama", lambda name: held.get(name.split(".")[-1], SYMMETRIC))
    torch.testing.assert_close(their_logits(result.path), our_logits(folder), atol=1e-3, rtol=1e-3)
    groups = config_of(result.path)["quantization_config"]["config_groups"].values()
    by_target = {name: group["weights"] for group in groups for name in group["targets"]}
    attention = [by_target[f"model.layers.1.self_attn.{name}_proj"] for name in "qkv"]
    assert [each["num_bits"] for each in attention] == [8, 8, 8]
    assert by_target["model.layers.1.mlp.gate_proj"] == by_target["model.layers.1.mlp.up_proj"]


def test_tokenizer_and_template_are_those_of_the_model(tmp_path: Path) -> None:
    folder, result = exported(tmp_path, "qwen2", lambda _: INT8)
    text = "hello 12 你好\n"
    for ours in (load_chat_text(folder), load_chat_text(result.path)):
        theirs = AutoTokenizer.from_pretrained(result.path)
        ids = ours.encode([Message("user", text)])
        chat = theirs.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True)
        assert list(chat["input_ids"] if not isinstance(chat, list) else chat) == ids
    generation = json.loads((result.path / "generation_config.json").read_text())
    assert set(generation["eos_token_id"]) == load_chat_text(folder).tokenizer.stop_ids
    assert generation["temperature"] == 0.5


def test_a_large_model_is_cut_into_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localchat.export.compressed_tensors._SHARD_BYTES", 30_000)
    folder, result = exported(tmp_path, "llama", lambda _: SYMMETRIC)
    shards = sorted(path.name for path in result.path.glob("*.safetensors"))
    assert len(shards) > 3
    assert shards[0] == f"model-00001-of-{len(shards):05}.safetensors"
    torch.testing.assert_close(their_logits(result.path), our_logits(folder), atol=1e-3, rtol=1e-3)


def test_weights_beyond_float16_stay_float32(tmp_path: Path) -> None:
    spec = spec_of("llama")
    weights = random_weights(spec, lambda name: None if name == "embedding" else INT8)
    weights["embedding"][5, 7] = 1e5  # type: ignore[index]
    folder = install(tmp_path / "tiny", spec, weights)
    stored = SafetensorsFile(export_model(folder, "compressed-tensors", tmp_path / "out").path)
    assert stored.tensor("model.embed_tokens.weight").dtype == torch.float32
    assert stored.tensor("lm_head.weight").dtype == torch.float16


def test_mixtures_of_experts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="experts"):
        exported(tmp_path, "qwen3_moe", lambda _: INT8)


def test_what_the_format_or_transformers_has_not_is_refused_by_name(tmp_path: Path) -> None:
    spec = ModelSpec.from_dict({**spec_of("llama").to_dict(), "qk_norm": "head"})
    folder = install(tmp_path / "tiny", spec, random_weights(spec, lambda _: INT8))
    with pytest.raises(UnsupportedModel, match="qk_norm"):
        export_model(folder, "compressed-tensors", tmp_path / "out")
    assert not (tmp_path / "out").exists()
