"""What the decoder promises besides the right logits."""

from __future__ import annotations

import pytest
import torch
from test_model_spec import SPEC

from localchat.engine.kv_cache import KVCache
from localchat.errors import BadWeights, ContextOverflow, Stopped
from localchat.model.decoder import Decoder, RMSNorm, Weight
from localchat.model.families import tensor_shapes
from localchat.model.rope import RotaryPositions
from quant import rtn
from quant.spec import QuantSpec
from quant.tensor import QuantTensor


def _weights(spec=SPEC, seed: int = 0) -> dict[str, Weight]:  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator) * (1.5 / shape[-1] ** 0.5 if len(shape) == 2 else 1.0)
        for name, shape in tensor_shapes(spec).items()
    }


def _tokens(count: int) -> torch.Tensor:
    return torch.randint(0, SPEC.vocab_size, (count,), generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_a_check_that_raises_between_layers_leaves_the_cache_as_it_was() -> None:
    decoder, cache = Decoder(SPEC, _weights()), KVCache(SPEC, 64)
    tokens = _tokens(30)
    decoder(tokens[:10], cache)
    calls = 0

    def stop_at_the_last_layer() -> None:
        nonlocal calls
        calls += 1
        if calls == SPEC.num_layers:
            raise Stopped

    with pytest.raises(Stopped):
        decoder(tokens[10:25], cache, check=stop_at_the_last_layer)
    assert cache.length == 10
    continued = decoder(tokens[10:], cache)
    torch.testing.assert_close(continued, decoder(tokens, KVCache(SPEC, 64)), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("quantized", [False, True])
def test_everything_but_the_embedding_is_on_the_device(quantized: bool) -> None:
    """On `meta`, which computes nothing, but refuses to mix with the CPU as every device does."""
    spec = SPEC.from_dict(SPEC.to_dict() | {"hidden_size": 64, "intermediate_size": 96, "tied_embeddings": True})
    weights = {
        name: rtn.quantize(weight, QuantSpec(4)) if quantized and name.endswith(("up", "embedding")) else weight
        for name, weight in _weights(spec).items()
        if isinstance(weight, torch.Tensor)
    }
    decoder, cache = Decoder(spec, weights, device="meta"), KVCache(spec, 64, device="meta")
    for count in (5, 1, 3):
        assert decoder(_tokens(count), cache).device.type == "meta"


@torch.inference_mode()
def test_check_is_called_before_every_layer() -> None:
    calls: list[None] = []
    Decoder(SPEC, _weights())(_tokens(3), KVCache(SPEC, 64), check=lambda: calls.append(None))
    assert len(calls) == SPEC.num_layers


@torch.inference_mode()
@pytest.mark.parametrize("tied", [False, True])
def test_quantized_weights_give_the_logits_of_what_they_mean(tied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALCHAT_KERNEL", "reference")
    spec = SPEC.from_dict(SPEC.to_dict() | {"hidden_size": 64, "intermediate_size": 96, "tied_embeddings": tied})
    quantized = {
        name: rtn.quantize(weight, QuantSpec(4))
        if isinstance(weight, torch.Tensor) and weight.ndim == 2 and weight.shape[1] % 32 == 0
        else weight
        for name, weight in _weights(spec).items()
    }
    meant = {n: w.dequantize() if isinstance(w, QuantTensor) else w for n, w in quantized.items()}
    assert isinstance(quantized["embedding"], QuantTensor)
    tokens = _tokens(20)
    fast = Decoder(spec, quantized)(tokens, KVCache(spec, 64), all_logits=True)
    exact = Decoder(spec, meant)(tokens, KVCache(spec, 64), all_logits=True)
    torch.testing.assert_close(fast, exact, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_positions_that_were_not_learned_are_refused() -> None:
    spec = SPEC.from_dict(SPEC.to_dict() | {"positions": "learned", "context_length": 20})
    decoder, cache = Decoder(spec, _weights(spec)), KVCache(spec, 64)
    decoder(_tokens(15), cache)
    with pytest.raises(ContextOverflow, match="20"):
        decoder(_tokens(6), cache)
    assert cache.length == 15


@pytest.mark.parametrize("fault", ["missing", "extra", "shape"])
def test_weights_that_do_not_fit_the_spec_are_refused_by_name(fault: str) -> None:
    weights = _weights()
    if fault == "missing":
        del weights["layers.1.up"]
    elif fault == "extra":
        weights["layers.1.up.bias"] = torch.zeros(80)
    else:
        weights["layers.1.up"] = torch.zeros(80, 47)
    with pytest.raises(BadWeights, match=r"layers\.1\.up"):
        Decoder(SPEC, weights)


def test_dense_weights_in_half_precision_are_held_as_float32() -> None:
    halves = {name: weight.half() for name, weight in _weights().items() if isinstance(weight, torch.Tensor)}
    assert {parameter.dtype for parameter in Decoder(SPEC, halves).parameters()} == {torch.float32}


def test_the_norm_is_that_of_torch() -> None:
    weight, x = torch.randn(39), torch.randn(5, 39) * 10
    torch.testing.assert_close(RMSNorm(weight, 1e-5)(x), torch.nn.functional.rms_norm(x, (39,), weight, 1e-5))


def test_rope_positions_beyond_the_first_table_are_those_of_a_fresh_one() -> None:
    grown = RotaryPositions(8, 10000.0, None, torch.device("cpu"))
    grown.at(0, 10)
    cos, signed_sin = grown.at(5000, 3)
    angles = torch.arange(5000.0, 5003.0)[:, None] / 10000.0 ** (torch.arange(0.0, 8.0, 2.0) / 8)
    torch.testing.assert_close(cos[:, :4], angles.cos(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(signed_sin[:, 4:], angles.sin(), rtol=1e-3, atol=1e-3)
