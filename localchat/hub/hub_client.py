"""Ask the hub what a repository holds and where its files are.

huggingface-hub knows the endpoint (HF_ENDPOINT), the token (HF_TOKEN or the stored one), offline mode, certificates and
proxies. The bytes themselves are moved by `localchat.hub.ranged`, which goes on from the very byte at which a
connection was cut and can be stopped at any moment; so hf-xet is not used.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.utils._headers import build_hf_headers

from localchat.errors import DownloadFailed
from localchat.hub.fingerprint import Fingerprint
from localchat.hub.hub_errors import hub_errors
from localchat.hub.hub_name import HubName
from localchat.hub.transfer_errors import TransferCut
from localchat.translation import _

_TIMEOUT_S = 20.0
_PAUSES_S = (1.0, 2.0, 4.0)
_LIBRARY = "localchat"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository: its path there, its size in bytes, and its hash."""

    path: str
    size: int
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class Repository:
    """What a repository holds at one commit. `licence` is what it says of itself, empty when it says nothing."""

    name: HubName
    commit: str
    licence: str
    files: Mapping[str, RemoteFile]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a file's bytes are for now, and the headers that only this address may see."""

    url: str
    secrets: Mapping[str, str]


class HubClient:
    """The hub, as one repository sees it.

    Args:
        wait: sleeps so many seconds, and raises to abandon.
    """

    def __init__(self, name: HubName, wait: Callable[[float], None]) -> None:
        self._name = name
        self._wait = wait
        logging.getLogger("huggingface_hub").setLevel(
            logging.ERROR
        )  # its warnings would be written across the progress

    @property
    def is_offline(self) -> bool:
        """Whether HF_HUB_OFFLINE forbids asking."""
        return constants.is_offline_mode()

    def trusted(self) -> ssl.SSLContext:
        """The certificates that huggingface-hub trusts here."""
        return httpx2.create_ssl_context()

    def here(self) -> Path | None:
        """The file, or the folder of the checkpoint, in huggingface-hub's own cache; None where it is not."""
        known_by = self._name.file or "config.json"
        found = try_to_load_from_cache(self._name.repository, known_by, revision=self._name.revision)
        if not isinstance(found, str):
            return None
        return Path(found) if self._name.file else Path(found).parent

    def repository(self) -> Repository:
        """What the repository holds.

        Raises:
            ModelNotFound: there is no such repository or revision, as far as we may see.
            DownloadFailed: no network, a token that is refused, an answer that is not understood.
        """
        api = HfApi(library_name=_LIBRARY)

        def ask() -> Repository:
            info = api.model_info(
                self._name.repository, revision=self._name.revision, files_metadata=True, timeout=_TIMEOUT_S
            )
            if not re.fullmatch("[0-9a-f]{40}", str(info.sha)):
                raise ValueError(f"{info.sha!r} is no commit")
            files = {item.rfilename: _file(item) for item in info.siblings or []}
            return Repository(self._name, str(info.sha), _licence(info.card_data), files)

        return self._patiently(ask)

    def address(self, repository: Repository, file: RemoteFile) -> Address:
        """Where `file` is; such addresses last for minutes.

        Raises:
            DownloadFailed: the licence must be accepted first, no network, or the file is another than was listed.
            ModelNotFound: it is gone.
        """
        url = hf_hub_url(self._name.repository, file.path, revision=repository.commit, endpoint=constants.ENDPOINT)
        found = self._patiently(lambda: get_hf_file_metadata(url, timeout=_TIMEOUT_S, library_name=_LIBRARY))
        if found.size not in (None, file.size) or not _may_be(found.etag, file.fingerprint):
            raise DownloadFailed(
                _("The hub contradicts itself about {path}: what it offers is not the file that it lists.").format(
                    path=file.path
                ),
                _("Try again; if it stays so, the hub or a proxy in between is damaged."),
            )
        same_server = urlsplit(found.location)[:2] == urlsplit(constants.ENDPOINT)[:2]
        token = build_hf_headers(library_name=_LIBRARY).get("authorization")
        return Address(found.location, {"Authorization": token} if token and same_server else {})

    def _patiently(self, ask: Callable[[], T]) -> T:
        for pause in _PAUSES_S:
            try:
                with hub_errors(self._name):
                    return ask()
            except TransferCut:
                self._wait(pause)
        with hub_errors(self._name):
            return ask()


def _licence(card: Any) -> str:
    """What the card of the repository says; authors of a licence of their own write "other" and its name."""
    named = [None if card is None else card.get(key) for key in ("license", "license_name")]
    words = [word for word in named if isinstance(word, str) and len(word) < 100]
    return words[-1] if words[:1] == ["other"] else "".join(words[:1])


def _file(listed: Any) -> RemoteFile:
    """A file as the hub lists it: with SHA-256 where it is large, with git's SHA-1 where it is small."""
    if type(listed.size) is not int or listed.size < 0:
        raise ValueError(f"the size of {listed.rfilename} is {listed.size!r}")
    if listed.lfs is not None:
        if listed.lfs.size != listed.size:
            raise ValueError(f"{listed.rfilename} has two sizes")
        return RemoteFile(listed.rfilename, listed.size, Fingerprint("sha256", listed.lfs.sha256))
    return RemoteFile(listed.rfilename, listed.size, Fingerprint("git-sha1", listed.blob_id))


def _may_be(etag: str | None, fingerprint: Fingerprint) -> bool:
    """Whether an ETag does not say that the content is another: hubs use the hash, mirrors use what they like."""
    if etag is None or len(etag) != len(fingerprint.value) or not re.fullmatch("[0-9a-f]+", etag):
        return True
    return etag == fingerprint.value
