"""One process at a time fetches one thing; the others can say who does.

An advisory lock on a small file. The system lets go of it when the last process that has the file open ends, however
it ends, so nothing is ever left locked. A child that is given `fileno()` keeps the lock when its parent is killed:
a pip that goes on downloading still counts as fetching.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from localchat.errors import StorageFailed
from localchat.translation import _

if sys.platform == "win32":
    import msvcrt

    def _is_alive(_pid: int) -> bool:
        return True  # children do not share the lock here, so whoever has it wrote its own number

    def _try_lock(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # far from the text, which others must be able to read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _is_alive(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it is another user's
            return True
        return True

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class DownloadLock:
    """An advisory lock on `path`, which is created and never removed while it is held."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock, or return False at once when another process has it.

        Raises:
            StorageFailed: the file cannot be created or locked.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        except OSError as error:
            raise StorageFailed(
                _("The file {path} cannot be written ({reason}).").format(path=self._path, reason=error.strerror)
            ) from error
        try:
            _try_lock(descriptor)
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            return False
        except OSError as error:
            os.close(descriptor)
            raise StorageFailed(
                _("The file {path} cannot be locked ({reason}).").format(path=self._path, reason=error.strerror)
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor
        return True

    def fileno(self) -> int:
        """The descriptor to hand to a child process, which then shares the lock. Only while it is held."""
        assert self._descriptor is not None
        return self._descriptor

    def release(self) -> None:
        """Let go. Children that share the lock keep it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> str:
        """Who has it, for a sentence: "process 81", or "an earlier run" when only its child is left."""
        try:
            pid = int(self._path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return _("another process")
        return _("process {pid}").format(pid=pid) if _is_alive(pid) else _("an earlier run")
