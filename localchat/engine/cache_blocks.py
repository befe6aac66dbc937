"""A conversation's keys and values in blocks of so many tokens, each known by the text up to its end.

What a block holds is decided by all tokens before its end and by how the model is run. So within one way of running one
model a hash over those tokens names it, whoever's conversation it was read in; no template and no tokenizer matters any
more once there are token ids.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from typing import Final

import torch
from torch import Tensor

from localchat.model.cache_room import kept_from, needed_from
from localchat.model.spec import ModelSpec

BLOCK: Final = 128
"""Tokens of a block: `quant.kernels.native.SPAN`, so that layers which see a window can begin with any of them."""

Block = tuple[Tensor | None, ...]
"""All that the layers hold of a block's tokens, on the CPU; None where a layer has let go of them."""


def chain(ids: Sequence[int]) -> list[str]:
    """A key, 32 hexadecimal digits, for every whole block that `ids` begin with."""
    keys: list[str] = []
    before = b""
    for start in range(0, len(ids) - BLOCK + 1, BLOCK):
        before = hashlib.sha256(before + array("I", ids[start : start + BLOCK]).tobytes()).digest()[:16]
        keys.append(before.hex())
    return keys


def size(block: Block) -> int:
    """Bytes."""
    return sum(part.nbytes for part in block if part is not None)


def usable(blocks: Sequence[Block], spec: ModelSpec) -> int:
    """With how many of these blocks, the first of a text, a cache can go on: as many as leave each layer what it sees.

    Every layer has the same number of parts in a block.
    """
    return next(count for count in range(len(blocks), -1, -1) if _suffices(blocks[:count], spec))


def _suffices(blocks: Sequence[Block], spec: ModelSpec) -> bool:
    length = len(blocks) * BLOCK
    return all(
        _held_from(blocks, spec, layer) * BLOCK <= needed_from(spec, layer, length) for layer in range(spec.num_layers)
    )


def firsts_of(blocks: Sequence[Block], spec: ModelSpec) -> list[int]:
    """By layer, the first position that a cache should hold of these blocks."""
    length = len(blocks) * BLOCK
    return [
        max(_held_from(blocks, spec, layer), kept_from(spec, layer, length) // BLOCK) * BLOCK
        for layer in range(spec.num_layers)
    ]


def _held_from(blocks: Sequence[Block], spec: ModelSpec, layer: int) -> int:
    """The first block from which on all hold something of the layer."""
    index = len(blocks)
    while index and blocks[index - 1][layer * len(blocks[index - 1]) // spec.num_layers] is not None:
        index -= 1
    return index


def copied(layers: Sequence[Sequence[Tensor]], firsts: Sequence[int], index: int) -> Block:
    """The block at `index` of a cache.

    Args:
        layers: the keys and the values of each layer, [head, slot, ...]; those of the values are a token each.
        firsts: see `localchat.engine.kv_cache.KVCache`.
    """
    parts: list[Tensor | None] = []
    for (keys, values), first in zip(layers, firsts, strict=True):
        for held in (keys, values):
            if index * BLOCK < first:
                parts.append(None)
                continue
            found = held[:, _slots(held, values, index * BLOCK - first)]
            parts.append(torch.empty(found.shape, dtype=found.dtype).copy_(found))
    return tuple(parts)


def put_back(layers: Sequence[Sequence[Tensor]], firsts: Sequence[int], blocks: Sequence[Block]) -> None:
    """The inverse of `copied`, of all blocks of a text from its beginning, as far as `firsts` go back."""
    for layer, ((keys, values), first) in enumerate(zip(layers, firsts, strict=True)):
        for side, held in enumerate((keys, values)):
            for index, part in _parts(blocks, first // BLOCK, 2 * layer + side):
                held[:, _slots(held, values, index * BLOCK - first)] = part


def _parts(blocks: Sequence[Block], start: int, place: int) -> Iterator[tuple[int, Tensor]]:
    for index in range(start, len(blocks)):
        part = blocks[index][place]
        assert part is not None
        yield index, part


def _slots(held: Tensor, values: Tensor, start: int) -> slice:
    """Where `held` has the block that begins at the `start`-th token; native keys have 16 tokens in a slot."""
    tokens = values.shape[1] // held.shape[1]
    return slice(start // tokens, (start + BLOCK) // tokens)
