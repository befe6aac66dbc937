"""Gemma 4 as it is published, and what of it is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from published_configurations import PUBLISHED
from safetensors.torch import load_file, save_file
from tiny_gguf import write_gguf
from tiny_models import CONFIGS, SIZES, reference_model, save_checkpoint
from torch import Tensor
from transformers import PreTrainedModel

from localchat.engine.kv_cache import KVCache
from localchat.errors import UnsupportedModel
from localchat.hub.importer import _converted
from localchat.model.configuration import spec_from_huggingface
from localchat.model.decoder import Decoder
from localchat.model.memory import Footprint
from localchat.model.plan import refusal
from localchat.model.sources import open_source
from localchat.quantizing.layerwise import Layerwise
from quant.kernels import native

TOKENS = torch.randint(0, SIZES["vocab_size"], (60,), generator=torch.Generator().manual_seed(7))
FULL = "gemma4_text, inputs of every layer, shared keys"
BOUND = 1e-4


def _expected(model: PreTrainedModel) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = model(TOKENS[None]).logits[0]
    return logits


def _logits(folder: Path) -> Tensor:
    source = open_source(folder)
    decoder = Decoder(source.spec, {name: source.float32(name) for name in source.plan})
    with torch.inference_mode():
        logits: Tensor = decoder(TOKENS, KVCache(decoder.spec, 100), all_logits=True)
    return logits


def _rewrite(folder: Path, change: Any) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors), folder / "model.safetensors", {"format": "pt"})


def test_keys_and_values_that_sharing_layers_have_no_use_for_are_left_out(tmp_path: Path) -> None:
    model = reference_model(CONFIGS[FULL])
    folder = save_checkpoint(model, tmp_path)
    prefix = "model.layers.{}.self_attn.{}"

    def kept(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        for name in ("k_proj.weight", "v_proj.weight", "k_norm.weight"):
            tensors[prefix.format(4, name)] = torch.randn_like(tensors[prefix.format(1, name)])
        return tensors

    _rewrite(folder, kept)
    assert (_logits(folder) - _expected(model)).abs().max() < BOUND


def test_the_text_of_one_that_sees_and_hears_is_read_alone(tmp_path: Path) -> None:
    model = reference_model(CONFIGS[FULL])
    folder = save_checkpoint(model, tmp_path)

    def wrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        text = {re.sub(r"^model\.", "model.language_model.", name): each for name, each in tensors.items()}
        return {**text, "model.vision_tower.std_bias": torch.zeros(1), "model.embed_audio.weight": torch.zeros(1)}

    _rewrite(folder, wrapped)
    assert (_logits(folder) - _expected(model)).abs().max() < BOUND


def test_a_tensor_of_the_mixture_is_refused_by_name(tmp_path: Path) -> None:
    folder = save_checkpoint(reference_model(CONFIGS["gemma4_text"]), tmp_path)
    _rewrite(folder, lambda tensors: {**tensors, "model.layers.0.router.scale": torch.ones(48)})
    with pytest.raises(UnsupportedModel, match=r"model\.layers\.0\.router\.scale"):
        open_source(folder)


def test_layers_that_share_take_no_room_in_a_cache() -> None:
    spec = spec_from_huggingface(PUBLISHED["gemma-4-E2B-it"])
    assert [spec.keys_of(i) for i in (13, 14, 15, 19, 34)] == [13, 14, 13, 14, 14]
    held = Footprint(spec, 0, 16.0, 2).plan(4096).cache
    own = 12 * (512 + 2 * 1024) * 256 + 3 * 4096 * 512  # of 15 layers three are full, with wider heads
    assert held == int(1.2 * 2 * 2 * own)


def test_truncating_and_reading_on_is_reading_at_once(tmp_path: Path) -> None:
    source = open_source(save_checkpoint(reference_model(CONFIGS[FULL]), tmp_path))
    decoder, cache = (
        Decoder(source.spec, {name: source.float32(name) for name in source.plan}),
        KVCache(source.spec, 80),
    )
    with torch.inference_mode():
        expected = decoder(TOKENS, KVCache(source.spec, 80))
        decoder(TOKENS[:50], cache)
        kept = cache.truncate(30)
        again = decoder(TOKENS[kept:], cache)
    assert (again - expected).abs().max() < BOUND


@pytest.mark.skipif(native.refusal() is not None, reason=f"the CPU kernels are {native.refusal()}")
def test_quantized_it_runs_through_torch_and_stays_near(tmp_path: Path) -> None:
    source = open_source(write_gguf(reference_model(CONFIGS[FULL]), tmp_path / "tiny.gguf"))
    dense = Decoder(source.spec, {name: source.float32(name) for name in source.plan})
    decoder = Decoder(source.spec, {name: _converted(source, name, 8) for name in source.plan})
    assert refusal(decoder) == "norms its values"
    with torch.inference_mode():
        expected, given = (each(TOKENS, KVCache(source.spec, 80), all_logits=True) for each in (dense, decoder))
    assert (given - expected).norm() / expected.norm() < 0.1


def test_quantizing_on_text_is_refused_where_layers_read_more_than_the_one_before_gives(tmp_path: Path) -> None:
    source = open_source(save_checkpoint(reference_model(CONFIGS[FULL]), tmp_path))
    with pytest.raises(UnsupportedModel, match="on text"):
        Layerwise(source, 32).embed([TOKENS[:32]])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"enable_moe_block": True}, "enable_moe_block"),
        ({"num_experts": 8}, "num_experts"),
        ({"use_bidirectional_attention": "all"}, "use_bidirectional_attention"),
        ({"layer_types": ["full_attention"] + ["sliding_attention"] * 34}, "layer_types"),
        ({"layer_types": ["full_attention"] * 35}, "two sizes"),
        ({"num_kv_shared_layers": 33}, "none of their kind"),
        ({"num_kv_shared_layers": 40}, "40 that share"),
        ({"vocab_size_per_layer_input": 1000}, "vocab_size_per_layer_input"),
        ({"per_layer_config": {"0": {"head_dim": 512}}}, "per_layer_config"),
        ({"attention_bias": True}, "attention_bias"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedModel, match=named):
        spec_from_huggingface({**PUBLISHED["gemma-4-E2B-it"], **change})
