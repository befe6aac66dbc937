"""The cache attends as plain attention over everything would, and belongs to its caller."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from localchat.engine.kv_cache import KVCache, NativeKVCache
from localchat.errors import ContextOverflow
from localchat.model.attention import PLAIN, AttentionRule, written_out
from localchat.model.spec import ModelSpec
from quant.kernels import native

SPEC = ModelSpec(
    family="llama",
    vocab_size=10,
    hidden_size=48,
    intermediate_size=8,
    num_layers=2,
    num_heads=6,
    num_key_value_heads=2,
    head_dim=8,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    context_length=4096,
)


def _random(heads: int, count: int, seed: int, head_dim: int = 8) -> Tensor:
    return torch.randn(heads, count, head_dim, generator=torch.Generator().manual_seed(seed))


def _plain(queries: Tensor, keys: Tensor, values: Tensor, rule: AttentionRule = PLAIN) -> Tensor:
    """Attention written out: one softmax a query over the keys that it sees."""
    keys, values = keys.repeat_interleave(3, 0), values.repeat_interleave(3, 0)
    scores = queries @ keys.mT * (rule.scale or queries.shape[2] ** -0.5)
    if rule.softcap is not None:
        scores = rule.softcap * torch.tanh(scores / rule.softcap)
    position = torch.arange(queries.shape[1])[:, None] + keys.shape[1] - queries.shape[1]
    later, before = (
        torch.arange(keys.shape[1]) > position,
        torch.arange(keys.shape[1]) <= position - (rule.window or 10**6),
    )
    return scores.masked_fill(later | before, -torch.inf).softmax(-1) @ values


@pytest.mark.parametrize("pieces", [[40], [1] * 40, [16, 16, 8], [3, 1, 30, 1, 5]])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float16, 5e-3), (torch.bfloat16, 3e-2)])
def test_attention_in_pieces_is_attention_at_once(pieces: list[int], dtype: torch.dtype, bound: float) -> None:
    cache = KVCache(SPEC, 100, dtype)
    sides = [(_random(6, 40, seed), _random(2, 40, seed + 10), _random(2, 40, seed + 20)) for seed in range(2)]
    results: list[list[Tensor]] = [[], []]
    for count in pieces:
        at = slice(cache.length, cache.length + count)
        for layer, (queries, keys, values) in enumerate(sides):
            results[layer].append(cache.attend(layer, queries[:, at], keys[:, at], values[:, at]))
        cache.advance(count)
    for layer, side in enumerate(sides):
        result = torch.cat(results[layer], dim=1)
        assert result.dtype == torch.float32
        assert (result - _plain(*side)).abs().max() < bound


RULES = [
    AttentionRule(window=7),
    AttentionRule(window=1),
    AttentionRule(window=64),
    AttentionRule(scale=0.9),
    AttentionRule(softcap=1.5),
    AttentionRule(window=16, scale=0.9, softcap=1.5),
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["float32", "float16", "native"])
def test_every_rule_holds_in_pieces_and_after_a_cut(kind: str, rule: AttentionRule) -> None:
    if kind == "native" and native.refusal() is not None:
        pytest.skip(f"the CPU kernels are {native.refusal()}")
    spec = replace(SPEC, head_dim=16)
    queries, keys, values = (_random(heads, 70, seed, 16) for heads, seed in ((6, 1), (2, 2), (2, 3)))
    expected = _plain(queries, keys, values, rule)
    for pieces in ([70], [1] * 70, [16, 16, 37, 1], [3, 1, 30, 1, 35]):
        cache = NativeKVCache(spec, 100) if kind == "native" else KVCache(spec, 100, getattr(torch, kind))
        cache.attend(1, queries, keys.flip(1), values.flip(1), rule)  # to be overwritten
        cache.advance(70)
        cache.truncate(0)
        for count in pieces:
            at = slice(cache.length, cache.length + count)
            result = cache.attend(1, queries[:, at], keys[:, at], values[:, at], rule)
            assert result.dtype == torch.float32
            assert (result - expected[:, at]).abs().max() < (1e-5 if kind == "float32" else 5e-3)
            cache.advance(count)


@pytest.mark.parametrize("count", [1, 7, 40])
def test_attention_written_out_is_attention(count: int) -> None:
    queries, keys, values = _random(6, count, 1), _random(2, 40, 2), _random(2, 40, 3)
    mask = torch.full((count, 40), -torch.inf).triu_(40 - count + 1)
    result = written_out(queries, keys.half(), values.half(), None if count == 1 else mask, PLAIN)
    torch.testing.assert_close(result, _plain(queries, keys.half().float(), values.half().float()))


def test_what_was_put_but_not_counted_is_overwritten() -> None:
    cache = KVCache(SPEC, 100)
    cache.attend(0, _random(6, 5, 1), _random(2, 5, 2), _random(2, 5, 3))
    assert cache.length == 0
    queries, keys, values = _random(6, 2, 4), _random(2, 2, 5), _random(2, 2, 6)
    torch.testing.assert_close(cache.attend(0, queries, keys, values), _plain(queries, keys, values))


def test_a_truncated_cache_goes_on_from_where_it_was_cut() -> None:
    queries, keys, values = _random(6, 30, 1), _random(2, 30, 2), _random(2, 30, 3)
    cache = KVCache(SPEC, 100)
    cache.attend(0, queries, keys, values)
    cache.advance(30)
    cache.truncate(10)
    again = cache.attend(0, queries[:, 20:], keys[:, 20:], values[:, 20:])
    kept = [*range(10), *range(20, 30)]
    torch.testing.assert_close(again, _plain(queries[:, 20:], keys[:, kept], values[:, kept]))


@pytest.mark.parametrize("kind", ["torch", "native"])
def test_an_empty_cache_can_be_emptied(kind: str) -> None:
    if kind == "native" and native.refusal() is not None:
        pytest.skip(f"the CPU kernels are {native.refusal()}")
    spec = replace(SPEC, head_dim=16)
    cache = NativeKVCache(spec, 100) if kind == "native" else KVCache(spec, 100)
    assert cache.truncate(0) == 0
    queries, keys, values = _random(6, 5, 1, 16), _random(2, 5, 2, 16), _random(2, 5, 3, 16)
    torch.testing.assert_close(cache.attend(0, queries, keys, values), _plain(queries, keys, values), atol=5e-3, rtol=0)


@pytest.mark.parametrize("length", [-1, 4])
def test_a_cache_cannot_be_cut_to_what_it_does_not_hold(length: int) -> None:
    cache = KVCache(SPEC, 100)
    cache.attend(0, _random(6, 3, 1), _random(2, 3, 2), _random(2, 3, 3))
    cache.advance(3)
    with pytest.raises(ValueError, match="of 3 tokens"):
        cache.truncate(length)


def test_memory_grows_as_it_is_needed_and_never_beyond_the_context() -> None:
    cache = KVCache(SPEC, 1300, torch.bfloat16)
    assert cache.nbytes == 0
    sizes = []
    for _ in range(13):
        cache.attend(0, _random(6, 100, 1), _random(2, 100, 2), _random(2, 100, 3))
        cache.advance(100)
        sizes.append(cache.nbytes)
    bytes_of_a_token = 2 * 2 * 2 * 8 * 2  # layers, keys and values, heads, channels, bytes
    assert sorted({size // bytes_of_a_token for size in sizes}) == [512, 1024, 1312]  # whole blocks of 16


def test_what_was_held_before_growing_is_held_after() -> None:
    queries, keys, values = _random(6, 700, 1), _random(2, 700, 2), _random(2, 700, 3)
    cache = KVCache(SPEC, 4000)
    for at in (slice(0, 500), slice(500, 700)):
        result = cache.attend(1, queries[:, at], keys[:, at], values[:, at])
        cache.advance(at.stop - at.start)
    torch.testing.assert_close(result, _plain(queries, keys, values)[:, 500:], rtol=1e-4, atol=1e-5)


def test_more_than_the_context_is_refused_and_changes_nothing() -> None:
    cache = KVCache(SPEC, 20)
    cache.attend(0, _random(6, 15, 1), _random(2, 15, 2), _random(2, 15, 3))
    cache.advance(15)
    with pytest.raises(ContextOverflow, match="20"):
        cache.attend(0, _random(6, 6, 1), _random(2, 6, 2), _random(2, 6, 3))
    assert cache.length == 15


def test_a_cache_that_grew_in_inference_mode_can_be_used_outside_of_it() -> None:
    cache = KVCache(SPEC, 100)
    piece = _random(6, 3, 1), _random(2, 3, 2), _random(2, 3, 3)
    with torch.inference_mode():
        cache.attend(0, *piece)
    cache.attend(0, *piece)
