"""The longest beginning of a prompt whose keys and values are known: in the cache, in memory, on disk.

The model's cache holds one text. Whole blocks of it that another prompt does not share move to memory, and from there
back when a prompt goes on with them: the chat before, the branch that was left. Those of saved conversations are on
disk too, and come from there after a restart. What is left to read is new, or less than a block.

It changes no reply: blocks hold the numbers that were computed, and the CPU kernels give a text the same numbers read
in pieces as read at once.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localchat.config import Config
from localchat.engine.cache_blocks import BLOCK, Block, chain, size, usable
from localchat.engine.circumstances import circumstances
from localchat.engine.open_model import OpenModel
from localchat.engine.prefix_store import PrefixStore
from localchat.engine.prefix_store_files import disk_budget, keep_within, snapshots_dir
from localchat.engine.prefix_store_format import FORMAT
from localchat.engine.prefix_store_writer import MOST_BYTES
from localchat.model.cache_room import needed_from
from localchat.model.decoder import Check
from localchat.model.memory import free_memory
from quant.kernels.cpu import library_path

_SHARE_OF_MEMORY = 4
_NOT_NUMBERS = ("template", "tokenizer", "threads")
"""Circumstances of a reply that leave the numbers of given tokens as they are."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """Bytes that keys and values may take outside the cache of the text at hand; 0 is none.

    Attributes:
        memory: None is a quarter of what is free.
        disk: see `disk_budget`.
    """

    memory: int | None = None
    disk: int | None = None

    @classmethod
    def of(cls, config: Config) -> Budgets:
        """Those of the settings, which are in megabytes."""
        wishes = (config.cache_memory, config.cache_disk)
        return cls(*(None if wish is None else wish * 1_000_000 for wish in wishes))

    def memory_now(self, taken: int) -> int:
        """Bytes of memory that may be taken, of which `taken` are."""
        return (free_memory() + taken) // _SHARE_OF_MEMORY if self.memory is None else self.memory


class BlockMemory:
    """Blocks by their keys; beyond the limit the ones that were put or asked for longest ago are let go.

    Attributes:
        nbytes: memory taken, and
        limit: what it may be, bytes.
    """

    def __init__(self) -> None:
        self.nbytes = 0
        self.limit = 0
        self._blocks: OrderedDict[str, Block] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._blocks

    def get(self, key: str) -> Block | None:
        if key in self._blocks:
            self._blocks.move_to_end(key)
        return self._blocks.get(key)

    def put(self, key: str, block: Block) -> None:
        self.discard(key)
        self._blocks[key] = block
        self.nbytes += size(block)
        while self.nbytes > self.limit:
            self.discard(next(iter(self._blocks)))

    def discard(self, key: str) -> None:
        self.nbytes -= size(self._blocks.pop(key, ()))


class PrefixCache:
    """What is known of texts beside the one in a model's cache. Always of the same model."""

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets
        self._memory = BlockMemory()
        self._opened_store: PrefixStore | None = None

    def rewind(self, model: OpenModel, prompt: Sequence[int], check: Check) -> int:
        """Let the cache hold as much of the beginning of `prompt` as is known, and nothing else.

        The last token is always read again: its logits begin the reply.

        Returns:
            How many tokens need no reading.

        Raises:
            Whatever `check` does; the cache then holds some whole beginning.
        """
        cache, ids = model.cache, model.token_ids
        shared = _shared(ids, prompt[:-1])
        self._put_aside(model, shared)
        kept = cache.truncate(shared)
        del ids[kept:]
        keys = chain(prompt[:-1])
        held = kept // BLOCK
        found = self._find(model, keys[held:], check)
        if not found:
            return kept
        blocks = [block for index in range(held) if (block := cache.take(index)) is not None] + found
        blocks = blocks[: usable(blocks, cache.spec)]
        if len(blocks) * BLOCK <= kept:
            return kept
        ids.clear()
        cache.give(blocks)
        ids.extend(prompt[: cache.length])
        for key in keys[: len(blocks)]:
            self._memory.discard(key)
        return cache.length

    def keep(self, model: OpenModel, chat: str) -> None:
        """Let what is new in the cache be written to disk, as part of a saved conversation."""
        cache = model.cache
        keys = chain(model.token_ids[: cache.length])
        store = self._store(model, _nothing) if keys else None
        if store is None:
            return
        blocks: list[Block] = []
        for index in range(store.known(keys), len(keys)):
            block = cache.take(index)
            if block is None:
                return
            blocks.append(block)
            if index + 1 == len(keys) or size(block) * (len(blocks) + 1) > MOST_BYTES:
                if not store.put(chat, keys[: index + 1], blocks):
                    return
                blocks = []

    def forget(self, chat: str) -> None:
        """Keep nothing on disk of a conversation that was deleted."""
        if self._opened_store is not None:
            self._opened_store.forget(chat)

    def flush(self, seconds: float) -> None:
        """Wait until what is to be kept is on disk, at most so long."""
        if self._opened_store is not None:
            self._opened_store.flush(seconds)

    def _put_aside(self, model: OpenModel, shared: int) -> None:
        """Move to memory the blocks that go when the cache is cut to `shared` tokens."""
        cache = model.cache
        if shared == cache.length:
            return
        spec, memory = cache.spec, self._memory
        memory.limit = self._budgets.memory_now(memory.nbytes)
        lost = any(first > needed_from(spec, layer, shared) for layer, first in enumerate(cache.firsts))
        keys = chain(model.token_ids[: cache.length])
        for index in reversed(range(0 if lost else shared // BLOCK, len(keys))):  # the end of a text goes first again
            if keys[index] not in memory and (block := cache.take(index)) is not None:
                memory.put(keys[index], block)

    def _find(self, model: OpenModel, keys: Sequence[str], check: Check) -> list[Block]:
        """The blocks with these keys, as far as they are in memory or on disk."""
        found: list[Block] = []
        while len(found) < len(keys):
            block = self._memory.get(keys[len(found)])
            if block is not None:
                found.append(block)
                continue
            store = self._store(model, check)
            more = store.find(keys[len(found) :], check) if store is not None else []
            if not more:
                break
            found += more
        return found

    def _store(self, model: OpenModel, check: Check) -> PrefixStore | None:
        """None where nothing may be on disk, or the weights cannot be told from others."""
        if self._opened_store is None and not model.cache.spec.keeps_states:
            budget = disk_budget(self._budgets.disk)
            keep_within(budget)
            if budget:
                model.digests.wait(check)
                folder = _folder(model)
                self._opened_store = None if folder is None else PrefixStore(folder, budget)
        return self._opened_store


def _folder(model: OpenModel) -> Path | None:
    """Of the numbers that this model computes here: whatever may make others, for the same tokens, is in its name."""
    spec, library = model.loaded.spec, library_path()
    facts: dict[str, Any] = {name: found for name, found in circumstances(model).items() if name not in _NOT_NUMBERS}
    if not facts["weights"]:
        return None
    facts["format"], facts["spec"] = FORMAT, spec.to_dict()
    facts["long"] = model.cache.context_length > (spec.original_context_length or model.cache.context_length)
    facts["native"] = hashlib.sha256(library.read_bytes()).hexdigest() if library.is_file() else ""
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
    return snapshots_dir() / name


def _shared(ids: Sequence[int], others: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(ids, others, strict=False))
    return next((place for place, (mine, other) in pairs if mine != other), min(len(ids), len(others)))


def _nothing() -> None:
    """To be called while nobody can stop what goes on."""
