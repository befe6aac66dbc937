"""MiniCPM3's attention over latents: what it keeps, how it runs quantized, and what of it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from published_configurations import PUBLISHED
from tiny_gguf import write_gguf
from tiny_models import CONFIGS, SIZES, reference_model, save_checkpoint

from localchat.engine.kv_cache import KVCache
from localchat.errors import UnsupportedModel
from localchat.hub.importer import _converted
from localchat.model.configuration import spec_from_huggingface
from localchat.model.decoder import Decoder
from localchat.model.gguf_configuration import spec_from_gguf
from localchat.model.plan import refusal
from localchat.model.sources import open_source
from localchat.model.spec import ModelSpec
from localchat.weights.gguf_file import GGUFFile
from quant.kernels import native

TOKENS = torch.randint(0, SIZES["vocab_size"], (60,), generator=torch.Generator().manual_seed(7))


def test_the_cache_holds_one_head_and_not_forty() -> None:
    spec = spec_from_huggingface(PUBLISHED["MiniCPM3-4B"])
    assert (spec.num_heads, spec.num_key_value_heads, spec.head_dim) == (40, 1, 256 + 32)
    cache = KVCache(spec, 512, torch.float16)
    cache.blocks(1)
    assert cache.nbytes == 2 * 2 * 62 * 512 * 288


def test_a_gguf_says_the_same_as_the_checkpoint_that_it_was_made_from(tmp_path: Path) -> None:
    model = reference_model(CONFIGS["minicpm3"])
    ours = spec_from_gguf(GGUFFile(write_gguf(model, tmp_path / "tiny.gguf")))
    theirs = open_source(save_checkpoint(model, tmp_path / "folder")).spec
    assert ours.to_dict().keys() == theirs.to_dict().keys()
    for name, value in theirs.to_dict().items():
        assert getattr(ours, name) == (pytest.approx(value) if isinstance(value, float) else value), name


@pytest.mark.skipif(native.refusal() is not None, reason=f"the CPU kernels are {native.refusal()}")
def test_quantized_it_runs_through_torch_and_stays_near(tmp_path: Path) -> None:
    source = open_source(write_gguf(reference_model(CONFIGS["minicpm3"]), tmp_path / "tiny.gguf"))
    dense = Decoder(source.spec, {name: source.float32(name) for name in source.plan})
    decoder = Decoder(source.spec, {name: _converted(source, name, 8) for name in source.plan})
    assert refusal(decoder) == "attends over latents"
    with torch.inference_mode():
        expected, given = (each(TOKENS, KVCache(source.spec, 80), all_logits=True) for each in (dense, decoder))
    assert (given - expected).norm() / expected.norm() < 0.05


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"num_key_value_heads": 8}, "share keys"),
        ({"q_lora_rank": None}, "q_lora_rank"),
        ({"kv_lora_rank": 0}, "no channels"),
        ({"qk_rope_head_dim": 31}, "even number"),
        ({"attention_bias": True}, "attention_bias"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "mscale_all_dim": 1.0}}, "yarn"),
        ({"n_routed_experts": 64}, "n_routed_experts"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    config = {**PUBLISHED["MiniCPM3-4B"], **change}
    if "qk_rope_head_dim" in change:
        del config["rope_scaling"]
    with pytest.raises(UnsupportedModel, match=named):
        spec_from_huggingface(config)


def test_a_spec_whose_latents_contradict_each_other_is_refused() -> None:
    spec = spec_from_huggingface(PUBLISHED["MiniCPM3-4B"]).to_dict()
    for change in ({"head_dim": 96}, {"query_rank": 0}, {"num_key_value_heads": 2}):
        with pytest.raises(UnsupportedModel, match="latents"):
            ModelSpec.from_dict({**spec, **change})
