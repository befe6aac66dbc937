"""Keys and values on disk: found whole or not at all, within a budget, and gone with their conversation."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
import torch

from localchat.engine import prefix_store_writer
from localchat.engine.cache_blocks import Block, chain, size
from localchat.engine.prefix_store import PrefixStore
from localchat.engine.prefix_store_files import (
    UNFINISHED,
    bytes_taken,
    delete_all_snapshots,
    delete_snapshots_of,
    keep_within,
    snapshots_dir,
)

PLENTY = 1_000_000_000


def blocks_of(count: int, seed: int = 0) -> list[Block]:
    """Parts of every kind, of odd sizes; the first layer of the early ones is gone."""
    chance = torch.Generator().manual_seed(seed)
    blocks: list[Block] = []
    for index in range(count):
        keys = torch.randn(2, 8, 5, 16, generator=chance).half()
        values = torch.randn(3, 7, generator=chance).bfloat16()
        codes = torch.randint(-128, 128, (2, 33), generator=chance).to(torch.int8)
        blocks.append((None if index < 2 else keys, values, codes, torch.empty(0, 4)))
    return blocks


def keys_of(count: int, seed: int = 0) -> list[str]:
    return chain(torch.randint(0, 50000, (count * 128,), generator=torch.Generator().manual_seed(seed)).tolist())


def same(found: list[Block], wanted: list[Block]) -> bool:
    def equal(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
        if one is None or other is None:
            return one is other
        return one.dtype == other.dtype and torch.equal(one, other)

    return len(found) == len(wanted) and all(
        equal(*pair) for mine, other in zip(found, wanted, strict=True) for pair in zip(mine, other, strict=True)
    )


def nothing() -> None:
    pass


@pytest.fixture
def store(home: Path) -> PrefixStore:  # noqa: ARG001
    return PrefixStore(snapshots_dir() / "model", PLENTY)


def files() -> list[Path]:
    return sorted(path for path in snapshots_dir().rglob("*") if path.is_file())


def keep(store: PrefixStore, chat: str, count: int, seed: int = 0) -> tuple[list[str], list[Block]]:
    keys, blocks = keys_of(count, seed), blocks_of(count, seed)
    assert store.put(chat, keys, list(blocks))
    store.flush(10)
    return keys, blocks


def test_what_was_written_is_found_by_another_process(store: PrefixStore) -> None:
    keys, blocks = keep(store, "chat", 5)
    another = PrefixStore(snapshots_dir() / "model", PLENTY)
    assert same(another.find(keys, nothing), blocks)
    assert same(another.find(keys[:3], nothing), blocks[:3])
    assert another.known([*keys, "0" * 32]) == 5
    assert another.find(keys[1:], nothing) == []  # a text is known from its beginning
    assert another.find(keys_of(5, seed=1), nothing) == []
    assert PrefixStore(snapshots_dir() / "another model", PLENTY).find(keys, nothing) == []


def test_a_text_that_grows_lies_in_few_files(store: PrefixStore) -> None:
    keys, blocks = keys_of(62), blocks_of(62)
    for start in range(0, 62, 2):
        assert store.put("chat", keys[: start + 2], blocks[start : start + 2])
        store.flush(10)
    assert same(store.find(keys, nothing), blocks)
    assert len(files()) <= 6


def test_a_branch_is_found_from_where_it_leaves(store: PrefixStore) -> None:
    keys, blocks = keep(store, "chat", 6)
    other_keys, other_blocks = keys_of(4, seed=1), blocks_of(4, seed=1)
    branch = [*keys[:3], *other_keys]
    assert store.known(branch) == 3
    assert store.put("chat", branch, list(other_blocks))
    store.flush(10)
    assert same(store.find(branch, nothing), [*blocks[:3], *other_blocks])
    assert same(store.find(keys, nothing), blocks)


@pytest.mark.parametrize("place", [3, 40, 400, -2000, -1])
def test_a_damaged_file_is_never_used_and_never_an_error(store: PrefixStore, place: int) -> None:
    keys, blocks = keep(store, "chat", 3)
    [path] = files()
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)
    found = PrefixStore(path.parent, PLENTY).find(keys, nothing)
    assert len(found) < 3
    assert same(found, blocks[: len(found)])
    assert files() == []  # so that it is written anew


@pytest.mark.parametrize("left", [0, 7, 300, -1])
def test_a_truncated_file_is_never_used_and_never_an_error(store: PrefixStore, left: int) -> None:
    keys, _ = keep(store, "chat", 3)
    [path] = files()
    path.write_bytes(path.read_bytes()[:left])
    assert PrefixStore(path.parent, PLENTY).find(keys, nothing) == []
    assert files() == []


def test_a_file_that_goes_by_another_name_is_not_used(store: PrefixStore) -> None:
    keep(store, "chat", 3)
    [path] = files()
    wanted = keys_of(3, seed=1)
    owner, _, last, rest = path.name.split("-")
    path.rename(path.with_name(f"{owner}-{wanted[0][:16]}-{last}-{rest}"))
    assert store.find(wanted, nothing) == []


def test_files_that_go_while_they_are_wanted_are_no_error(store: PrefixStore) -> None:
    keys, _ = keep(store, "chat", 3)
    assert store.known(keys) == 3
    delete_all_snapshots()
    assert store.find(keys, nothing) == []
    assert store.known(keys) == 0
    keep(store, "chat", 3)
    assert store.known(keys) == 3


def test_writing_is_not_waited_for(store: PrefixStore, monkeypatch: pytest.MonkeyPatch) -> None:
    may_write, real = threading.Event(), prefix_store_writer.write_snapshot
    monkeypatch.setattr(prefix_store_writer, "write_snapshot", lambda *a: (may_write.wait(20), real(*a)))
    keys, blocks = keys_of(4), blocks_of(4)
    assert store.put("chat", keys[:2], blocks[:2])
    assert store.put("chat", keys, blocks[2:])
    store.flush(0.01)
    assert files() == [] or all(path.name.startswith(UNFINISHED) for path in files())
    assert store.known(keys) == 4  # on its way
    assert store.find(keys, nothing) == []
    may_write.set()
    store.flush(10)
    assert same(store.find(keys, nothing), blocks_of(4))


def test_a_disk_that_cannot_be_written_is_no_error(home: Path) -> None:
    (home / "cache").mkdir(parents=True)
    snapshots_dir().write_text("in the way")
    store = PrefixStore(snapshots_dir() / "model", PLENTY)
    assert store.put("chat", keys_of(2), blocks_of(2))
    store.flush(10)
    assert store.find(keys_of(2), nothing) == []


def test_what_was_not_used_for_longest_goes_first(store: PrefixStore) -> None:
    for number, chat in enumerate("abc"):
        keep(store, chat, 4, seed=number)
    for path in files():
        os.utime(path, (time.time() - 1000,) * 2)
    assert store.known(keys_of(4, seed=0)) == 4  # used
    small = PrefixStore(snapshots_dir() / "model", bytes_taken())  # room for three
    keep(small, "d", 4, seed=3)
    kept = [number for number in range(4) if small.find(keys_of(4, seed=number), nothing)]
    assert len(kept) == 3
    assert {0, 3} <= set(kept)
    assert bytes_taken() <= small._writer._budget


def test_of_a_text_too_long_for_the_budget_the_beginning_stays(store: PrefixStore) -> None:
    keys, blocks = keys_of(30), blocks_of(30)
    for start, end in ((0, 16), (16, 24), (24, 28), (28, 30)):
        assert store.put("chat", keys[:end], blocks[start:end])
        store.flush(10)
    assert store.known(keys) == 30
    keep_within(bytes_taken() - 1)
    assert 16 <= store.known(keys) < 30


def test_what_a_crash_left_unfinished_is_swept_up(store: PrefixStore) -> None:
    folder = snapshots_dir() / "model"
    folder.mkdir(parents=True)
    old, new = folder / f"{UNFINISHED}1", folder / f"{UNFINISHED}2"
    for path in (old, new):
        path.write_bytes(b"half of it")
    os.utime(old, (time.time() - 7200,) * 2)
    keep(store, "chat", 1)
    assert not old.exists()
    assert new.exists()  # another process may be writing it


def test_a_deleted_conversation_takes_its_files_with_it(store: PrefixStore) -> None:
    keep(store, "a", 3)
    other_keys, other_blocks = keep(store, "b", 3, seed=1)
    delete_snapshots_of("a")
    assert store.find(keys_of(3), nothing) == []
    assert same(store.find(other_keys, nothing), other_blocks)


def test_what_waits_of_a_forgotten_conversation_is_not_written(
    store: PrefixStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write, real = threading.Event(), prefix_store_writer.write_snapshot
    monkeypatch.setattr(prefix_store_writer, "write_snapshot", lambda *a: (may_write.wait(20), real(*a)))
    for seed in range(3):
        assert store.put("a", keys_of(2, seed), blocks_of(2, seed))
    assert store.put("b", keys_of(2, seed=9), blocks_of(2, seed=9))
    threading.Timer(0.05, may_write.set).start()
    store.forget("a")
    store.flush(10)
    assert [store.known(keys_of(2, seed)) for seed in (0, 1, 2, 9)] == [0, 0, 0, 2]
    keep(store, "a", 2)  # it was brought back, and goes on
    assert store.known(keys_of(2)) == 2


def test_more_than_memory_should_hold_does_not_wait_to_be_written(
    store: PrefixStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = blocks_of(4)
    monkeypatch.setattr(prefix_store_writer, "_MOST_WAITING", sum(map(size, blocks)) - 1)
    assert not store.put("chat", keys_of(4), blocks)
    assert store.put("chat", keys_of(3), blocks[:3])


def test_others_on_the_machine_cannot_read_the_files(store: PrefixStore) -> None:
    keep(store, "chat", 2)
    [path] = files()
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
