"""Installed models: listed quickly, damaged ones too; found by name or path; removed without a trace."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localchat.errors import BadWeights, InvalidSetting, ModelNotFound
from localchat.hub.catalogue import default_entry
from localchat.hub.installed import find_model, installed_models, remove_model
from localchat.hub.model_names import is_model_name
from localchat.paths import models_dir

pytestmark = pytest.mark.usefixtures("home")

CONFIG: dict[str, Any] = {
    "name": "tiny",
    "title": "Tiny 1",
    "licence": "Apache-2.0",
    "family": "llama",
    "context_length": 128,
    "sampling": {"temperature": 0.2},
}
QUANTIZATION: dict[str, Any] = {
    "precision": "int4",
    "method": "rtn",
    "parameters": 1000,
    "file_bytes": 625,
    "bits_per_weight": 5,
    "created_at": "2026-01-02T03:04:05+00:00",
    "source": {},
    "tensors": {},
}


def install(name: str, config: Any = CONFIG, quantization: Any = QUANTIZATION) -> Path:
    folder = models_dir() / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "quantization.json").write_text(json.dumps(quantization), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def test_an_empty_machine_has_no_models() -> None:
    assert installed_models() == []


def test_models_are_listed_by_name_with_what_they_say_of_themselves() -> None:
    install("tiny")
    install("Alpha")
    assert [model.name for model in installed_models()] == ["Alpha", "tiny"]
    model = installed_models()[1]
    assert (model.title, model.architecture, model.precision, model.context_length) == ("Tiny 1", "llama", "int4", 128)
    assert (model.parameters, model.file_bytes, model.bits_per_weight) == (1000, 625, 5.0)
    assert (model.licence, model.created_at) == ("Apache-2.0", "2026-01-02T03:04:05+00:00")
    assert model.sampling == {"temperature": 0.2}
    assert model.usable


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.json", None, "config.json is missing"),
        ("quantization.json", None, "quantization.json is missing"),
        ("model.safetensors", None, "model.safetensors is missing"),
        ("config.json", b"{", "not valid JSON"),
        ("config.json", b"\xff\xfe", "not valid JSON"),
        ("config.json", b"[" * 100_000, "not valid JSON"),
        ("config.json", b"[]", "not a JSON object"),
        ("config.json", b"{}", "no usable 'title'"),
        ("quantization.json", json.dumps({**QUANTIZATION, "parameters": "many"}).encode(), "no usable 'parameters'"),
        ("quantization.json", json.dumps({**QUANTIZATION, "file_bytes": True}).encode(), "no usable 'file_bytes'"),
    ],
)
def test_a_damaged_model_is_listed_as_damaged_beside_the_others(file: str, content: bytes | None, said: str) -> None:
    install("good")
    path = install("tiny") / file
    path.unlink() if content is None else path.write_bytes(content)
    good, damaged = installed_models()
    assert good.usable
    assert said in damaged.damage
    with pytest.raises(BadWeights, match="localchat models remove tiny"):
        find_model("tiny")
    remove_model("tiny")
    assert [model.name for model in installed_models()] == ["good"]


def test_what_is_no_model_is_not_listed() -> None:
    install("tiny")
    (models_dir() / ".tiny.tmp").mkdir()
    (models_dir() / "notes.txt").write_text("")
    assert [model.name for model in installed_models()] == ["tiny"]


def test_a_model_is_found_by_name_by_folder_and_by_file(tmp_path: Path) -> None:
    folder = install("tiny")
    gguf = tmp_path / "some.gguf"
    gguf.write_bytes(b"GGUF")
    assert find_model("tiny") == folder
    assert find_model(str(folder)) == folder
    assert find_model(str(gguf)) == gguf


def test_an_installed_name_wins_over_a_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = install("tiny")
    monkeypatch.chdir(tmp_path)
    Path("tiny").write_bytes(b"GGUF")
    assert find_model("tiny") == folder
    assert find_model("./tiny") == Path("tiny")


def test_a_model_of_the_catalogue_that_is_not_here_is_told_how_to_get_it() -> None:
    name = default_entry().name
    with pytest.raises(ModelNotFound) as failed:
        find_model(name)
    assert failed.value.hint == f"Fetch it with `localchat pull {name}`."


def test_a_misspelt_name_is_told_the_closest() -> None:
    install("qwen-half")
    with pytest.raises(ModelNotFound, match=r"Did you mean qwen-half\?"):
        find_model("qwen-hlaf")


@pytest.mark.parametrize("name", ["", " ", "no/such/file.gguf", "x" * 5000, "nul\0byte", "zzz", "~nobody-here/x"])
def test_what_is_nowhere_is_not_found(name: str) -> None:
    with pytest.raises(ModelNotFound):
        find_model(name)


def test_a_folder_without_a_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="holds no model"):
        find_model(str(tmp_path))


def test_a_removed_model_is_gone_and_so_is_what_an_earlier_removal_left() -> None:
    install("tiny")
    install(".trash-0123")
    remove_model("tiny")
    assert list(models_dir().iterdir()) == []
    with pytest.raises(ModelNotFound):
        remove_model("tiny")


def test_removing_a_linked_model_keeps_what_the_link_points_to(tmp_path: Path) -> None:
    install("tiny").rename(tmp_path / "elsewhere")
    (models_dir() / "tiny").symlink_to(tmp_path / "elsewhere")
    remove_model("tiny")
    assert (tmp_path / "elsewhere" / "config.json").is_file()
    assert installed_models() == []


@pytest.mark.parametrize(
    "name", ["..", ".", "../other", "a/b", "a\\b", "", ".hidden", "-m", "a b", "a.", "nul", "COM1.x"]
)
def test_no_name_leads_out_of_the_folder_of_models(name: str) -> None:
    install("tiny")
    assert not is_model_name(name)
    with pytest.raises(InvalidSetting):
        remove_model(name)
    assert [model.name for model in installed_models()] == ["tiny"]


@pytest.mark.parametrize("name", ["a", "smollm2-135m", "Qwen2.5_0.5B", "通义", "x" * 64])
def test_ordinary_names_are_allowed(name: str) -> None:
    assert is_model_name(name)


def test_listing_models_imports_nothing_heavy() -> None:
    code = (
        "import sys; from localchat.hub import catalogue, installed, package_index, pull_job\n"
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "False"]
