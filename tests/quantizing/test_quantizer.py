"""Quantizing whole models: what is written, what a budget buys, and going on after an interruption."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, Qwen2Config, Qwen3MoeConfig

from localchat.commands.app import run
from localchat.errors import BadWeights, InvalidSetting, UnsupportedModel
from localchat.hub.importer import import_model
from localchat.hub.new_model import Imported
from localchat.model.decoder import Decoder
from localchat.model.load import load_model
from localchat.model.sources import open_source
from localchat.model.stored import from_stored, stored_spec
from localchat.paths import models_dir
from localchat.quantizing import quantizer
from localchat.quantizing.calibration import CHUNK_TOKENS, load_calibration
from localchat.quantizing.folding import fold_scales
from localchat.quantizing.layerwise import Layerwise
from localchat.quantizing.options import METHODS, Method, QuantizeOptions
from localchat.quantizing.quantizer import quantize_model
from localchat.quantizing.sensitivity import measure_options
from localchat.quantizing.sites import stages
from localchat.text.byte_letters import LETTER_OF_BYTE
from localchat.text.chat_text import load_chat_text
from localchat.weights.model_folder import open_model_folder
from quant.observe import Observer
from quant.spec import QuantSpec

SIZES: dict[str, Any] = {
    "vocab_size": 258,
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
    "eos_token_id": 1,
}
LLAMA = LlamaConfig(**SIZES)
TIED_QWEN = Qwen2Config(**SIZES | {"tie_word_embeddings": True})
EXPERTS = Qwen3MoeConfig(
    **SIZES | {"num_hidden_layers": 1}, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=64, head_dim=32
)
TEXT = " ".join(
    f"{word} {word[::-1]} 数{number}。" for number, word in enumerate(["tide", "stone", "lamp", "river"] * 25)
)


def checkpoint(folder: Path, config: PreTrainedConfig) -> Path:
    """A tiny model with weights large enough to matter, and a tokenizer of bytes."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.3 if parameter.ndim == 1 else 1.5 / parameter.shape[-1] ** 0.5
            parameter.copy_(torch.randn_like(parameter) * spread + float("norm" in name))
    model.save_pretrained(folder)
    vocabulary = {"<s>": 0, "</s>": 1, **{letter: 2 + i for i, letter in enumerate(LETTER_OF_BYTE.values())}}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(False), decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}')
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("llama"), LLAMA)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("qwen"), TIED_QWEN)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    file = tmp_path / "text.txt"
    file.write_text(TEXT, "utf-8")
    return file


def quantization(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "quantization.json").read_text("utf-8"))
    return content


def divergence(source: Path, folder: Path, read: str = "") -> float:
    """Mean KL of the model against its source, in nats, on a text or on bytes at random."""
    from localchat.engine.kv_cache import KVCache

    reference = open_source(source)
    opened = open_model_folder(folder)
    weights = from_stored(opened, stored_spec(opened))
    ids = torch.randint(2, 258, (256,), generator=torch.Generator().manual_seed(5))
    if read:
        ids = torch.tensor(load_chat_text(source).tokenizer.encode(read)[-256:])
    dense = {name: w if isinstance(w, Tensor) else w.dequantize() for name, w in weights.items()}
    with torch.inference_mode():
        wanted, found = (
            Decoder(reference.spec, each)(ids, KVCache(reference.spec, 256), all_logits=True).log_softmax(-1)
            for each in ({name: reference.float32(name) for name in reference.plan}, dense)
        )
    return float((wanted.exp() * (wanted - found)).sum(-1).mean())


def quantized(source: Path, text: Path, method: Method = "best", **options: Any) -> Imported:
    return quantize_model(source, "made", options=QuantizeOptions(method=method, **options), calibration_file=text)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_a_model_that_says_how_it_was_made(llama: Path, text: Path, method: Method) -> None:
    installed = quantized(llama, text, method)
    about = quantization(installed.folder)
    assert about["options"]["method"] == method
    assert (about["calibration"] is None) == (method == "rtn")
    if method != "rtn":
        assert about["calibration"]["text"] == "text.txt"
        assert len(about["calibration"]["sha256"]) == 64
    assert about["tensors"]["layers.1.down"]["bits"] in (4, 8)
    assert load_model(installed.folder).precision == "int4"
    assert not list(models_dir().glob(".*")), "the work folder is left"


@pytest.mark.usefixtures("home")
def test_gptq_is_nearer_to_the_source_than_import_and_best_nearer_still(llama: Path, text: Path) -> None:
    rounded = divergence(llama, import_model(llama, "rounded", bits=4).folder)
    compensated = divergence(llama, quantized(llama, text, "gptq").folder)
    best = divergence(llama, quantized(llama, text, "best").folder)
    assert best < compensated < rounded


@pytest.mark.usefixtures("home")
def test_rounding_is_what_import_does(qwen: Path, text: Path) -> None:
    imported, made = import_model(qwen, "rounded", bits=4).folder, quantized(qwen, text, "rtn").folder
    assert (imported / "model.safetensors").read_bytes() == (made / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("budget", [4.6, 6.0])
def test_a_budget_is_kept_and_used(qwen: Path, text: Path, budget: float) -> None:
    about = quantization(quantized(qwen, text, budget=budget).folder)
    assert budget - 0.4 < about["bits_per_weight"] <= budget


@pytest.mark.usefixtures("home")
def test_more_bits_are_nearer_to_the_source(qwen: Path, text: Path) -> None:
    far, near = (divergence(qwen, quantized(qwen, text, budget=budget).folder) for budget in (4.6, 7.0))
    assert near < 0.5 * far


@pytest.mark.usefixtures("home")
def test_a_budget_too_small_for_anything_says_what_is_possible(llama: Path, text: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"least possible is 4\.[1-9]"):
        quantized(llama, text, budget=4.01)


@pytest.mark.usefixtures("home")
def test_eight_bits_are_for_all_and_lose_next_to_nothing(qwen: Path, text: Path) -> None:
    installed = quantized(qwen, text, bits=8)
    assert {spec["bits"] for spec in quantization(installed.folder)["tensors"].values()} == {8}
    assert divergence(qwen, installed.folder) < 0.01


@pytest.mark.usefixtures("home")
def test_groups_are_as_large_as_asked_where_rows_allow_it(llama: Path, text: Path) -> None:
    tensors = quantization(quantized(llama, text, "gptq", group_size=128).folder)["tensors"]
    assert tensors["layers.0.query"] == QuantSpec(4, 128).to_metadata()
    assert tensors["layers.0.down"] == QuantSpec(4, 64).to_metadata()  # rows of 192


@pytest.mark.usefixtures("home")
def test_experts_are_quantized_for_what_they_see(tmp_path: Path, text: Path) -> None:
    source = checkpoint(tmp_path / "experts", EXPERTS)
    installed = quantized(source, text, "gptq")
    tensors = quantization(installed.folder)["tensors"]
    assert tensors["layers.0.router"]["bits"] == 8
    assert tensors["layers.0.experts.3.down"]["bits"] == 4
    rounded = import_model(source, "rounded", bits=4).folder
    assert divergence(source, installed.folder, TEXT) < divergence(source, rounded, TEXT)


class Enough(Exception):
    pass


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("source", ["llama", "qwen"])
def test_what_was_finished_before_an_interruption_is_not_done_again(
    source: str, text: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    path: Path = request.getfixturevalue(source)
    whole = (quantized(path, text).folder / "model.safetensors").read_bytes()

    def stop_at_the_last_layer(what: str, share: float) -> None:  # noqa: ARG001
        if what.startswith("Layer 3"):
            raise Enough

    options = QuantizeOptions()
    with pytest.raises(Enough):
        quantize_model(path, "made", options=options, calibration_file=text, on_progress=stop_at_the_last_layer)
    assert (models_dir() / "made/model.safetensors").read_bytes() == whole, "the model that was there is gone"
    again: list[int] = []
    quantize_layer = quantizer._Job._quantized
    monkeypatch.setattr(
        quantizer._Job, "_quantized", lambda job, index, *rest: again.append(index) or quantize_layer(job, index, *rest)
    )
    monkeypatch.setattr(quantizer, "measure_options", lambda *_, **__: pytest.fail("sensitivity was measured again"))
    folder = quantize_model(path, "made", options=options, calibration_file=text).folder
    assert again == [2]
    assert (folder / "model.safetensors").read_bytes() == whole


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("change", ["options", "text", "damage", "source"])
def test_work_that_does_not_belong_to_this_call_is_done_again(llama: Path, text: Path, change: str) -> None:
    def stop_at_the_last_layer(what: str, share: float) -> None:  # noqa: ARG001
        if what.startswith("Layer 3"):
            raise Enough

    with pytest.raises(Enough):
        quantize_model(
            llama,
            "made",
            options=QuantizeOptions(method="gptq"),
            calibration_file=text,
            on_progress=stop_at_the_last_layer,
        )
    options = QuantizeOptions(method="gptq")
    if change == "source":
        (llama / "model.safetensors").touch()
    if change == "options":
        options = QuantizeOptions(method="search")
    elif change == "text":
        text.write_text(TEXT[::-1], "utf-8")
    elif change == "damage":
        for file in (models_dir() / ".made.quantizing").glob("layer-*"):
            file.write_bytes(file.read_bytes()[:-100])
    resumed = quantize_model(llama, "made", options=options, calibration_file=text).folder
    fresh = quantize_model(llama, "fresh", options=options, calibration_file=text).folder
    assert (resumed / "model.safetensors").read_bytes() == (fresh / "model.safetensors").read_bytes()


def test_folding_changes_no_logit(qwen: Path) -> None:
    source = open_source(qwen)
    layers = Layerwise(source, 64)
    ids = torch.randint(2, 258, (64,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (state,) = layers.embed([ids])
        dense = layers.weights(0)
        layer = layers.layer(0, dense)
        sites = [site for stage in stages(dense) for site in stage]
        with Observer({site.names[0]: site.module(layer) for site in sites}) as observer:
            wanted = layers.run(layer, state)
        specs = {name: QuantSpec(4, 64) for name, weight in dense.items() if weight.dim() == 2}
        folded = fold_scales(dense, specs, observer.moments, source.spec)
        found = layers.run(layers.layer(0, folded), state)
    changed = {name for name in dense if not torch.equal(folded[name], dense[name])}
    assert {"attention_norm", "query", "value", "value.bias", "attention_output", "mlp_norm", "up", "down"} <= changed
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_layer_by_layer_is_what_the_decoder_computes(llama: Path) -> None:
    from localchat.engine.kv_cache import KVCache

    source = open_source(llama)
    layers = Layerwise(source, 64)
    ids = torch.randint(2, 258, (64,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (state,) = layers.embed([ids])
        for index in range(3):
            state = layers.run(layers.layer(index, layers.weights(index)), state)
        whole = Decoder(source.spec, {name: source.float32(name) for name in source.plan})
        wanted = whole(ids, KVCache(source.spec, 64), all_logits=True)
        torch.testing.assert_close(layers.outer().logits(state), wanted, rtol=1e-4, atol=1e-4)


def test_the_estimated_damage_of_a_format_is_near_the_divergence_that_it_causes(llama: Path) -> None:
    source = open_source(llama)
    layers = Layerwise(source, 128)
    chunks = list(torch.randint(2, 258, (6, 128), generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        options = measure_options(layers, chunks)
    coarse = QuantSpec(4, 128)
    name = "layers.1.gate"
    estimate = next(option.damage for option in options[name] if option.spec == coarse)
    from localchat.engine.kv_cache import KVCache
    from quant import search

    weights = {name: source.float32(name) for name in source.plan}
    held = {**weights, name: search.quantize(weights[name], coarse).dequantize()}
    total = 0.0
    with torch.inference_mode():
        for chunk in chunks:
            wanted, found = (
                Decoder(source.spec, each)(chunk, KVCache(source.spec, 128), all_logits=True).double().log_softmax(-1)
                for each in (weights, held)
            )
            total += float((wanted.exp() * (wanted - found)).sum(-1).mean()) / len(chunks)
    assert 0.3 < estimate / total < 3


def test_the_texts_that_ship_are_enough_and_of_both_languages(llama: Path) -> None:
    calibration = load_calibration(load_chat_text(llama).tokenizer)
    assert len(calibration.chunks) >= 20
    assert all(len(chunk) == CHUNK_TOKENS for chunk in calibration.chunks)
    order = list(LETTER_OF_BYTE)
    texts = [[order[int(token) - 2] for token in chunk if token > 1] for chunk in calibration.chunks[:2]]
    english, chinese = (sum(byte < 128 for byte in text) / len(text) for text in texts)
    assert english > 0.95
    assert chinese < 0.5


@pytest.mark.usefixtures("home")
def test_a_text_too_short_or_no_text_is_refused(llama: Path, tmp_path: Path) -> None:
    short, binary = tmp_path / "short.txt", tmp_path / "binary.txt"
    short.write_text("too short")
    binary.write_bytes(b"\xff\xfe" * 4000)
    for file, words in ((short, "fewer than"), (binary, "UTF-8"), (tmp_path / "none.txt", "cannot be read")):
        with pytest.raises(InvalidSetting, match=words):
            quantized(llama, file)
    assert not models_dir().exists() or not list(models_dir().iterdir())


@pytest.mark.parametrize(
    "wrong",
    [{"bits": 5}, {"group_size": 48}, {"method": "magic"}, {"method": "gptq", "budget": 5.0}, {"budget": 40.0}],
)
def test_options_that_cannot_be_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match=next(reversed(wrong)).replace("_", "-")):
        QuantizeOptions(**wrong)


@pytest.mark.usefixtures("home")
def test_the_command_installs_a_model_and_names_it(llama: Path, text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["quantize", str(llama), "--method", "gptq", "--name", "careful", "--no-passport"]
    assert run([*arguments, "--calibration", str(text)]) == 0
    assert capsys.readouterr().out == "careful\n"
    assert quantization(models_dir() / "careful")["method"] == "GPTQ with activation order"
    assert run(["quantize", str(llama), "--method", "magic"]) == 2


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("method", METHODS)
def test_weights_that_are_no_numbers_are_bad_weights(llama: Path, text: Path, tmp_path: Path, method: Method) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(llama, broken)
    tensors = load_file(broken / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = torch.nan
    save_file(tensors, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadWeights):
        quantized(broken, text, method)
    assert not (models_dir() / "made").exists()


@pytest.mark.usefixtures("home")
def test_a_source_that_is_not_understood_is_refused_before_any_work(llama: Path, text: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    shutil.copytree(llama, odd)
    config = json.loads((odd / "config.json").read_text())
    (odd / "config.json").write_text(json.dumps(config | {"architectures": ["OddForCausalLM"], "model_type": "odd"}))
    with pytest.raises(UnsupportedModel):
        quantized(odd, text)
