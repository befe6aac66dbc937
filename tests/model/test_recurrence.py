"""Layers that keep states compute what they are defined by, and know a text however it came."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from test_decoder import _weights
from test_model_spec import SPEC
from torch import Tensor
from torch.nn import functional as F

from localchat.engine.kv_cache import KVCache
from localchat.errors import Stopped, UnsupportedModel
from localchat.model.cuda_graph import GraphedDecoder
from localchat.model.decoder import Decoder
from localchat.model.memory import Footprint
from localchat.model.plan import refusal
from localchat.model.recurrence import convolve, gated_delta
from localchat.model.spec import ModelSpec

LINEAR = {"linear_key_heads": 2, "linear_value_heads": 4, "linear_key_dim": 16, "linear_value_dim": 8}
KINDS = {
    "convolutions": replace(SPEC, layer_kinds=("convolution", "full", "convolution"), convolution_taps=3),
    "linear": replace(SPEC, layer_kinds=("linear", "linear", "full"), convolution_taps=4, **LINEAR),
    "all": replace(
        SPEC, layer_kinds=("convolution", "linear", "sliding"), convolution_taps=4, sliding_window=20, **LINEAR
    ),
}
TOKENS = torch.randint(0, SPEC.vocab_size, (400,), generator=torch.Generator().manual_seed(1))
CLOSE: Any = {"rtol": 1e-3, "atol": 1e-4}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def decoder_of(kind: str) -> Decoder:
    weights = _weights(KINDS[kind])
    return Decoder(
        KINDS[kind], {name: -each.abs() if name.endswith("mix.speeds") else each for name, each in weights.items()}
    )


@torch.inference_mode()
def read(decoder: Decoder, cache: KVCache, sizes: list[int]) -> Tensor:
    """All logits of the tokens that come next, in pieces."""
    results = []
    for size in sizes:
        results.append(decoder(TOKENS[cache.length : cache.length + size], cache, all_logits=True))
    return torch.cat(results)


def test_a_convolution_is_that_of_torch_and_goes_on_where_it_was() -> None:
    x, taps = random(50, 6), random(4, 6, seed=1)
    expected = F.conv1d(F.pad(x.t(), (3, 0))[None], taps.t()[:, None], groups=6)[0].t()
    before, results = None, []
    for piece in x.split([1, 1, 2, 30, 1, 15]):
        result, before = convolve(piece, taps, before)
        results.append(result)
    torch.testing.assert_close(torch.cat(results), expected)


@pytest.mark.parametrize("sizes", [[150], [1] * 150, [63, 1, 65, 21]])
def test_the_delta_rule_in_chunks_is_the_one_that_is_defined_token_by_token(sizes: list[int]) -> None:
    queries, keys, values = random(3, 150, 8), F.normalize(random(3, 150, 8, seed=1), dim=-1), random(3, 150, 5, seed=2)
    fading, rates = -random(3, 150, seed=3).square(), random(3, 150, seed=4).sigmoid()
    memory, expected = torch.zeros(3, 8, 5, dtype=torch.float64), []
    for t in range(150):
        memory = memory * fading[:, t, None, None].exp()
        wrong = values[:, t] - (keys[:, t, None] @ memory)[:, 0]
        memory = memory + rates[:, t, None, None] * keys[:, t, :, None] * wrong[:, None]
        expected.append(queries[:, t, None] @ memory)
    given, results = None, []
    for piece in zip(*(each.split(sizes, dim=1) for each in (queries, keys, values, fading, rates)), strict=True):
        result, given = gated_delta(*piece, given)
        results.append(result)
    torch.testing.assert_close(torch.cat(results, dim=1), torch.cat(expected, dim=1))
    torch.testing.assert_close(given, memory)


def test_a_memory_that_fades_at_once_gives_numbers() -> None:
    ones = torch.ones(1, 100, 4)
    result, memory = gated_delta(ones, ones / 2, ones, torch.full((1, 100), -200.0), torch.full((1, 100), 0.5))
    assert result.isfinite().all()
    assert memory.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_in_pieces_has_the_logits_of_one_that_came_at_once(kind: str) -> None:
    decoder = decoder_of(kind)
    expected = read(decoder, KVCache(decoder.spec, 400), [400])
    for sizes in ([1] * 200, [3, 1, 70, 64, 1, 61], [100, 300]):
        given = read(decoder, KVCache(decoder.spec, 400), sizes)
        torch.testing.assert_close(given, expected[: len(given)], **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_the_way_back_leads_to_where_a_piece_began_and_reads_on_as_if_nothing_had_been(kind: str) -> None:
    decoder, cache = decoder_of(kind), KVCache(KINDS[kind], 400)
    expected = read(decoder, KVCache(decoder.spec, 400), [400])
    read(decoder, cache, [100, 30, 20, *[1] * 10])
    assert cache.truncate(159) == 130  # where the newest piece of several tokens began
    torch.testing.assert_close(read(decoder, cache, [60]), expected[130:190], **CLOSE)
    assert cache.truncate(129) == 100
    torch.testing.assert_close(read(decoder, cache, [1, 2]), expected[100:103], **CLOSE)
    assert cache.truncate(99) == 0
    torch.testing.assert_close(read(decoder, cache, [5, 5]), expected[:10], **CLOSE)


def test_nothing_is_lost_where_nothing_is_cut() -> None:
    decoder, cache = decoder_of("all"), KVCache(KINDS["all"], 400)
    expected = read(decoder, KVCache(decoder.spec, 400), [400])
    read(decoder, cache, [50, 1])
    assert cache.truncate(51) == 51
    torch.testing.assert_close(read(decoder, cache, [1, 20]), expected[51:72], **CLOSE)


def test_there_are_ways_back_spread_over_a_long_text_and_memory_for_them_does_not_grow() -> None:
    decoder, cache = decoder_of("linear"), KVCache(KINDS["linear"], 400)
    sizes = []
    for _ in range(20):
        read(decoder, cache, [20])
        sizes.append(cache._states.nbytes)
    assert len(set(sizes[4:])) == 1
    planned = Footprint(KINDS["linear"], 0, 32.0, 4).plan(400).cache
    assert planned - cache._states.nbytes >= 0.8 * (cache.nbytes - cache._states.nbytes)
    assert planned <= 1.5 * cache.nbytes
    back = [cache._states.earlier(length) for length in (399, 379, 250)]
    assert back[0] == 380
    assert 100 <= back[1] < 380
    assert 0 < back[2] <= 250


@pytest.mark.parametrize("kind", KINDS)
def test_a_stop_between_layers_leaves_the_states_as_they_were(kind: str) -> None:
    decoder, cache, calls = decoder_of(kind), KVCache(KINDS[kind], 400), 0

    def stop_at_the_last_layer() -> None:
        nonlocal calls
        calls += 1
        if calls == SPEC.num_layers:
            raise Stopped

    expected = read(decoder, KVCache(decoder.spec, 400), [80])
    read(decoder, cache, [50])
    with pytest.raises(Stopped), torch.inference_mode():
        decoder(TOKENS.flip(0)[:30], cache, check=stop_at_the_last_layer)
    torch.testing.assert_close(read(decoder, cache, [30]), expected[50:], **CLOSE)


def test_neither_native_code_nor_a_graph_runs_them_and_both_say_so() -> None:
    convolutions = replace(SPEC, layer_kinds=("convolution",) * 3, convolution_taps=3)
    linear = replace(SPEC, layer_kinds=("linear",) * 3, convolution_taps=3, **LINEAR)
    gated = replace(SPEC, attention_gate=True)
    reasons = {"is a short convolution": convolutions, "has linear attention": linear, "gates its attention": gated}
    for reason, spec in reasons.items():
        assert refusal(Decoder(spec, _weights(spec))) in (reason, "not built: no C++ compiler was found")
    assert GraphedDecoder(decoder_of("linear")).reason == "some layers keep states in the place of keys and values"


@pytest.mark.parametrize(
    "wrong",
    [
        {"layer_kinds": ("convolution",) * 3},
        {"layer_kinds": ("linear",) * 3, "convolution_taps": 4},
        {"layer_kinds": ("linear",) * 3, "convolution_taps": 4, **LINEAR, "linear_value_heads": 3},
        {"layer_kinds": ("recurrent",) * 3},
    ],
)
def test_specs_that_do_not_say_enough_of_such_layers_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedModel):
        ModelSpec.from_dict(SPEC.to_dict() | wrong)
