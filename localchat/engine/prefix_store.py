"""Keys and values on disk: found by the text, written beside other work, deleted with their conversation.

Several processes may share the folder. A file is written under another name first and never changed; one that has gone
meanwhile, or is damaged, is one that was never there.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import takewhile
from os import utime
from pathlib import Path
from time import time

from localchat.engine.cache_blocks import Block
from localchat.engine.prefix_store_files import SnapshotName, delete, names_in, owner_of
from localchat.engine.prefix_store_format import Snapshot
from localchat.engine.prefix_store_writer import Piece, SnapshotWriter
from localchat.errors import BadWeights
from localchat.model.decoder import Check

_READERS = 2
"""Threads that check sums and fetch pages."""
_TICK_S = 0.001


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Blocks that follow each other in one file."""

    snapshot: Snapshot
    path: Path
    count: int


class PrefixStore:
    """The files of one way of running one model.

    Args:
        folder: theirs; it need not exist.
        budget: bytes that the files of all models may take together.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        self._folder = folder
        self._writer = SnapshotWriter(folder, budget)

    def find(self, keys: Sequence[str], check: Check) -> list[Block]:
        """The blocks with these keys, which follow each other in a text, as far as they are there; mapped.

        Raises:
            Whatever `check` does, which is called between any two blocks.
        """
        found: list[Block] = []
        stretches = self._stretches(keys)
        _mark_used([stretch.path for stretch in stretches])
        readers = ThreadPoolExecutor(_READERS)
        try:
            for stretch in stretches:
                path = stretch.path
                for block in readers.map(stretch.snapshot.block, range(stretch.count)):
                    found.append(block)
                    check()
        except BadWeights:
            delete(path)
        finally:
            readers.shutdown(cancel_futures=True)
        return found

    def known(self, keys: Sequence[str]) -> int:
        """How many of these blocks, the first of a text, are there or will be; they count as used."""
        stretches = self._stretches(keys)
        _mark_used([stretch.path for stretch in stretches])
        count = sum(stretch.count for stretch in stretches)
        return count + sum(1 for _ in takewhile(self._writer.awaits, keys[count:]))

    def put(self, chat: str, keys: Sequence[str], blocks: list[Block]) -> bool:
        """Let these blocks of a conversation, which follow each other, be written; False when too much waits already.

        Args:
            keys: of all blocks of the text up to the last of `blocks`.
        """
        return self._writer.add(Piece(owner_of(chat), list(keys), blocks))

    def forget(self, chat: str) -> None:
        """Delete what there is of a conversation, and what waits to be written."""
        self._writer.forget(owner_of(chat))
        for name in names_in(self._folder):
            if name.owner == owner_of(chat):
                delete(self._folder / str(name))

    def flush(self, seconds: float) -> None:
        """Wait until everything is written, at most so long."""
        self._writer.flush(seconds)

    def _stretches(self, keys: Sequence[str]) -> list[_Stretch]:
        """Where the blocks lie, from the first on. A file is of use only where its first block is one of the text."""
        by_first: dict[str, list[SnapshotName]] = {}
        for name in names_in(self._folder):
            by_first.setdefault(name.first, []).append(name)
        stretches: list[_Stretch] = []
        place = 0
        while place < len(keys):
            candidates = (self._stretch(name, keys[place:]) for name in by_first.get(keys[place][:16], ()))
            best = max((each for each in candidates if each), key=lambda stretch: stretch.count, default=None)
            if best is None or best.count == 0:
                break
            stretches.append(best)
            place += best.count
        return stretches

    def _stretch(self, name: SnapshotName, keys: Sequence[str]) -> _Stretch | None:
        path = self._folder / str(name)
        try:
            snapshot = Snapshot(path)
        except BadWeights:
            delete(path)
            return None
        count = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(keys, snapshot.keys, strict=False)))
        return _Stretch(snapshot, path, count)


def _mark_used(files: Sequence[Path]) -> None:
    """Now; those at the end of a text a little earlier, as they are worth nothing without those before."""
    now = time()
    for place, path in enumerate(files):
        try:
            utime(path, (now - place * _TICK_S,) * 2)
        except OSError:  # another process has just deleted it
            continue
