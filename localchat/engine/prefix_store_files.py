"""Where keys and values are kept on disk, and what becomes of those of a deleted conversation. Without torch: the
interface deletes them too, whether or not an engine runs.

`CACHE/snapshots/HOW/OWNER-FIRST-LAST-COUNT.safetensors` holds COUNT blocks of one text that follow each other. HOW
names the weights and all else that makes numbers differ, OWNER the conversation, FIRST and LAST the blocks at both
ends: each a part of a hash, 16 or 32 hexadecimal digits.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from localchat import paths

UNFINISHED: Final = ".unfinished-"
"""How the names of files begin that are being written."""

SHARE_OF_DISK: Final = 10
"""Without a setting, one part in so many of what is free is taken, ..."""
MOST_BYTES: Final = 8_000_000_000
"""... and never more than this."""

_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{16})-([0-9]{1,6})\.safetensors")
_ABANDONED_S = 3600  # since an unfinished file was written to


@dataclass(frozen=True, slots=True)
class SnapshotName:
    """What the name of a file says."""

    owner: str
    first: str
    last: str
    count: int

    def __str__(self) -> str:
        return f"{self.owner}-{self.first}-{self.last}-{self.count}.safetensors"

    @classmethod
    def of(cls, owner: str, keys: list[str]) -> SnapshotName:
        """For blocks with these keys."""
        return cls(owner, keys[0][:16], keys[-1][:16], len(keys))

    @classmethod
    def parse(cls, name: str) -> SnapshotName | None:
        """None where it is not the name of one of our files."""
        found = _NAME.fullmatch(name)
        return cls(found[1], found[2], found[3], int(found[4])) if found else None


def snapshots_dir() -> Path:
    return paths.cache_dir() / "snapshots"


def owner_of(chat: str) -> str:
    """What stands for a conversation, given its id."""
    return hashlib.sha256(chat.encode()).hexdigest()[:16]


def names_in(folder: Path) -> list[SnapshotName]:
    """Of all files in it; none where it does not exist."""
    try:
        return [name for each in folder.iterdir() if (name := SnapshotName.parse(each.name)) is not None]
    except OSError:
        return []


def delete_snapshots_of(chat: str) -> None:
    """Those of one conversation, of all models. What cannot be deleted stays: nothing depends on it."""
    for path in list(_files()):
        if path.name.startswith(f"{owner_of(chat)}-"):
            delete(path)


def delete_all_snapshots() -> None:
    """Of all conversations, with the folder."""
    shutil.rmtree(snapshots_dir(), ignore_errors=True)


def delete(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def bytes_taken() -> int:
    """On disk, by all of them."""
    return sum(taken for _, taken, _ in _by_use())


def keep_within(budget: int) -> None:
    """Delete the ones that were not used for longest until the others take at most `budget` bytes."""
    files = _by_use()
    taken = sum(size for _, size, _ in files)
    for used, size, path in files:
        abandoned = path.name.startswith(UNFINISHED) and time.time() - used > _ABANDONED_S
        if taken > budget or abandoned:
            delete(path)
            taken -= size


def disk_budget(wanted: int | None) -> int:
    """Bytes that may be taken: those wanted; without a wish a share of the disk."""
    if wanted is not None:
        return wanted
    taken, place = bytes_taken(), paths.cache_dir()
    while not place.exists():
        place = place.parent
    return min(MOST_BYTES, (shutil.disk_usage(place).free + taken) // SHARE_OF_DISK)


def _by_use() -> list[tuple[float, int, Path]]:
    """When each was used last, its bytes, its place; the one that was not used for longest first."""
    found = []
    for path in _files():
        with contextlib.suppress(OSError):  # another process has just deleted it
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    return sorted(found)


def _files() -> Iterator[Path]:
    for folder in _entries(snapshots_dir()):
        for path in _entries(folder):
            if path.name.startswith(UNFINISHED) or SnapshotName.parse(path.name):
                yield path


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
