"""A quantized cache holds what its codes say, gives the same bits however a text comes, and takes half the memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
import torch
from test_kv_cache import SPEC
from torch import Tensor

from localchat.engine import cache_codes
from localchat.engine.facade import Engine
from localchat.engine.kv_cache import KVCache, NativeKVCache
from localchat.engine.quantized_cache import NativeQuantizedKVCache, QuantizedKVCache
from localchat.errors import InvalidSetting
from localchat.events import PromptProgress, ReplyDone
from localchat.messages import Message, ReplyOptions
from localchat.model import cache_room
from localchat.model.attention import PLAIN, AttentionRule
from localchat.model.cache_room import SPAN, CacheKind, code_rows
from localchat.model.spec import ModelSpec
from localchat.recording import Recording, ReplyRecorded
from quant.kernels import native

KINDS: tuple[CacheKind, ...] = ("int8", "int4")
TOTAL = 700
HEADS = [(1, 2, 16), (3, 2, 48), (7, 1, 64), (8, 1, 80), (2, 1, 128)]  # queries of a key head, key heads, channels
RULES = [PLAIN, AttentionRule(window=150), AttentionRule(window=9, softcap=3.0), AttentionRule(scale=0.2)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the arithmetic is too small to share
    yield
    torch.set_num_threads(threads)
    native.set_threads(1)


@pytest.fixture(params=native.instruction_sets() or ("none",))
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if (reason := native.refusal()) is not None:
        pytest.skip(f"the CPU kernels are {reason}")
    monkeypatch.setenv("LOCALCHAT_KERNEL", request.param)
    native.ready_library()


def spec_of(shared: int, key_heads: int, channels: int) -> ModelSpec:
    return replace(SPEC, num_heads=shared * key_heads, num_key_value_heads=key_heads, head_dim=channels)


def text(spec: ModelSpec, count: int = TOTAL, seed: int = 0) -> list[Tensor]:
    """Queries, keys and values; a channel of the keys is much larger than the others, as Qwen's are."""
    generator = torch.Generator().manual_seed(seed)
    heads = spec.num_heads, spec.num_key_value_heads, spec.num_key_value_heads
    sides = [torch.randn(each, count, spec.head_dim, generator=generator) for each in heads]
    sides[1][:, :, 3] *= 20
    return sides


def read(cache: KVCache, sides: Sequence[Tensor], sizes: Sequence[int], rule: AttentionRule = PLAIN) -> Tensor:
    """What both layers see of a text that is read in pieces, from where the cache is: [layer, head, T, channel]."""
    results = []
    for size in sizes:
        at = slice(cache.length, cache.length + size)
        queries, keys, values = (side[:, at] for side in sides)
        results.append(torch.stack([cache.attend(layer, queries, keys, values, rule) for layer in (0, 1)]))
        cache.advance(size)
    return torch.cat(results, dim=2)


def meant(sides: Sequence[Tensor], kind: CacheKind, rule: AttentionRule) -> Tensor:
    """Attention in float64: to a query, earlier spans are what their codes mean, and its own is in full."""
    queries, keys, values = (side.half() for side in sides)
    complete = keys.shape[1] // SPAN * SPAN
    bits = cache_room.CODE_BITS[kind]
    coded = cache_codes.decode(cache_codes.encode(keys[:, :complete], values[:, :complete], bits), bits)
    place, known = torch.arange(keys.shape[1])[:, None], torch.arange(keys.shape[1])
    own, since = place // SPAN * SPAN, place + 1 - (rule.window or 10**6)
    seen = torch.cat(((known < own)[:, :complete], (known >= own) & (known <= place)), dim=1)
    seen &= torch.cat((known[:complete], known)) >= since
    shared = len(queries) // len(keys)
    both = [torch.cat((c.double(), f.double()), dim=1) for c, f in zip(coded, (keys, values), strict=True)]
    of_keys, of_values = (each.repeat_interleave(shared, 0) for each in both)
    scores = sides[0].double() @ of_keys.mT * (rule.scale or queries.shape[2] ** -0.5)
    if rule.softcap is not None:
        scores = rule.softcap * torch.tanh(scores / rule.softcap)
    return scores.masked_fill(~seen, -torch.inf).softmax(-1) @ of_values


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [16, 48, 64, 80])
def test_codes_are_within_half_a_step_of_what_they_stand_for(kind: CacheKind, channels: int) -> None:
    _queries, keys, values = text(spec_of(1, 2, channels), 2 * SPAN)
    bits = cache_room.CODE_BITS[kind]
    codes = cache_codes.encode(keys.half(), values.half(), bits)
    assert tuple(row.shape[2] for row in codes.tensors()) == code_rows(bits, channels)
    steps = 254 if bits == 8 else 15
    decoded = cache_codes.decode(codes, bits)
    by_channel = keys.half().float().view(2, -1, cache_room.KEY_TOKENS[bits], channels)
    for given, part, dim in ((decoded[0].view_as(by_channel), by_channel, 2), (decoded[1], values.half().float(), 2)):
        reach = 2 * part.abs().amax(dim, keepdim=True) if bits == 8 else part.amax(dim, True) - part.amin(dim, True)
        assert ((given - part).abs() <= 0.501 * reach / steps).all()


@pytest.mark.parametrize("kind", KINDS)
def test_codes_of_nothing_and_of_the_largest_numbers_are_finite(kind: CacheKind) -> None:
    bits = cache_room.CODE_BITS[kind]
    for keys in (torch.zeros(1, SPAN, 16), torch.full((1, SPAN, 16), 65504.0), torch.full((1, SPAN, 16), 1e-7)):
        for decoded in cache_codes.decode(cache_codes.encode(keys.half(), -keys.half(), bits), bits):
            expected = keys.half().float()
            assert (decoded.abs() - expected).abs().max() <= 0.001 * expected.max() + 2e-7  # half of float16's least


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pieces", [[TOTAL], [1, 130, 250, 1, 1, 317]])
def test_torch_attends_to_what_the_codes_mean(kind: CacheKind, rule: AttentionRule, pieces: list[int]) -> None:
    spec = spec_of(3, 2, 48)
    sides = text(spec)
    given = read(QuantizedKVCache(spec, 4096, kind), sides, pieces, rule)
    for layer in given:
        torch.testing.assert_close(layer.double(), meant(sides, kind, rule), rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("shape", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_instruction_set_has_the_codes_and_attends_to_what_they_mean(
    kind: CacheKind, shape: tuple[int, int, int]
) -> None:
    spec, rule = spec_of(*shape), RULES[shape[0] % len(RULES)]
    sides = text(spec, 460)
    cache, torchs = NativeQuantizedKVCache(spec, 4096, kind), QuantizedKVCache(spec, 4096, kind)
    given = read(cache, sides, [300, 1, 8, 151], rule)
    read(torchs, sides, [460], rule)
    for index in range(460 // SPAN):
        for row, expected in zip(cache.take(index) or (), torchs.take(index) or (), strict=True):
            assert row is not None
            assert expected is not None
            assert torch.equal(row, expected)
    off = given - meant(sides, kind, rule)  # queries and weights are rounded to 15 bits
    assert off.abs().max() < 6e-3
    assert off.square().mean().sqrt() < 2e-4


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("rule", RULES[:3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_kernels_give_the_same_bits_in_pieces_by_any_number_of_threads(
    kind: CacheKind, rule: AttentionRule
) -> None:
    spec = spec_of(3, 2, 32)
    sides = text(spec)
    at_once = read(NativeQuantizedKVCache(spec, 4096, kind), sides, [TOTAL], rule)
    ways = ([*[1] * 270, 430], [5, 8, 100, 30, 300, 257], [127, 2, 8, 300, 8, 255], [16, 17, 16, 250, 401])
    for threads, sizes in zip(itertools.cycle((1, 2, 5)), ways, strict=False):
        native.set_threads(threads)
        assert torch.equal(read(NativeQuantizedKVCache(spec, 4096, kind), sides, sizes, rule), at_once)


@pytest.fixture
def best_kernels() -> None:
    if (reason := native.refusal()) is not None:
        pytest.skip(f"the CPU kernels are {reason}")


@pytest.mark.usefixtures("best_kernels")
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_read_is_taken_back_exactly_for_16_tokens_and_else_to_a_span(kind: CacheKind) -> None:
    spec = spec_of(3, 2, 16)
    sides, others = text(spec), text(spec, seed=1)
    expected = read(NativeQuantizedKVCache(spec, 4096, kind), sides, [TOTAL])
    for length in (15, 128, 130, 143, 256, 383, 384, 390, 399, 512):
        for back in (0, 1, 7, 16, 40, 129, 300):
            cache = NativeQuantizedKVCache(spec, 4096, kind)
            read(cache, sides, [max(0, length - 5), min(5, length)])
            for step in (1, 7):  # tokens that were guessed wrong
                read(cache, others, [step])
                assert cache.truncate(length) == length
            wanted = max(0, length - back)
            kept = cache.truncate(wanted)
            assert kept == cache.length
            assert kept == wanted if back <= 16 - 7 else kept in (wanted, wanted // SPAN * SPAN)
            assert torch.equal(read(cache, sides, [3, TOTAL - kept - 3]), expected[:, :, kept:])


@pytest.mark.usefixtures("best_kernels")
@pytest.mark.parametrize("kind", KINDS)
def test_a_pass_that_was_given_up_costs_no_more_than_the_span_it_began_in(kind: CacheKind) -> None:
    """As when a stop comes between two layers."""
    spec = spec_of(3, 2, 16)
    sides, others = text(spec), text(spec, seed=1)
    expected = read(NativeQuantizedKVCache(spec, 4096, kind), sides, [TOTAL])
    for given_up in (8, 20, 72, 73, 300):
        cache = NativeQuantizedKVCache(spec, 4096, kind)
        read(cache, sides, [200])
        queries, keys, values = (side[:, :given_up] for side in others)
        cache.attend(0, queries, keys, values)
        kept = cache.truncate(200)
        assert kept == (200 if given_up <= 72 else 128)  # while the ring still holds 128 to 199
        assert torch.equal(read(cache, sides, [TOTAL - kept]), expected[:, :, kept:])


MIXED = replace(spec_of(3, 2, 16), layer_kinds=("sliding", "full"), sliding_window=50)


@pytest.mark.usefixtures("best_kernels")
@pytest.mark.parametrize("kind", KINDS)
def test_a_text_goes_on_from_its_blocks_with_the_same_bits(kind: CacheKind) -> None:
    for spec in (spec_of(3, 2, 16), MIXED):
        sides, rule = text(spec), AttentionRule.of(spec, 0)
        cache = NativeQuantizedKVCache(spec, 4096, kind)
        expected = read(cache, sides, [TOTAL], rule)
        assert cache.take(TOTAL // SPAN) is None
        blocks = [block for index in range(3) if (block := cache.take(index)) is not None]
        other = NativeQuantizedKVCache(spec, 4096, kind)
        read(other, text(spec, seed=1), [500], rule)
        other.give(blocks)
        assert other.length == 3 * SPAN
        assert torch.equal(read(other, sides, [1, 2, 313], rule), expected[:, :, 3 * SPAN :])
        assert other.truncate(3 * SPAN - 5) == 2 * SPAN  # nothing before is known in full
        assert torch.equal(read(other, sides, [TOTAL - 2 * SPAN], rule), expected[:, :, 2 * SPAN :])


@pytest.mark.parametrize("native_code", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_of_windows_gives_what_a_full_one_gives(
    kind: CacheKind, native_code: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if native_code and native.refusal() is not None:
        pytest.skip(f"the CPU kernels are {native.refusal()}")
    monkeypatch.setattr(cache_room, "SLACK", 200)  # so that what is held moves often
    cls = NativeQuantizedKVCache if native_code else QuantizedKVCache
    sides, caches = text(MIXED, 2000), [cls(MIXED, 2100, kind), cls(spec_of(3, 2, 16), 2100, kind)]
    rule = AttentionRule.of(MIXED, 0)
    given, expected = (read(cache, sides, [200] * 4 + [61] * 10 + [590], rule) for cache in caches)
    assert torch.equal(given, expected) if native_code else torch.allclose(given, expected, atol=1e-5)
    assert caches[0].nbytes < 0.9 * caches[1].nbytes


@pytest.mark.parametrize(("kind", "share"), [("int8", 0.53), ("int4", 0.34)])
def test_memory_at_8192_tokens_is_a_share_of_that_in_full(kind: CacheKind, share: float) -> None:
    spec = spec_of(3, 2, 64)
    full, quantized = KVCache(spec, 8192, torch.float16, "meta"), QuantizedKVCache(spec, 8192, kind, "meta")
    for cache in (full, quantized):
        cache.blocks(8192)
    assert quantized.nbytes <= share * full.nbytes
    planned = sum(cache_room.layer_bytes(spec, layer, 8192, kind, 2) for layer in range(2))
    assert quantized.nbytes == planned


@pytest.mark.usefixtures("best_kernels")
def test_the_codes_cost_little_and_int4_more_than_int8() -> None:
    spec = spec_of(3, 2, 64)
    sides = text(spec)
    full = read(NativeKVCache(spec, 4096), sides, [TOTAL])
    off = [(read(NativeQuantizedKVCache(spec, 4096, kind), sides, [TOTAL]) - full).square().mean() for kind in KINDS]
    assert off[0] < 1e-4 < off[1] < 2e-2


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_without_keys_of_its_own_sees_those_that_another_has_put(kind: CacheKind) -> None:
    spec = spec_of(3, 2, 16)
    sides, cache = text(spec), QuantizedKVCache(spec, 4096, kind)
    for size in (300, 1, 99):
        queries, keys, values = (side[:, cache.length : cache.length + size] for side in sides)
        expected = cache.attend(0, queries, keys, values)
        assert torch.equal(cache.attend(0, queries, None, None), expected)
        cache.advance(size)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_that_keep_states_go_back_to_a_place_that_both_know(kind: CacheKind) -> None:
    spec = replace(spec_of(3, 2, 16), layer_kinds=("convolution", "full"), convolution_taps=3)
    sides, cache = text(spec), QuantizedKVCache(spec, 4096, kind)

    def go_on(size: int) -> Tensor:
        queries, keys, values = (side[:, cache.length : cache.length + size] for side in sides)
        out = cache.attend(1, queries, keys, values)
        cache.put_state(0, (torch.tensor(cache.length + size),))
        cache.advance(size)
        return out

    for size in (140, 60, 200):  # states are known after 140 and 200 tokens
        expected = go_on(size)
    assert cache.truncate(390) == 0  # 200 is in a span of which the beginning is no longer held in full
    assert cache.state(0) is None
    for size in (256, 44, 20):
        go_on(size)
    assert cache.truncate(310) == 300
    state = cache.state(0)
    assert state is not None
    assert int(state[0]) == 300
    torch.testing.assert_close(go_on(100), expected[:, 100:], rtol=1e-4, atol=1e-5)


def test_heads_that_are_no_whole_tiles_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="8 channels"):
        QuantizedKVCache(SPEC, 100, "int8")


def replied(engine: Engine, question: str, stop_after: int | None = None) -> tuple[list[int], ReplyDone]:
    """The tokens of a greedy reply, stopped while the prompt is read where that is asked for."""
    stop, recording, done = Event(), None, None
    messages, options = [Message("user", question)], ReplyOptions({"temperature": 0.0}, 12)
    for event in engine.reply(messages, options, stop=stop):
        if isinstance(event, PromptProgress) and event.done == stop_after:
            stop.set()
        recording = Recording.of(event) if isinstance(event, ReplyRecorded) else recording
        done = event if isinstance(event, ReplyDone) else done
    assert recording is not None
    assert done is not None
    assert recording.circumstances["cache"] == engine._ready().cache.kind
    return list(recording.reply), done


def test_an_engine_with_an_int8_cache_answers_as_if_it_had_read_everything_anew(smollm2_folder: Path) -> None:
    long = "Tell me what these have in common: " + ", ".join(f"number {each}" for each in range(90)) + "."
    engine = Engine()
    assert engine.load(smollm2_folder, 2048, cache_kind="int8").cache == "int8"
    expected, done = replied(engine, long)
    assert done.prompt_tokens > 3 * SPAN
    replied(engine, "Name a colour.")
    assert replied(engine, long)[0] == expected  # from blocks in memory
    again, done = replied(engine, long)
    assert again == expected
    assert done.cached_tokens >= done.prompt_tokens - SPAN
    engine.load(smollm2_folder, 2048, cache_kind="int8")
    _stopped, done = replied(engine, long, stop_after=48)
    assert done.finish_reason == "stopped"
    assert replied(engine, long)[0] == expected
