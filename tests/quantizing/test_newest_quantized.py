"""gpt-oss, MiniCPM3 and Gemma 4 without inputs of every layer are quantized on text like all others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_quantizer import SIZES, TEXT, checkpoint, divergence, quantization, quantized
from transformers import Gemma4TextConfig, Gemma4UnifiedTextConfig, GptOssConfig, MiniCPM3Config, PreTrainedConfig

from localchat.errors import UnsupportedModel
from localchat.hub.importer import import_model
from localchat.model.sources import open_source
from localchat.quantizing.folding import fold_scales
from localchat.quantizing.layerwise import Layerwise
from localchat.quantizing.options import Method
from localchat.quantizing.sites import stages
from quant.observe import Observer
from quant.spec import QuantSpec

_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
CONFIGS: dict[str, PreTrainedConfig] = {
    "gpt_oss": GptOssConfig(
        **SIZES | {"num_hidden_layers": 2, "intermediate_size": 64},
        head_dim=32,
        num_local_experts=4,
        num_experts_per_tok=2,
        rope_parameters=_ROPE,
    ),
    "minicpm3": MiniCPM3Config(
        **SIZES | {"num_hidden_layers": 2, "num_key_value_heads": 4},
        kv_lora_rank=64,
        q_lora_rank=64,
        qk_nope_head_dim=24,
        qk_rope_head_dim=8,
    ),
    "gemma4": Gemma4UnifiedTextConfig(
        **SIZES | {"num_hidden_layers": 2},
        head_dim=32,
        global_head_dim=64,
        num_global_key_value_heads=1,
        attention_k_eq_v=True,
        layer_types=["sliding_attention", "full_attention"],
        pad_token_id=None,
        bos_token_id=None,
    ),
}


@pytest.fixture(params=CONFIGS, scope="module")
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp(request.param), CONFIGS[request.param])


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("method", ["best", "awq"])
def test_quantizing_on_text_is_nearer_to_the_source_than_rounding(source: Path, method: Method, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT, "utf-8")
    rounded = import_model(source, "rounded", bits=4).folder
    made = quantized(source, text, method).folder
    assert set(quantization(made)["tensors"]) == set(quantization(rounded)["tensors"])
    assert divergence(source, made, TEXT) < divergence(source, rounded, TEXT)


def test_folded_scales_change_nothing_before_rounding(source: Path) -> None:
    layers = Layerwise(open_source(source), 64)
    (state,) = layers.embed([torch.randint(2, 258, (64,), generator=torch.Generator().manual_seed(2))])
    for index in range(2):
        dense = layers.weights(index)
        layer = layers.layer(index, dense)
        sites = [site for stage in stages(dense) for site in stage]
        with torch.no_grad(), Observer({site.names[0]: site.module(layer) for site in sites}) as observer:
            wanted = layers.run(layer, state)
            specs = {name: QuantSpec(4) for name, weight in dense.items() if weight.dim() == 2}
            folded = fold_scales(dense, specs, observer.moments, layers.spec)
            found = layers.run(layers.layer(index, folded), state)
        assert any(not torch.equal(folded[name], dense[name]) for name in dense)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
        state = wanted


@pytest.mark.usefixtures("home")
def test_where_layers_read_more_than_the_one_before_gives_weights_are_rounded_alone(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT, "utf-8")
    config = Gemma4TextConfig(
        **SIZES | {"num_hidden_layers": 4},
        head_dim=32,
        global_head_dim=64,
        hidden_size_per_layer_input=32,
        vocab_size_per_layer_input=SIZES["vocab_size"],
        num_kv_shared_layers=2,
        layer_types=["sliding_attention", "full_attention"] * 2,
        pad_token_id=None,
        bos_token_id=None,
    )
    source = checkpoint(tmp_path / "gemma4", config)
    with pytest.raises(UnsupportedModel, match="on text"):
        quantized(source, text, "gptq")
    imported = import_model(source, "rounded", bits=4)
    assert not imported.could_be_better
    made = quantized(source, text, "rtn").folder
    assert set(quantization(made)["tensors"]) == set(quantization(imported.folder)["tensors"])
    assert divergence(source, made) < 0.5
