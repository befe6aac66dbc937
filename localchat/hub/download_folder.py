"""The folder of one download in the cache: one process at a time, progress, room on the disk."""

from __future__ import annotations

import contextlib
import errno
import shutil
import time
from collections.abc import Callable, Iterator

from localchat.errors import StorageFailed
from localchat.hub.download_lock import DownloadLock
from localchat.hub.pull_events import Check, OnProgress, PullProgress, Stage
from localchat.hub.transfer_rate import TransferRate
from localchat.paths import cache_dir, ensure
from localchat.translation import _

POLL_S = 0.1
_STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
_SPARE_BYTES = 64 << 20  # what should stay free on the disk


class DownloadFolder:
    """`downloads/NAME/` of the cache, with the lock in it.

    Args:
        on_progress: called about ten times a second.
        check: called as often; raises to abandon.
    """

    def __init__(self, name: str, on_progress: OnProgress, check: Check) -> None:
        self.path = cache_dir() / "downloads" / name
        self.lock = DownloadLock(self.path / "lock")
        self._on_progress = on_progress
        self._check = check

    def enter(self, bytes_here: Callable[[], int], total: int) -> None:
        """Take the lock; while another process has it, tell how far that one is.

        Raises:
            StorageFailed, or what `check` raises.
        """
        ensure(self.path)
        report = self.reporter("download", total)
        while not self.lock.try_acquire():
            self._check()
            here = bytes_here()
            report(
                min(here, total) if total else here,
                _("{holder} is already fetching it").format(holder=self.lock.holder()),
            )
            time.sleep(POLL_S)

    def reporter(self, stage: Stage, total: int) -> Callable[[int, str], None]:
        """Turn bytes into progress events, at most ten a second and one at the end."""
        rate: TransferRate | None = None
        told = 0.0

        def report(done: int, note: str) -> None:
            nonlocal rate, told
            if rate is None:
                rate = TransferRate(done, total)  # what is there at the first call was not fetched now
            rate.update(done)
            if done < total and time.monotonic() - told < POLL_S * 0.9:
                return
            told = time.monotonic()
            self._on_progress(PullProgress(stage, done, total, rate.bytes_per_second, rate.seconds_left, note))

        return report

    def require_room(self, need: int, here: int) -> None:
        """Raise StorageFailed unless there is room for `need` bytes, of which `here` lie in the folder already."""
        need += _SPARE_BYTES
        free = shutil.disk_usage(self.path).free + here
        if free < need:
            raise StorageFailed(
                _(
                    "There is no room for the model: fetching and installing it takes {need} MB in {parent}, and "
                    "{free} MB are free."
                ).format(need=f"{need / 1000000.0:.0f}", parent=self.path.parent, free=f"{free / 1000000.0:.0f}"),
                _("Free some space, or point LOCALCHAT_CACHE_DIR at a folder on another disk."),
            )

    @contextlib.contextmanager
    def storage_errors(self) -> Iterator[None]:
        """Say in a sentence what the disk refuses; a callback's own errors, such as a broken pipe, pass."""
        try:
            yield
        except OSError as error:
            if error.errno not in _STORAGE_ERRORS:
                raise
            raise StorageFailed(
                _("The folder {path} cannot be written ({reason}).").format(
                    path=self.path, reason=error.strerror or error
                ),
                _("Make room there, or point LOCALCHAT_CACHE_DIR at another folder."),
            ) from error

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._check()
            time.sleep(POLL_S)
