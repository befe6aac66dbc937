"""ModelSpec survives config.json, and refuses what cannot be a model."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from localchat.errors import UnsupportedModel
from localchat.model.spec import ModelSpec

SPEC = ModelSpec(
    family="llama",
    vocab_size=97,
    hidden_size=48,
    intermediate_size=80,
    num_layers=3,
    num_heads=6,
    num_key_value_heads=2,
    head_dim=8,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    context_length=512,
    rope_factors=(1.0, 1.0, 2.0, 8.0),
)

EARLIER_KEYS = (
    *("family", "vocab_size", "hidden_size", "intermediate_size", "num_layers", "num_heads", "num_key_value_heads"),
    *("head_dim", "rms_norm_eps", "rope_theta", "context_length", "attention_bias", "tied_embeddings", "rope_factors"),
)


def test_a_spec_comes_back_from_json_as_it_was() -> None:
    layers = {"layer_kinds": ("full", "sliding", "full"), "sliding_window": 7, "no_rope_layers": (0, 2)}
    for spec in (SPEC, replace(SPEC, rope_factors=None, tied_embeddings=True, attention_bias=True, **layers)):
        assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_a_spec_of_an_earlier_version_is_read_with_what_it_meant() -> None:
    earlier = {key: value for key, value in SPEC.to_dict().items() if key in EARLIER_KEYS}
    assert ModelSpec.from_dict(earlier) == SPEC


def test_an_unknown_key_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModel, match="query_norm"):
        ModelSpec.from_dict({**SPEC.to_dict(), "query_norm": True})


def test_a_missing_key_is_refused_by_name() -> None:
    data = SPEC.to_dict()
    del data["head_dim"]
    with pytest.raises(UnsupportedModel, match="head_dim"):
        ModelSpec.from_dict(data)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vocab_size", 0),
        ("vocab_size", 10**12),
        ("num_layers", "3"),
        ("num_layers", True),
        ("hidden_size", 48.0),
        ("num_key_value_heads", 4),
        ("head_dim", 7),
        ("rms_norm_eps", float("nan")),
        ("rope_theta", -1.0),
        ("tied_embeddings", "no"),
        ("rope_factors", [1.0, 2.0]),
        ("rope_factors", [1.0, 1.0, 0.0, 1.0]),
        ("rope_factors", [1.0, 1.0, "2", 1.0]),
        ("rope_factors", 4),
        ("rotary_dim", 10),
        ("rotary_dim", 3),
        ("rope_long_factors", [1.0] * 4),
        ("original_context_length", 64),
        ("layer_kinds", ["full"]),
        ("layer_kinds", ["full", "conv", "full"]),
        ("layer_kinds", ["sliding"] * 3),
        ("sliding_window", 0),
        ("no_rope_layers", [3]),
        ("dense_layers", "012"),
        ("norm", "batch"),
        ("activation", ["silu"]),
        ("pre_norms", 1),
        ("attention_softcap", 0.0),
        ("logit_scale", float("inf")),
        ("num_experts", 4),
        ("experts_per_token", 1),
    ],
)
def test_an_impossible_value_is_refused(key: str, value: object) -> None:
    with pytest.raises(UnsupportedModel):
        ModelSpec.from_dict({**SPEC.to_dict(), key: value})
