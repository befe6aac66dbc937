"""The decoder computes what `transformers` computes, whichever way the weights and the tokens come."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_gguf import write_gguf
from tiny_models import CONFIGS, LLAMA3_ROPE, LONGROPE, NO_TOKENS, PLAIN_ROPE, SIZES, reference_model, save_checkpoint
from torch import Tensor
from transformers import Gemma3Config, GraniteConfig, LlamaConfig, Phi3Config, PreTrainedConfig, PreTrainedModel

from localchat.engine.kv_cache import KVCache
from localchat.model.decoder import Decoder
from localchat.model.rope_scaling import read_scaling
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


# What GGUF files of these say nothing of: windows of llama's and qwen2's kind, layers that differ otherwise than in the
# published models, an odd activation; and llama.cpp keeps the factors of Llama 3's rope, which are computed elsewhere.
NOT_IN_GGUF = {
    "llama, biases everywhere, gelu",
    "llama 3 rope",
    "llama, yarn with all it has",
    "mistral",
    "qwen2, windows",
    "qwen3_moe, mixed",
    "smollm3, other layers",
    "gemma3_text, other layers",
    "gpt_oss, low limits, other layers",
    "minicpm3, other sizes",
    "minicpm3, longrope",
}


@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in NOT_IN_GGUF])
def test_a_gguf_of_the_same_weights_gives_the_same_logits(name: str, tmp_path: Path) -> None:
    model = reference_model(CONFIGS[name])
    decoder = _decoder(open_source(write_gguf(model, tmp_path / "tiny.gguf")))
    with torch.inference_mode():
        logits = decoder(TOKENS, KVCache(decoder.spec, 200), all_logits=True)
    assert (logits - _expected(model)).abs().max() < BOUND


def _in_context(config: PreTrainedConfig, folder: Path, text: Tensor, context_length: int) -> float:
    """Largest difference of a logit, token by token and at once, in a context of that length."""
    model = reference_model(config)
    decoder = _decoder(open_source(save_checkpoint(model, folder)))
    worst = 0.0
    with torch.inference_mode():
        expected = model(text[None]).logits[0]
        for pieces in (text.split(len(text)), text.split(1), text.split(7)):
            cache = KVCache(decoder.spec, context_length)
            logits = torch.cat([decoder(piece, cache, all_logits=True) for piece in pieces])
            worst = max(worst, float((logits - expected).abs().max()))
    return worst


def test_minicpm_is_llama_with_multipliers(tmp_path: Path) -> None:
    """Which transformers has under the name of granite only."""
    scales = {"embedding_multiplier": 3.0, "residual_multiplier": 1.4 / 3**0.5, "logits_scaling": 48 / 12}
    model = reference_model(GraniteConfig(**SIZES, **scales, attention_multiplier=8**-0.5))
    folder = save_checkpoint(model, tmp_path)
    own = {"model_type": "minicpm", "scale_emb": 3, "scale_depth": 1.4, "dim_model_base": 12, "hidden_act": "silu"}
    (folder / "config.json").write_text(json.dumps({**SIZES, **own}))
    decoder = _decoder(open_source(folder))
    with torch.inference_mode():
        logits = decoder(TOKENS, KVCache(decoder.spec, 200), all_logits=True)
    assert (logits - _expected(model)).abs().max() < BOUND


@pytest.mark.parametrize("begin", ["model.language_model.", "language_model.model."])
def test_the_text_of_a_gemma_that_sees_is_read_alone(begin: str, tmp_path: Path) -> None:
    text = CONFIGS["gemma3_text"]
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Gemma3Config(text_config=text, vision_config={**vision, "image_size": 28, "patch_size": 14})
    model = reference_model(config)
    folder = save_checkpoint(model, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    renamed = {re.sub(r"^(model\.)?language_model\.(model\.)?", begin, name): each for name, each in tensors.items()}
    assert any(name.startswith(begin) for name in renamed)
    save_file(renamed, folder / "model.safetensors")
    decoder = _decoder(open_source(folder))
    with torch.inference_mode():
        logits = decoder(TOKENS, KVCache(decoder.spec, 200), all_logits=True)
    assert (logits - _expected(model)).abs().max() < BOUND


@pytest.mark.parametrize(("count", "context_length"), [(64, 64), (40, 64), (65, 65), (65, 512)])
def test_longrope_is_that_of_transformers_on_both_sides_of_the_original_context(
    count: int, context_length: int, tmp_path: Path
) -> None:
    config = Phi3Config(**SIZES, **NO_TOKENS, original_max_position_embeddings=64, rope_parameters=LONGROPE)
    assert _in_context(config, tmp_path, TOKENS[:count], context_length) < BOUND


@pytest.mark.parametrize(("count", "context_length"), [(40, 48), (48, 48), (120, 120)])
def test_dynamic_rope_is_that_of_transformers_within_the_original_context_and_at_the_longest(
    count: int, context_length: int, tmp_path: Path
) -> None:
    rope = PLAIN_ROPE | {"rope_type": "dynamic", "factor": 2.5}
    config = LlamaConfig(**SIZES | {"max_position_embeddings": 48}, rope_parameters=rope)
    assert _in_context(config, tmp_path, TOKENS[:count], context_length) < BOUND


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
    factors = read_scaling(config.rope_parameters, 64, 500000.0, 8192, "llama").factors
    assert factors is not None
    assert len({round(factor, 3) for factor in factors}) > 3  # kept, divided, and between
    torch.testing.assert_close(inverse_frequencies(64, 500000.0, factors), expected, rtol=1e-6, atol=0)
