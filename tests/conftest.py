"""Fixtures that every test may use: where the real models and the shared texts are, and a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from localchat.openmp import wait_briefly

wait_briefly()  # before any test imports torch
os.environ["LC_ALL"] = "C.UTF-8"  # the interface speaks English, whatever the developer does

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Oracles and texts that lie beside a checkout; tests that need them skip where they are not."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the shared folder with oracles and texts is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def test_models_dir() -> Path:
    return Path(os.environ.get("LOCALCHAT_TEST_MODELS") or Path.home() / ".cache/localchat-test-models")


def _model(folder: Path, file: str, name: str) -> Path:
    """The real model `name`, fetched once if the script that knows where from lies beside this checkout."""
    path, script = folder / file, ROOT.parent / "shared/scripts/fetch_models.py"
    if not path.is_file() and script.is_file():
        subprocess.run([sys.executable, str(script), "--to", str(folder), name], check=False, stdout=subprocess.DEVNULL)
    if not path.is_file():
        pytest.skip(f"{file} is not in {folder}; see README, Tests")
    return path


@pytest.fixture(scope="session")
def smollm2_gguf(test_models_dir: Path) -> Path:
    return _model(test_models_dir, "smollm2-135m-instruct-q4_1.gguf", "smollm2")


@pytest.fixture(scope="session")
def qwen_gguf(test_models_dir: Path) -> Path:
    return _model(test_models_dir, "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "qwen2.5-0.5b")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home: config, data, cache and state lie under it."""
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.delenv(f"LOCALCHAT_{name}_DIR", raising=False)
    monkeypatch.setenv("LOCALCHAT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def smollm2_home(smollm2_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which SmolLM2 is installed as `smollm2-135m`, int4. Tests may read it and must not write to it."""
    from localchat.hub.importer import import_model

    folder = tmp_path_factory.mktemp("smollm2-home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CONFIG", "DATA", "CACHE", "STATE"):
            patch.delenv(f"LOCALCHAT_{name}_DIR", raising=False)
        patch.setenv("LOCALCHAT_HOME", str(folder))
        import_model(smollm2_gguf, "smollm2-135m", bits=4, facts={"title": "SmolLM2 135M"})
    return folder


@pytest.fixture(scope="session")
def smollm2_folder(smollm2_home: Path) -> Path:
    return smollm2_home / "data/models/smollm2-135m"
