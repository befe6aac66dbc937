"""The decoder computes what `transformers` computes, whichever way the weights and the tokens come."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import CONFIGS, LLAMA3_ROPE, SIZES, reference_model, save_checkpoint, write_gguf
from torch import Tensor
from transformers import LlamaConfig, PreTrainedModel

from localchat.engine.kv_cache import KVCache
from localchat.model.decoder import Decoder
from localchat.model.rope import scaling_factors
from localchat.model.sources import WeightSource, open_source

TOKENS = torch.randint(0, SIZES["vocab_size"], (150,), generator=torch.Generator().manual_seed(7))
BOUND = 1e-4  # largest absolute error of a logit; the logits go up to 6


def _decoder(source: WeightSource) -> Decoder:
    return Decoder(source.spec, {name: source.float32(name) for name in source.plan})


def _expected(model: PreTrainedModel) -> Tensor:
    with torch.inference_mode():
        return model(TOKENS[None]).logits[0]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_checkpoint_gives_the_logits_of_transformers_at_once_in_chunks_and_token_by_token(
    name: str, tmp_path: Path
) -> None:
    model = reference_model(CONFIGS[name])
    decoder = _decoder(open_source(save_checkpoint(model, tmp_path)))
    expected = _expected(model)
    assert expected.std() > 0.5  # or nothing would be compared
    for pieces in (TOKENS.split(150), TOKENS.split(17), TOKENS.split(64), TOKENS.split(1)):
        cache = KVCache(decoder.spec, 200)
        with torch.inference_mode():
            logits = torch.cat([decoder(piece, cache, all_logits=True) for piece in pieces])
        assert (logits - expected).abs().max() < BOUND
        assert cache.length == 150


@pytest.mark.parametrize("name", ["llama", "llama, tied, one key head a head", "llama, odd sizes, wide heads", "qwen2"])
def test_a_gguf_of_the_same_weights_gives_the_same_logits(name: str, tmp_path: Path) -> None:
    model = reference_model(CONFIGS[name])
    decoder = _decoder(open_source(write_gguf(model, tmp_path / "tiny.gguf")))
    with torch.inference_mode():
        logits = decoder(TOKENS, KVCache(decoder.spec, 200), all_logits=True)
    assert (logits - _expected(model)).abs().max() < BOUND


def test_a_gguf_with_linear_rope_scaling_gives_the_same_logits(tmp_path: Path) -> None:
    model = reference_model(CONFIGS["llama, linear rope"])
    decoder = _decoder(open_source(write_gguf(model, tmp_path / "tiny.gguf", rope_scaling_factor=4.0)))
    with torch.inference_mode():
        logits = decoder(TOKENS, KVCache(decoder.spec, 200), all_logits=True)
    assert (logits - _expected(model)).abs().max() < BOUND


def test_the_last_logits_alone_are_those_of_all_logits(tmp_path: Path) -> None:
    decoder = _decoder(open_source(save_checkpoint(reference_model(CONFIGS["qwen2"]), tmp_path)))
    with torch.inference_mode():
        all_logits = decoder(TOKENS, KVCache(decoder.spec, 200), all_logits=True)
        last = decoder(TOKENS, KVCache(decoder.spec, 200))
    assert last.shape == (97,)
    torch.testing.assert_close(last, all_logits[-1])


def test_llama_3_scaling_is_that_of_transformers_for_every_frequency() -> None:
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    from localchat.model.rope import inverse_frequencies

    config = LlamaConfig(head_dim=64, rope_parameters=LLAMA3_ROPE | {"rope_theta": 500000.0, "factor": 32.0})
    expected, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    factors = scaling_factors(config.rope_parameters, 64, 500000.0, "llama")
    assert factors is not None
    assert len({round(factor, 3) for factor in factors}) > 3  # kept, divided, and between
    torch.testing.assert_close(inverse_frequencies(64, 500000.0, factors), expected, rtol=1e-6, atol=0)
