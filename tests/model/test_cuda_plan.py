"""Tokens by our own CUDA kernels have the logits of the decoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_model_spec import SPEC

from localchat.engine.kv_cache import KVCache
from localchat.engine.quantized_cache import QuantizedKVCache
from localchat.model import cuda_plan
from localchat.model.cache_room import CacheKind
from localchat.model.decoder import Decoder, Weight
from localchat.model.families import tensor_shapes
from localchat.model.spec import ModelSpec
from quant import rtn
from quant.spec import QuantSpec

PLAIN = {"hidden_size": 192, "intermediate_size": 320, "num_layers": 3, "num_heads": 6, "num_key_value_heads": 2}
PLAIN |= {"rope_factors": None, "head_dim": 64, "vocab_size": 300, "context_length": 2048}
WAYS: list[dict[str, Any]] = [
    {},
    {"attention_bias": True, "num_heads": 7, "num_key_value_heads": 1, "tied_embeddings": True},
    {"qk_norm": "head", "head_dim": 128},
    {"rotary_dim": 32, "attention_output_bias": True, "residual_scale": 0.5, "attention_softcap": 20.0},
]


def _spec(ways: dict[str, Any]) -> ModelSpec:
    return ModelSpec.from_dict(SPEC.to_dict() | PLAIN | ways)


def _weights(spec: ModelSpec, *, quantized: bool = True) -> dict[str, Weight]:
    generator, weights = torch.Generator().manual_seed(3), dict[str, Weight]()
    for name, shape in tensor_shapes(spec).items():
        values = torch.randn(shape, generator=generator) * (1.5 / shape[-1] ** 0.5 if len(shape) == 2 else 0.3)
        if len(shape) == 1:
            weights[name] = values + ("norm" in name)
        elif quantized:
            bits = 8 if name.endswith(("value", "down", "embedding")) else 4
            weights[name] = rtn.quantize(values, QuantSpec(bits))
        else:
            weights[name] = values
    return weights


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("ways", WAYS)
@torch.inference_mode()
def test_a_token_has_the_logits_of_the_decoder_also_where_the_cache_has_grown(ways: dict[str, Any]) -> None:
    spec = _spec(ways)
    decoder = Decoder(spec, _weights(spec), device="cuda")
    assert cuda_plan.refusal(decoder) is None
    plan = cuda_plan.CUDAPlan(decoder)
    tokens = torch.randint(0, spec.vocab_size, (600,), generator=torch.Generator().manual_seed(1))
    cache, other = (KVCache(spec, 1024, torch.float16, "cuda") for _ in range(2))
    for piece in tokens.split(5):
        expected = decoder(piece, other, all_logits=True).cpu()
        got = torch.stack([plan(token[None], cache).cpu() for token in piece])
        assert (got - expected).norm() < 5e-3 * expected.norm()
    assert cache.length == 600


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("ways", WAYS)
@pytest.mark.parametrize(("kind", "bound"), [("int8", 1e-2), ("int4", 6e-2)])
@torch.inference_mode()
def test_a_token_on_a_quantized_cache_has_the_logits_and_the_codes_of_the_decoder(
    kind: CacheKind, bound: float, ways: dict[str, Any]
) -> None:
    spec = _spec(ways)
    decoder = Decoder(spec, _weights(spec), device="cuda")
    plan = cuda_plan.CUDAPlan(decoder)
    tokens = torch.randint(0, spec.vocab_size, (600,), generator=torch.Generator().manual_seed(1))
    cache, other = (QuantizedKVCache(spec, 1024, kind, "cuda") for _ in range(2))
    for each in (cache, other):
        decoder(tokens[:200], each)
    for token in tokens[200:]:
        expected, got = decoder(token[None], other).cpu(), plan(token[None], cache).cpu()
        assert (got - expected).norm() < bound * expected.norm()
    for rows, others in zip(cache.coded(0) or (), other.coded(0) or (), strict=True):  # of later layers the keys differ
        assert (rows[:, :4] != others[:, :4]).float().mean() < 1e-2  # of what is rounded, some lies in the middle


@pytest.mark.parametrize(
    ("ways", "reason"),
    [
        ({"activation": "gelu_tanh"}, "activation is 'gelu_tanh'"),
        ({"head_dim": 96}, "heads of 96 channels"),
        ({"logit_softcap": 30.0}, "logit_softcap is 30.0"),
    ],
)
def test_what_it_cannot_express_is_refused_by_name(ways: dict[str, Any], reason: str) -> None:
    spec = _spec(ways)
    assert reason in (cuda_plan.refusal(Decoder(spec, _weights(spec))) or "")


def test_a_matrix_that_is_not_quantized_is_refused() -> None:
    spec = _spec({})
    assert cuda_plan.refusal(Decoder(spec, _weights(spec, quantized=False))) == "not every matrix is quantized"
