"""Models whose layers keep states are imported, quantized and talked with like all others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_quantizer import SIZES, TEXT, checkpoint, divergence, quantization, quantized
from torch import Tensor
from transformers import Lfm2Config, PreTrainedConfig, Qwen3_5TextConfig

from localchat.engine.facade import Engine
from localchat.errors import UnsupportedModel
from localchat.events import ReplyDone
from localchat.export.exporter import export_model
from localchat.hub.importer import import_model
from localchat.messages import Message, ReplyOptions
from localchat.model.sources import open_source
from localchat.quantizing.folding import fold_scales
from localchat.quantizing.layerwise import Layerwise
from localchat.quantizing.options import Method
from localchat.quantizing.sites import stages
from quant.observe import Observer
from quant.spec import QuantSpec

CONFIGS: dict[str, PreTrainedConfig] = {
    "lfm2": Lfm2Config(
        **SIZES, norm_eps=1e-5, block_auto_adjust_ff_dim=False, layer_types=["conv", "full_attention", "conv"]
    ),
    "qwen3_5": Qwen3_5TextConfig(
        **SIZES,
        head_dim=32,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=32,
        linear_value_head_dim=32,
        layer_types=["linear_attention", "linear_attention", "full_attention"],
    ),
}


@pytest.fixture(params=CONFIGS, scope="module")
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp(request.param), CONFIGS[request.param])


@pytest.fixture
def text(tmp_path: Path) -> Path:
    file = tmp_path / "text.txt"
    file.write_text(TEXT, "utf-8")
    return file


@pytest.mark.usefixtures("home")
def test_gptq_is_nearer_to_the_source_than_rounding_and_quantizes_what_mixes(source: Path, text: Path) -> None:
    rounded = import_model(source, "rounded", bits=4).folder
    made = quantized(source, text, "gptq").folder
    tensors = quantization(made)["tensors"]
    assert set(tensors) == set(quantization(rounded)["tensors"])
    assert {"layers.0.mix.input", "layers.0.mix.output"} <= set(tensors)
    assert "layers.0.mix.convolution" not in tensors
    assert {tensors[name]["bits"] for name in tensors if name.endswith((".rates", ".fading"))} <= {8}
    assert divergence(source, made, TEXT) < divergence(source, rounded, TEXT)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("method", ["best", "awq"])
def test_bits_are_spent_and_scales_folded_in_such_layers_too(source: Path, text: Path, method: Method) -> None:
    made = quantized(source, text, method).folder
    assert divergence(source, made, TEXT) < divergence(source, import_model(source, "rounded", bits=4).folder, TEXT)


def test_folded_scales_change_nothing_before_rounding(source: Path) -> None:
    opened = open_source(source)
    layers = Layerwise(opened, 64)
    states = layers.embed([torch.randint(2, 258, (64,), generator=torch.Generator().manual_seed(2))])
    for index in range(3):
        dense = layers.weights(index)
        specs = {name: QuantSpec(4) for name, weight in dense.items() if weight.ndim == 2}
        layer = layers.layer(index, dense)
        sites = [site for stage in stages(dense) for site in stage]
        with Observer({site.names[0]: site.module(layer) for site in sites}) as observer, torch.no_grad():
            expected = layers.run(layer, states[0])
        folded = fold_scales(dense, specs, observer.moments, opened.spec)
        assert any(not torch.equal(folded[name], dense[name]) for name in specs)
        with torch.no_grad():
            torch.testing.assert_close(
                layers.run(layers.layer(index, folded), states[0]), expected, rtol=1e-3, atol=1e-3
            )
        states = [expected]


def ask(engine: Engine, messages: list[Message], tokens: int = 20) -> ReplyDone:
    done = list(engine.reply(messages, ReplyOptions(max_tokens=tokens, sampling={"temperature": 0.0})))[-1]
    assert isinstance(done, ReplyDone)
    return done


@torch.inference_mode()
def expects(engine: Engine) -> Tensor:
    """What the model thinks may follow what it has read, if a token came next."""
    model = engine._model
    assert model is not None
    return model.loaded.decoder(torch.tensor([7]), model.cache).softmax(-1)


@pytest.mark.usefixtures("home")
def test_a_conversation_is_not_read_again_and_another_reply_costs_one_question(source: Path) -> None:
    folder = import_model(source, "talking", bits=4).folder
    engine, fresh = Engine(), Engine()
    for each in (engine, fresh):
        each.load(folder)
    system, question = Message("system", TEXT[:300]), Message("user", "Which way does the river flow?")
    first, again = ask(engine, [system, question]), ask(engine, [system, question])
    assert again.cached_tokens == first.prompt_tokens - 16
    longer = [system, question, Message("assistant", "North."), Message("user", "And the tide?")]
    second, from_the_start = ask(engine, longer, tokens=1), ask(fresh, longer, tokens=1)
    assert second.cached_tokens >= first.prompt_tokens - 16
    assert from_the_start.cached_tokens == 0
    assert (expects(engine) - expects(fresh)).abs().sum() < 0.1


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("form", ["gguf", "compressed-tensors"])
def test_exports_that_cannot_hold_it_are_refused(source: Path, form: str, tmp_path: Path) -> None:
    folder = import_model(source, "leaving", bits=4).folder
    with pytest.raises(UnsupportedModel, match=r"lfm2|qwen3_5"):
        export_model(folder, form, tmp_path / "out")
