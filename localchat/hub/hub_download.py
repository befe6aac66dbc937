"""Fetch a model from the hub: a GGUF file, or a checkpoint in safetensors.

    with HubDownload(name, on_progress=show, check=check) as download:
        found = download.find()                 # asks the hub
        path = download.fetch(understood)       # verified; kept until `discard`
        ...                                     # import it
        download.discard()

Everything lies in one folder of the cache, `downloads/hub-OWNER--REPOSITORY/files/`: each file under its own name, with
what came so far in NAME.part and the hash that it must have in NAME.sum. A file appears complete and verified or not at
all. What was cut or killed is continued by the next run, of another revision too where the file is the same in both.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType

import psutil

from localchat.errors import DownloadFailed
from localchat.hub.download_folder import DownloadFolder
from localchat.hub.http_answer import NotFetchableError
from localchat.hub.hub_choice import Choice, choose, model_name, weight_files
from localchat.hub.hub_client import HubClient, RemoteFile, Repository
from localchat.hub.hub_name import HubName
from localchat.hub.pull_events import Check, OnProgress, PullProgress
from localchat.hub.ranged import download
from localchat.translation import _

_PAUSE_S = 1.0
# The installed model is there before the download is removed. Relative to that, it is a third of bfloat16 in int4 and a
# half in int8, and as much as a GGUF file or more, where our formats are coarser.
_GROWTH = {"checkpoint": 0.55, "gguf": 1.3}


@dataclass(frozen=True, slots=True)
class FoundModel:
    """What the hub has under a name.

    Attributes:
        name: of the file or the repository.
        origin: the full name with its commit, to be kept with the model.
        licence: what the repository says, may be empty.
        why: one sentence where a file was chosen for the user, else empty.
    """

    name: str
    origin: str
    licence: str = ""
    why: str = ""


class HubDownload:
    """The right to fetch from one repository; entering waits while another process has it.

    Args:
        on_progress: called about ten times a second.
        check: called as often; raises to abandon.

    Raises (when entered): StorageFailed, or what `check` raises.
    """

    def __init__(self, name: HubName, *, on_progress: OnProgress = lambda _: None, check: Check = lambda: None) -> None:
        self._name = name
        self._on_progress = on_progress
        self._check = check
        self._folder = DownloadFolder(f"hub-{name.repository.replace('/', '--')}", on_progress, check)
        self._files = self._folder.path / "files"
        self._client = HubClient(name, self._folder.wait)
        self._remote: tuple[Repository, Choice] | None = None

    def __enter__(self) -> HubDownload:
        self._folder.enter(lambda: _bytes_in(self._files), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.lock.release()

    def find(self) -> FoundModel:
        """Ask the hub what there is.

        Raises:
            ModelNotFound: no such repository, revision or file, or several files and none is the obvious one.
            UnsupportedModel: nothing that can be used.
            DownloadFailed: no network, or a token or an accepted licence is needed.
        """
        self._on_progress(PullProgress("resolve"))
        if self._client.is_offline and self._client.here() is not None:
            file, repository = self._name.file, self._name.repository
            return FoundModel(model_name(file) if file else repository.partition("/")[2], str(self._name))
        remote = self._client.repository()
        choice = choose(remote, psutil.virtual_memory().total)
        self._remote = remote, choice
        file = choice.files[0].path if choice.is_gguf else ""
        origin = HubName(self._name.repository, file, remote.commit)
        return FoundModel(choice.name, str(origin), remote.licence, choice.why)

    def fetch(self, understood: Callable[[Path], None] = lambda _: None) -> Path:
        """The GGUF file (the first of its parts), or the folder of the checkpoint. After `find`.

        Args:
            understood: given the folder of a checkpoint when all but its weights is there; raises where the model
                cannot be used, before gigabytes travel.

        Raises:
            DownloadFailed: no network, or not the announced bytes. What can be continued is kept.
            StorageFailed: no room, or not writable.
        """
        if self._remote is None:
            path = self._client.here()
            assert path is not None
            return path
        repository, choice = self._remote
        with self._folder.storage_errors():
            self._files.mkdir(exist_ok=True)
            self._drop_all_but({PurePosixPath(path).name for path in repository.files})
            if choice.is_gguf:
                self._transfer(repository, choice.files, _GROWTH["gguf"])
                return self._place(choice.files[0])
            self._transfer(repository, choice.files, 0.0)
            understood(self._files)
            self._transfer(repository, weight_files(repository, self._files), _GROWTH["checkpoint"])
            return self._files

    def discard(self) -> None:
        """Remove what was fetched: the model is imported."""
        shutil.rmtree(self._files, ignore_errors=True)

    def _transfer(self, repository: Repository, files: Sequence[RemoteFile], growth: float) -> None:
        """Make all `files` complete here, with one count of bytes over all of them.

        Args:
            growth: what else will take room on the disk, relative to them.
        """
        for file in files:
            self._forget_another(file)
        total = sum(file.size for file in files)
        here = sum(_size(place) + _size(_part(place)) for place in map(self._place, files))
        self._folder.require_room(int(total * (1 + growth)), here)
        report = self._folder.reporter("download", total)
        done = 0
        for file in files:
            before = done
            if not self._place(file).is_file():
                self._transfer_one(repository, file, lambda here, before=before: report(before + here, ""))  # type: ignore[misc]
            done += file.size
            report(done, "")

    def _transfer_one(self, repository: Repository, file: RemoteFile, on_bytes: Callable[[int], None]) -> None:
        target = self._place(file)
        partial = _part(target)
        while True:
            before = _size(partial)
            address = self._client.address(repository, file)
            try:
                download(
                    address.url,
                    target,
                    fingerprint=file.fingerprint,
                    longest=file.size,
                    check=self._check,
                    on_bytes=on_bytes,
                    context=self._client.trusted(),
                    secrets=address.secrets,
                    pause_s=_PAUSE_S,
                )
                break
            except NotFetchableError as error:
                if _size(partial) <= before:  # not merely an address that has ended
                    raise DownloadFailed(
                        _("The model could not be fetched: the server of {path} refuses it ({error}).").format(
                            path=file.path, error=error
                        ),
                        _("Try again in a while."),
                    ) from error
        if _size(target) != file.size:
            target.unlink()
            raise DownloadFailed(
                _("The model could not be fetched: {path} is not of the size that the hub announced.").format(
                    path=file.path
                ),
                _("Try again; if it stays so, the hub or a proxy in between is damaged."),
            )

    def _place(self, file: RemoteFile) -> Path:
        name = PurePosixPath(file.path).name
        if name.startswith(".") or set(name) & set("\\:\0"):
            raise DownloadFailed(
                _("{repository} names a file {path}, which is no name for a file.").format(
                    repository=self._name.repository, path=repr(file.path)
                )
            )
        return self._files / name

    def _forget_another(self, file: RemoteFile) -> None:
        """Remove what is here of a file of this name with other content: of an earlier revision."""
        target = self._place(file)
        partial, sum_ = _part(target), target.with_name(target.name + ".sum")
        known = sum_.read_text("ascii") if sum_.is_file() else ""
        if known != str(file.fingerprint) or _size(partial) > file.size or _size(target) not in (0, file.size):
            target.unlink(missing_ok=True)
            partial.unlink(missing_ok=True)
            sum_.write_text(str(file.fingerprint), "ascii")

    def _drop_all_but(self, names: set[str]) -> None:
        """What the repository no longer has would only take room, or be taken for a part of the checkpoint."""
        for path in self._files.iterdir():
            if path.name.removesuffix(".part").removesuffix(".sum") not in names:
                path.unlink()


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _bytes_in(folder: Path) -> int:
    return sum(_size(path) for path in folder.glob("*"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
