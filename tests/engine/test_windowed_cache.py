"""Layers that see a window hold little more than that, and answer as if they held everything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_kv_cache import SPEC
from torch import Tensor

from localchat.engine.facade import Engine
from localchat.engine.kv_cache import KVCache, NativeKVCache
from localchat.events import ReplyDone, TextDelta
from localchat.messages import Message, ReplyOptions
from localchat.model import cache_room
from localchat.model.attention import AttentionRule
from localchat.model.memory import Footprint
from localchat.model.spec import ModelSpec
from quant.kernels import native

FULL = replace(SPEC, num_layers=3, head_dim=16)
MIXED = replace(FULL, layer_kinds=("sliding", "full", "sliding"), sliding_window=50)
CONTEXT = 2600
CAPPED = AttentionRule(window=50, softcap=2.0)


@pytest.fixture(autouse=True)
def little_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of sliding layers move often."""
    monkeypatch.setattr(cache_room, "SLACK", 300)


def new_cache(kind: str, spec: ModelSpec) -> KVCache:
    if kind == "native" and native.refusal() is not None:
        pytest.skip(f"the CPU kernels are {native.refusal()}")
    return NativeKVCache(spec, CONTEXT) if kind == "native" else KVCache(spec, CONTEXT, getattr(torch, kind))


def text(count: int, seed: int = 0) -> list[Tensor]:
    """Queries, keys and values."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(heads, count, 16, generator=generator) for heads in (6, 2, 2)]


def read(cache: KVCache, sides: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """What the first two layers see of a text, read in pieces from where the cache is: [layer, head, T, channel]."""
    results = []
    for size in sizes:
        at = slice(cache.length, cache.length + size)
        piece = [side[:, at] for side in sides]
        rules = AttentionRule.of(MIXED, 0), AttentionRule.of(MIXED, 1)
        results.append(torch.stack([cache.attend(layer, *piece, rules[layer]) for layer in (0, 1)]))
        cache.attend(2, *piece, CAPPED)
        cache.advance(size)
    return torch.cat(results, dim=2)


def pieces(total: int, size: int) -> list[int]:
    return [min(size, total - start) for start in range(0, total, size)]


@pytest.mark.parametrize("kind", ["float32", "float16", "native"])
@pytest.mark.parametrize("size", [CONTEXT, 384, 61, 1])
def test_a_cache_of_windows_gives_what_a_full_one_gives(kind: str, size: int) -> None:
    total = CONTEXT if size > 1 else 1500
    sides = text(total)
    given = read(cache := new_cache(kind, MIXED), sides, pieces(total, size))
    expected = read(full := new_cache(kind, FULL), sides, pieces(total, size))
    assert torch.equal(given, expected)
    assert size == CONTEXT or cache.nbytes < 0.6 * full.nbytes


def test_layers_of_the_native_cache_give_the_same_bits_however_the_text_comes() -> None:
    sides = text(CONTEXT)
    at_once = read(new_cache("native", FULL), sides, [CONTEXT])
    for sizes in ([*[1] * 700, 900, 1000], [2, 5, 400, 350, *[1] * 500, *pieces(CONTEXT - 1257, 130)]):
        assert torch.equal(read(new_cache("native", MIXED), sides, sizes), at_once)


@pytest.mark.parametrize("kind", ["float32", "native"])
def test_what_was_read_can_be_taken_back_as_far_as_the_slack_goes(kind: str) -> None:
    sides, other = text(CONTEXT), text(CONTEXT, seed=1)
    cache, full = new_cache(kind, MIXED), new_cache(kind, FULL)
    for length in (40, 700, 701, 1100, 1530, 2100):
        for each in (cache, full):
            read(each, sides, pieces(length - each.length, 97))
            assert each.truncate(max(0, length - 300)) == max(0, length - 300)
        step = min(600, CONTEXT - cache.length)
        now = [
            torch.cat((old[:, : cache.length], new[:, cache.length :]), dim=1)
            for old, new in zip(sides, other, strict=True)
        ]
        assert torch.equal(read(cache, now, pieces(step, 75)), read(full, now, pieces(step, 75)))
        for each in (cache, full):
            each.truncate(0)


def test_what_no_longer_can_be_taken_back_is_all_forgotten() -> None:
    sides = text(CONTEXT)
    cache = new_cache("native", MIXED)
    expected = read(cache, sides, pieces(CONTEXT, 100))
    assert cache.truncate(CONTEXT) == CONTEXT
    assert cache.truncate(60) == 0
    assert cache.length == 0
    assert torch.equal(read(cache, sides, pieces(CONTEXT, 100)), expected)


def test_a_move_that_was_for_nothing_changes_nothing() -> None:
    """As when a stop comes between two layers."""
    sides = text(CONTEXT)
    cache = new_cache("float32", MIXED)
    expected = read(new_cache("float32", FULL), sides, pieces(1400, 50))
    given = []
    for size in pieces(1400, 50):
        if cache.length:
            cache.attend(0, *text(380, seed=2), AttentionRule.of(MIXED, 0))
        given.append(read(cache, sides, [size]))
    assert torch.equal(torch.cat(given, dim=2), expected)


GEMMA3_1B = replace(
    SPEC,
    num_layers=26,
    num_heads=4,
    num_key_value_heads=1,
    head_dim=256,
    layer_kinds=tuple("full" if (i + 1) % 6 == 0 else "sliding" for i in range(26)),
    sliding_window=512,
    context_length=32768,
)
MISTRAL_7B = replace(
    SPEC,
    num_layers=32,
    num_heads=32,
    num_key_value_heads=8,
    head_dim=128,
    layer_kinds=("sliding",) * 32,
    sliding_window=4096,
    context_length=32768,
)


@pytest.mark.parametrize(("spec", "most"), [(GEMMA3_1B, 220e6), (MISTRAL_7B, 850e6)], ids=["gemma3-1b", "mistral-7b"])
def test_memory_is_what_the_plan_says_and_a_fraction_of_a_full_cache(
    spec: ModelSpec, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the slack that it has
    cache = KVCache(spec, 32768, torch.float16, "meta")
    for _ in range(128):
        cache.blocks(256)
        cache.advance(256)
    full = 2 * 2 * spec.num_layers * spec.num_key_value_heads * spec.head_dim * 32768
    assert cache.nbytes < min(most, full / 4)
    planned = Footprint(spec, 0, 5.0, 2).plan(32768).cache
    assert cache.nbytes <= planned <= 1.25 * cache.nbytes


@pytest.fixture(scope="module")
def sliding_smollm2(smollm2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 as if it had learned with windows of 64 tokens in most layers."""
    folder = tmp_path_factory.mktemp("sliding") / "smollm2"
    shutil.copytree(smollm2_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"layer_kinds": (["sliding"] * 4 + ["full"]) * 6, "sliding_window": 64}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def ask(engine: Engine, question: str) -> tuple[str, ReplyDone]:
    events = list(engine.reply([Message("user", question)], ReplyOptions(max_tokens=12, sampling={"temperature": 0.0})))
    assert isinstance(events[-1], ReplyDone)
    return "".join(event.text for event in events if isinstance(event, TextDelta)), events[-1]


def test_another_reply_is_cheap_and_a_far_way_back_is_read_anew(sliding_smollm2: Path) -> None:
    engine, fresh = Engine(), Engine()
    for each in (engine, fresh):
        each.load(sliding_smollm2, 2048)
    story = "The house stood on a hill. " * 200
    first, done = ask(engine, story)
    again, done_again = ask(engine, story)
    assert again == first
    assert done_again.cached_tokens == done.prompt_tokens - 1
    short, done_short = ask(engine, "The house was blue.")
    assert done_short.cached_tokens == 0  # what the two questions share lies too far back
    assert short == ask(fresh, "The house was blue.")[0]
    assert ask(engine, story)[0] == first
