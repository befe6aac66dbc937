"""The thread that writes keys and values, so that no reply waits for a disk.

A conversation grows by a few blocks a turn. Files that are no longer than what follows them are written again as one
with that, so that a text of n blocks lies in about log n files, and each block is written about log n times.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from localchat.engine.cache_blocks import Block, size
from localchat.engine.prefix_store_files import UNFINISHED, SnapshotName, delete, keep_within, names_in
from localchat.engine.prefix_store_format import Snapshot, write_snapshot
from localchat.errors import BadWeights, StorageFailed
from localchat.model.memory import free_memory
from localchat.paths import ensure

MOST_BYTES: Final = 128_000_000
"""Of one file, about."""
_MOST_WAITING = 1_000_000_000
"""Bytes in memory that wait to be written, ..."""
_SHARE_OF_MEMORY = 4
"""... and at most one part in so many of what is free; a slow disk must not fill it."""
_NICE = 10


@dataclass(slots=True)
class Piece:
    """Blocks that follow each other, `MOST_BYTES` of them at most.

    Attributes:
        keys: of all blocks of the text up to the last of `blocks`.
    """

    owner: str
    keys: list[str]
    blocks: list[Block]

    @property
    def own_keys(self) -> list[str]:
        """Of `blocks`."""
        return self.keys[len(self.keys) - len(self.blocks) :]

    @property
    def nbytes(self) -> int:
        return sum(map(size, self.blocks))


class SnapshotWriter:
    """Writes into one folder, and keeps all of them within the budget, bytes."""

    def __init__(self, folder: Path, budget: int) -> None:
        self._folder, self._budget = folder, budget
        self._waiting: deque[Piece] = deque()
        self._keys: set[str] = set()  # of what waits or is being written
        self._bytes = 0
        self._forgotten: set[str] = set()  # owners, while something of theirs is being written
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def awaits(self, key: str) -> bool:
        """Whether the block with this key is on its way."""
        with self._changed:
            return key in self._keys

    def add(self, piece: Piece) -> bool:
        """Let it be written; False where that is too much at once."""
        count = piece.nbytes
        with self._changed:
            if self._bytes + count > min(_MOST_WAITING, free_memory() // _SHARE_OF_MEMORY):
                return False
            self._forgotten.discard(piece.owner)
            self._waiting.append(piece)
            self._keys.update(piece.own_keys)
            self._bytes += count
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return True

    def forget(self, owner: str) -> None:
        """Write nothing of this conversation that waits now; returns when nothing of it is being written."""
        with self._changed:
            self._forgotten.add(owner)
            self._changed.wait_for(lambda: not self._keys)
            self._forgotten.discard(owner)

    def flush(self, seconds: float) -> None:
        """Wait until nothing waits, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._keys, seconds)

    def _run(self) -> None:
        if sys.platform == "linux":  # of this thread alone
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                piece = self._waiting.popleft()
                wanted = piece.owner not in self._forgotten
            keys, count = piece.own_keys, piece.nbytes
            if wanted:
                with contextlib.suppress(OSError, StorageFailed):  # the disk is full, say: the text is read again then
                    self._write(piece)
            with self._changed:
                self._keys.difference_update(keys)
                self._bytes -= count
                self._changed.notify_all()

    def _write(self, piece: Piece) -> None:
        ensure(self._folder).chmod(0o700)
        merged = self._take_up(piece)
        keys = piece.own_keys
        unfinished = self._folder / f"{UNFINISHED}{os.getpid()}-{time.monotonic_ns()}"
        try:
            with unfinished.open("xb") as file:
                unfinished.chmod(0o600)
                write_snapshot(file, keys, piece.blocks)
            unfinished.replace(self._folder / str(SnapshotName.of(piece.owner, keys)))
        except OSError:
            delete(unfinished)
            raise
        for path in merged:
            delete(path)
        keep_within(self._budget)

    def _take_up(self, piece: Piece) -> list[Path]:
        """Put before the piece what lies just before it in files that are no longer; returns these."""
        taken: list[Path] = []
        names = [name for name in names_in(self._folder) if name.owner == piece.owner]
        while (start := len(piece.keys) - len(piece.blocks)) > 0:
            name = next((each for each in names if each.last == piece.keys[start - 1][:16]), None)
            if name is None or name.count > len(piece.blocks) or piece.nbytes * 2 > MOST_BYTES:
                break
            path = self._folder / str(name)
            try:
                snapshot = Snapshot(path)
                if list(snapshot.keys) != piece.keys[start - name.count : start]:
                    break
                piece.blocks[:0] = [snapshot.block(index) for index in range(name.count)]
            except BadWeights:
                break
            taken.append(path)
        return taken
