"""GGUF files that we write: read back by our own reader, every value and every token id is as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_exports import CONFIGS, ROWS, install, random_weights, spec_of

from localchat.errors import UnsupportedModel
from localchat.export.exporter import export_model
from localchat.export.model import open_for_export
from localchat.export.precision import dense
from localchat.hub.importer import import_model
from localchat.messages import Message
from localchat.model.sources import open_source
from localchat.model.spec import ModelSpec
from localchat.model.stored import stored_spec
from localchat.text.chat_text import load_chat_text
from localchat.weights.gguf_file import GGUFFile
from localchat.weights.model_folder import open_model_folder
from quant.spec import ROW_GROUP, QuantSpec

TEXT = "Hello, I'll pay 1234 € for  the <|im_end|> token.\n\n你好，世界！ e\u0301 def f(x):\n\treturn x"
INT4, SYMMETRIC, INT8 = QuantSpec(4, 32), QuantSpec(4, 32, symmetric=True), QuantSpec(8, 32)


def exported(tmp_path: Path, folder: Path) -> Path:
    return export_model(folder, "gguf", tmp_path / "out.gguf").path


def assert_reads_back(file: Path, folder: Path) -> None:
    """Architecture and every value."""
    model, source = open_for_export(folder), open_source(file)
    assert list(source.plan) == list(model.weights)
    for name, weight in model.weights.items():
        assert torch.equal(source.float32(name), dense(weight)), name


@pytest.mark.parametrize("name", list(CONFIGS))
def test_a_file_reads_back_with_every_value(tmp_path: Path, name: str) -> None:
    spec = spec_of(name)
    folder = install(tmp_path / "tiny", spec, random_weights(spec, lambda each: INT8 if "e" in each[-3:] else INT4))
    if name == "phi3":  # whose query, key and value are one matrix of the file, and so of one precision
        folder = install(tmp_path / "even", spec, random_weights(spec, lambda _: INT4))
    assert_reads_back(exported(tmp_path, folder), folder)


@pytest.mark.parametrize(
    ("held", "kind"),
    [
        (INT4, "Q4_1"),
        (SYMMETRIC, "Q4_0"),
        (INT8, "Q8_0"),
        (QuantSpec(4, 64), "Q4_1"),
        (QuantSpec(4, 64, symmetric=True), "Q4_0"),
        (QuantSpec(8, 64), "Q8_0"),
        (None, "F32"),
    ],
)
def test_every_precision_has_the_type_that_holds_it_exactly(tmp_path: Path, held: QuantSpec | None, kind: str) -> None:
    spec = spec_of("llama")
    weights = random_weights(spec, lambda name: held if not name.endswith("down") else INT8)
    folder = install(tmp_path / "tiny", spec, weights)
    result = export_model(folder, "gguf", tmp_path / "out.gguf")
    assert GGUFFile(result.path).quant_type("blk.1.attn_q.weight") == kind
    assert "No weight is changed" in result.notes[0]
    assert_reads_back(result.path, folder)


def test_scales_of_whole_rows_become_float16_and_the_user_is_told(tmp_path: Path) -> None:
    spec = spec_of("llama")
    by_row = QuantSpec(8, ROW_GROUP)
    folder = install(
        tmp_path / "tiny", spec, random_weights(spec, lambda name: by_row if name.endswith("up") else INT4)
    )
    result = export_model(folder, "gguf", tmp_path / "out.gguf")
    ours = dense(open_for_export(folder).weights["layers.2.up"])
    theirs = open_source(result.path).float32("layers.2.up")
    assert not torch.equal(theirs, ours)
    assert bool(((theirs - ours).abs() <= 2**-11 * ours.abs()).all())
    assert "3 are rounded" in result.notes[0]


def test_scales_of_rows_too_small_for_float16_keep_their_values_in_float32(tmp_path: Path) -> None:
    spec = spec_of("llama")
    weights = random_weights(spec, lambda name: QuantSpec(8, ROW_GROUP) if name.endswith("up") else INT4)
    weights["layers.0.up"].scales.mul_(1e-5)  # type: ignore[union-attr]
    folder = install(tmp_path / "tiny", spec, weights)
    file = exported(tmp_path, folder)
    assert GGUFFile(file).quant_type("blk.0.ffn_up.weight") == "F32"
    assert torch.equal(open_source(file).float32("layers.0.up"), dense(weights["layers.0.up"]))


def test_parts_of_a_fused_matrix_meet_in_a_precision_that_holds_all(tmp_path: Path) -> None:
    spec = spec_of("phi3")
    held = {"query": SYMMETRIC, "key": QuantSpec(4, 64, symmetric=True), "value": INT8, "gate": INT4, "up": SYMMETRIC}
    folder = install(tmp_path / "tiny", spec, random_weights(spec, lambda name: held.get(name.split(".")[-1], INT4)))
    file = exported(tmp_path, folder)
    assert GGUFFile(file).quant_type("blk.0.attn_qkv.weight") == "Q8_0"
    assert GGUFFile(file).quant_type("blk.0.ffn_up.weight") == "Q4_1"
    assert_reads_back(file, folder)


def test_tokenizer_and_template_read_back(tmp_path: Path) -> None:
    spec = spec_of("llama")
    folder = install(tmp_path / "tiny", spec, random_weights(spec, lambda _: INT4))
    ours, theirs = load_chat_text(folder), load_chat_text(exported(tmp_path, folder))
    messages = [Message("user", TEXT)]
    assert theirs.encode(messages) == ours.encode(messages)
    assert theirs.tokenizer.stop_ids == ours.tokenizer.stop_ids
    assert theirs.tokenizer.vocab_size == ROWS


@pytest.mark.parametrize(
    ("name", "changes", "lost"),
    [
        ("qwen2", {"rope_factors": tuple(range(1, 9))}, "rope"),
        ("mistral, sliding", {}, "sliding_window"),
        ("llama", {"qk_norm": "head"}, "qk_norm"),
    ],
)
def test_what_a_file_cannot_say_is_refused_by_name(
    tmp_path: Path, name: str, changes: dict[str, object], lost: str
) -> None:
    if name.startswith("mistral"):
        spec = spec_of("llama")
        changes = {"family": "mistral", "sliding_window": 32, "layer_kinds": ("sliding",) * 3}
    else:
        spec = spec_of(name)
    spec = ModelSpec.from_dict({**spec.to_dict(), **changes})
    folder = install(tmp_path / "tiny", spec, random_weights(spec, lambda _: INT4))
    with pytest.raises(UnsupportedModel, match=lost):
        export_model(folder, "gguf", tmp_path / "out.gguf")
    assert not list(tmp_path.glob("*.gguf")) and not list(tmp_path.glob(".out*"))


def test_smollm2_comes_back_as_the_same_model_byte_for_byte(
    tmp_path: Path,
    home: Path,  # noqa: ARG001
    smollm2_folder: Path,
) -> None:
    again = import_model(exported(tmp_path, smollm2_folder), "again").folder
    assert (again / "model.safetensors").read_bytes() == (smollm2_folder / "model.safetensors").read_bytes()
    assert stored_spec(open_model_folder(again)) == stored_spec(open_model_folder(smollm2_folder))
    assert (again / "tokenizer.json").read_bytes() == (smollm2_folder / "tokenizer.json").read_bytes()
    messages = [Message("user", TEXT)]
    assert load_chat_text(again).encode(messages) == load_chat_text(smollm2_folder).encode(messages)
