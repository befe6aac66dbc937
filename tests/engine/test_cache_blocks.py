"""Keys and values leave a cache in blocks, and come back to the bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_kv_cache import SPEC
from test_windowed_cache import FULL, MIXED, new_cache, read, text

from localchat.engine.cache_blocks import BLOCK, chain, usable
from localchat.engine.kv_cache import KVCache
from localchat.errors import ContextOverflow
from localchat.model import cache_room
from localchat.model.spec import ModelSpec


@pytest.fixture(autouse=True)
def little_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of sliding layers move often."""
    monkeypatch.setattr(cache_room, "SLACK", 300)


@pytest.mark.parametrize("spec", [FULL, MIXED], ids=["full", "mixed"])
@pytest.mark.parametrize("kind", ["float32", "bfloat16", "native"])
def test_a_cache_goes_on_from_blocks_as_from_the_text_itself(kind: str, spec: ModelSpec) -> None:
    sides, cache, blocks = text(1000), new_cache(kind, spec), []
    for piece in (100, 500, 400):
        read(cache, sides, [piece])
        for index in range(len(blocks), cache.length // BLOCK):
            blocks.append(cache.take(index))
    for count in (1, 7):
        other = new_cache(kind, spec)
        read(other, text(700, seed=1), [700])  # what it held before does not matter
        other.give(blocks[:count])
        assert other.length == count * BLOCK
        plain = new_cache(kind, spec)
        read(plain, sides, [count * BLOCK])
        pieces = [1000 - count * BLOCK - 10, 10]
        assert torch.equal(read(other, sides, pieces), read(plain, sides, pieces))


def test_a_block_is_a_copy() -> None:
    cache = new_cache("float32", FULL)
    read(cache, text(200), [200])
    block = cache.take(0)
    assert block is not None
    before = [part.clone() for part in block if part is not None]
    cache.truncate(0)
    read(cache, text(200, seed=1), [200])
    assert all(torch.equal(old, part) for old, part in zip(before, block, strict=True) if part is not None)


def test_only_whole_blocks_are_taken() -> None:
    cache = new_cache("float32", FULL)
    read(cache, text(300), [300])
    assert [cache.take(index) is not None for index in range(4)] == [True, True, False, False]


def test_a_layer_that_sees_a_window_needs_no_more_than_that() -> None:
    cache = new_cache("float32", MIXED)
    for _ in range(20):
        read(cache, [side[:, :100] for side in text(100)], [100]) if cache.length == 0 else _go_on(cache)
    held = [cache.take(index) for index in range(cache.length // BLOCK)]
    blocks = [block for block in held if block is not None]
    assert blocks[0][0] is None  # let go of long ago
    assert blocks[0][2] is not None  # a layer that sees everything
    assert usable(blocks, MIXED) == len(blocks)
    assert usable(blocks[:6], MIXED) == 0
    assert usable([], MIXED) == 0


def _go_on(cache: KVCache) -> None:
    sides = [torch.zeros(side.shape[0], cache.length + 100, 16) for side in text(1)]
    read(cache, sides, [100])


def test_what_layers_keep_as_states_is_not_taken() -> None:
    spec = replace(SPEC, layer_kinds=("convolution", "full"), convolution_taps=3)
    cache = KVCache(spec, 1000)
    cache.blocks(200)
    cache.advance(200)
    assert cache.take(0) is None


def test_more_than_the_context_is_refused_and_leaves_the_cache_empty() -> None:
    cache, small = new_cache("float32", FULL), KVCache(FULL, 200)
    read(cache, text(300), [300])
    blocks = [block for index in range(2) if (block := cache.take(index)) is not None]
    with pytest.raises(ContextOverflow):
        small.give(blocks)
    assert small.length == 0


def test_a_key_stands_for_everything_up_to_the_end_of_its_block() -> None:
    ids = list(range(1000))
    keys = chain(ids)
    assert len(keys) == 1000 // BLOCK
    assert len(set(keys)) == len(keys)
    assert chain(ids[: 3 * BLOCK]) == keys[:3]
    changed = chain([*ids[:200], 5, *ids[201:]])
    assert changed[0] == keys[0]
    assert not set(changed[1:]) & set(keys)
    assert chain([ids[1], ids[0], *ids[2:]])[0] != keys[0]
