"""The plan of native calls is the decoder: compiled for every family and compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from localchat.engine.kv_cache import KVCache, NativeKVCache
from localchat.errors import BadLogits, ContextOverflow, Stopped
from localchat.model.decoder import Decoder, Weight
from localchat.model.families import FAMILIES, tensor_shapes
from localchat.model.plan import FEW_TOKENS, Plan, refusal
from localchat.model.spec import ModelSpec
from quant import rtn
from quant.kernels import native
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

pytestmark = pytest.mark.skipif(native.refusal() is not None, reason=f"the CPU kernels are {native.refusal()}")

SPEC = ModelSpec(
    family="llama",
    vocab_size=101,
    hidden_size=96,
    intermediate_size=160,
    num_layers=4,
    num_heads=6,
    num_key_value_heads=2,
    head_dim=16,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    context_length=400,
)
WAYS: dict[str, dict[str, Any]] = {
    "mistral": {"layer_kinds": ("sliding",) * 4, "sliding_window": 50},
    "qwen2": {},
    "qwen3": {"rope_theta": 1e6},
    "qwen3_moe": {"num_experts": 6, "experts_per_token": 2, "expert_intermediate_size": 32, "dense_layers": (1,)},
    "phi3": {"rotary_dim": 8, "rope_attention_factor": 1.2, "rope_factors": (1.0, 1.1, 1.2, 1.3)}
    | {"rope_long_factors": (2.0, 3.0, 4.0, 8.0), "original_context_length": 64},
    "smollm3": {"no_rope_layers": (1, 3)},
    "granite": {"embedding_scale": 3.0, "residual_scale": 0.4, "attention_scale": 0.2, "logit_scale": 0.6},
    "gemma2": {"layer_kinds": ("sliding", "full") * 2, "sliding_window": 50, "embedding_scale": 96**0.5}
    | {"attention_softcap": 5.0, "logit_softcap": 4.0},
    "gemma3_text": {"layer_kinds": ("sliding",) * 3 + ("full",), "sliding_window": 50, "embedding_scale": 96**0.5}
    | {"local_rope_theta": 1000.0},
    "olmo3": {"layer_kinds": ("sliding",) * 3 + ("full",), "sliding_window": 50, "rope_attention_factor": 1.2}
    | {"local_rope_theta": 10000.0, "rope_factors": (1.0, 2.0) * 4},
    "minicpm": {"embedding_scale": 3.0, "residual_scale": 0.4, "logit_scale": 0.6},
    "gpt_neox": {"rotary_dim": 8, "num_key_value_heads": 6},
    "lfm2": {"layer_kinds": ("convolution", "full") * 2, "convolution_taps": 3},
}
# None of whose layers native code can run.
WITHOUT_PLAN = {"gpt_oss", "minicpm3", "qwen3_5_text", "gemma4_text", "gemma4_unified_text"}
SPECS = {
    **{
        name: replace(SPEC, family=name, **each.spec, **WAYS.get(name, {}))
        for name, each in FAMILIES.items()
        if name not in WITHOUT_PLAN
    },
    "tied": replace(SPEC, tied_embeddings=True),
    "a half of each head turns": replace(SPEC, head_dim=32, rotary_dim=16),
    "experts whose weights are not normed": replace(
        SPEC, num_experts=4, experts_per_token=2, expert_intermediate_size=32, normalize_expert_weights=False
    ),
    "one key head": replace(SPEC, num_heads=8, num_key_value_heads=1, head_dim=48, attention_bias=True),
    "a key head a head, scaled rope": replace(SPEC, num_key_value_heads=6, rope_factors=(1.0, 2.0, 4.0, 8.0) * 2),
}
THROUGH_TORCH = {"gpt2", "gpt_neox", "lfm2"}


def random_weights(spec: ModelSpec, bits: int = 4) -> dict[str, Weight]:
    """Matrices quantized, the vocabulary's to int8; biases and norms dense."""
    generator = torch.Generator().manual_seed(7)
    weights: dict[str, Weight] = {}
    for name, shape in tensor_shapes(spec).items():
        spread = 1.5 / shape[-1] ** 0.5 if len(shape) == 2 else 0.3
        weight = torch.randn(shape, generator=generator) * spread + float("norm" in name)
        whole = name in ("embedding", "output") or name.endswith("router")
        quantized = weight.ndim == 2 and not name.endswith("convolution")
        weights[name] = rtn.quantize(weight, QuantSpec(8 if whole else bits)) if quantized else weight
    return weights


def dense(weights: dict[str, Weight]) -> dict[str, Weight]:
    return {name: each.dequantize() if isinstance(each, QuantTensor) else each for name, each in weights.items()}


def tokens(count: int, spec: ModelSpec = SPEC) -> Tensor:
    return torch.randint(0, spec.vocab_size, (count,), generator=torch.Generator().manual_seed(3))


@torch.inference_mode()
def logits(plan: Plan, ids: Tensor, sizes: Sequence[int]) -> Tensor:
    """Logits of every token, read in pieces of the given sizes."""
    cache = NativeKVCache(plan.spec, len(ids))
    return torch.cat([plan(piece, cache, all_logits=True) for piece in ids.split(list(sizes))])


@torch.inference_mode()
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("name", SPECS)
def test_a_plan_gives_the_logits_of_its_decoder(name: str, bits: int) -> None:
    spec = SPECS[name]
    weights, ids = random_weights(spec, bits), tokens(300, spec)
    expected = Decoder(spec, dense(weights))(ids, KVCache(spec, 300), all_logits=True)
    plan = Plan(Decoder(spec, weights))
    assert bool(plan.fallbacks) == (name in THROUGH_TORCH)
    given = logits(plan, ids, [300])
    # int8 activations make 0.01 to 0.06 of this, as weights so large make the decoder sensitive; a rope base that is a
    # tenth off would make 0.3 to 0.5. The median of the tokens, as a few go to other experts.
    errors = (given - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert float(errors.median()) < 0.07


@torch.inference_mode()
@pytest.mark.parametrize("context_length", [64, 65])
def test_the_context_decides_which_rope_factors_hold(context_length: int) -> None:
    spec = replace(SPEC, rope_factors=(1.0,) * 8, rope_long_factors=(6.0,) * 8, original_context_length=64)
    weights, ids = random_weights(spec), tokens(60)
    expected = Decoder(spec, dense(weights))(ids, KVCache(spec, context_length), all_logits=True)
    plan, cache = Plan(Decoder(spec, weights)), NativeKVCache(spec, context_length)
    given = torch.cat([plan(piece, cache, all_logits=True) for piece in ids.split(20)])
    assert not plan.fallbacks
    assert float((given - expected).norm() / expected.norm()) < 0.07


@pytest.mark.parametrize("name", SPECS)
def test_a_text_gives_the_same_bits_at_once_in_pieces_and_token_by_token(name: str) -> None:
    spec = SPECS[name]
    plan, ids = Plan(Decoder(spec, random_weights(spec))), tokens(300, spec)
    at_once = logits(plan, ids, [300])
    for sizes in ([1] * 300, [*range(1, FEW_TOKENS + 4), 100, 1, 130, 3]):
        assert name in THROUGH_TORCH or torch.equal(logits(plan, ids, sizes), at_once)


def test_the_number_of_threads_changes_nothing() -> None:
    plan, ids = Plan(Decoder(SPEC, random_weights(SPEC))), tokens(200)
    native.set_threads(1)
    alone = logits(plan, ids, [100, 1, 99])
    native.set_threads(3)
    assert torch.equal(logits(plan, ids, [100, 1, 99]), alone)


@pytest.mark.parametrize("left_out", [("layers.1.down",), ("layers.0.gate", "layers.3.query"), ("embedding", "output")])
def test_what_cannot_be_compiled_runs_through_torch_and_is_named(left_out: tuple[str, ...]) -> None:
    weights, ids = random_weights(SPEC), tokens(60)
    mixed = {name: dense(weights)[name] if name in left_out else each for name, each in weights.items()}
    plan = Plan(Decoder(SPEC, mixed))
    assert set(plan.fallbacks) == {name.rsplit(".", 1)[0].replace("layers.", "layer ") for name in left_out}
    expected = logits(Plan(Decoder(SPEC, weights)), ids, [60])
    for sizes in ([60], [20, 1, 5, 34]):
        given = logits(plan, ids, sizes)
        assert float((given - expected).norm() / expected.norm()) < 0.07


def test_a_decoder_without_quantized_layers_is_not_compiled() -> None:
    assert refusal(Decoder(SPEC, dense(random_weights(SPEC)))) == "has matrices that are not quantized"


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ({"gated_mlp": False}, "has an MLP without a gate"),
        ({"activation": "gelu"}, "has the activation gelu"),
        ({"norm": "layer"}, "has norms of the kind layer"),
        ({"parallel_residual": True}, "runs attention and MLP side by side"),
        ({"attention_output_bias": True}, "has a bias where native code adds none"),
        ({"mlp_bias": True}, "has a bias where native code adds none"),
    ],
)
def test_layers_that_do_what_native_code_does_not_know_are_not_compiled(way: dict[str, Any], reason: str) -> None:
    spec = replace(SPEC, **way)
    assert refusal(Decoder(spec, random_weights(spec))) == reason


def test_a_head_dim_that_fills_no_vector_is_not_compiled() -> None:
    spec = replace(SPEC, head_dim=8, num_heads=12, num_key_value_heads=4)
    assert "head_dim of 8" in (refusal(Decoder(spec, random_weights(spec))) or "")


@torch.inference_mode()
def test_a_stop_between_layers_leaves_the_cache_as_it_was() -> None:
    plan, ids, cache = Plan(Decoder(SPEC, random_weights(SPEC))), tokens(90), NativeKVCache(SPEC, 100)
    plan(ids[:50], cache)
    calls = 0

    def stop_at_the_last_layer() -> None:
        nonlocal calls
        calls += 1
        if calls == SPEC.num_layers:
            raise Stopped

    with pytest.raises(Stopped):
        plan(ids[50:80], cache, check=stop_at_the_last_layer)
    assert cache.length == 50
    assert torch.equal(plan(ids[50:], cache), logits(plan, ids, [90])[-1])


@torch.inference_mode()
def test_a_full_context_is_refused_and_changes_nothing() -> None:
    plan, ids, cache = Plan(Decoder(SPEC, random_weights(SPEC))), tokens(30), NativeKVCache(SPEC, 25)
    plan(ids[:20], cache)
    with pytest.raises(ContextOverflow):
        plan(ids[20:], cache)
    assert cache.length == 20
    assert torch.equal(plan(ids[20:25], cache), logits(plan, ids[:25], [25])[-1])


@torch.inference_mode()
def test_damaged_weights_are_an_error_and_not_an_answer() -> None:
    weights = random_weights(SPEC)
    norm = weights["layers.2.mlp_norm"]
    assert isinstance(norm, Tensor)
    norm[5] = torch.nan
    plan = Plan(Decoder(SPEC, weights))
    for count in (1, 30):
        with pytest.raises(BadLogits):
            plan(tokens(count), NativeKVCache(SPEC, 50))


@torch.inference_mode()
def test_a_token_that_is_not_in_the_vocabulary_is_refused() -> None:
    plan, cache = Plan(Decoder(SPEC, random_weights(SPEC))), NativeKVCache(SPEC, 50)
    with pytest.raises(IndexError):
        plan(torch.tensor([3, SPEC.vocab_size]), cache)
    assert cache.length == 0


@torch.inference_mode()
def test_parts_are_timed_from_the_first_question_on() -> None:
    plan, cache = Plan(Decoder(SPEC, random_weights(SPEC))), NativeKVCache(SPEC, 50)
    assert set(plan.times()) == set(native.PARTS)
    plan(tokens(20), cache)
    assert all(seconds > 0 for seconds in plan.times().values())
    assert not any(plan.times().values())
