"""What is refused before an export begins, what a broken one leaves, and the command."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_exports import install, random_weights, spec_of

from localchat.commands.app import run
from localchat.errors import InvalidSetting, StorageFailed
from localchat.export.exporter import export_model
from localchat.export.formats import Format
from localchat.paths import models_dir
from quant.spec import QuantSpec

FORMATS: tuple[Format, ...] = ("gguf", "compressed-tensors")


@pytest.fixture
def tiny(home: Path) -> Path:  # noqa: ARG001
    """An installed model."""
    spec = spec_of("llama")
    return install(models_dir() / "tiny", spec, random_weights(spec, lambda _: QuantSpec(8, 32)))


def contents(path: Path) -> dict[str, bytes]:
    files = path.rglob("*") if path.is_dir() else [path]
    return {file.name: file.read_bytes() for file in files}


@pytest.mark.parametrize("format", FORMATS)
def test_an_earlier_export_is_replaced_only_with_force(tiny: Path, tmp_path: Path, format: Format) -> None:
    first = export_model(tiny, format, tmp_path / "out").path
    before = contents(first)
    with pytest.raises(InvalidSetting, match="--force"):
        export_model(tiny, format, tmp_path / "out")
    assert contents(export_model(tiny, format, tmp_path / "out", force=True).path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out"]


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_no_export_is_never_replaced(tiny: Path, tmp_path: Path, format: Format) -> None:
    (tmp_path / "letter").write_text("Dear all")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "letter")
    for path in (tmp_path / "letter", tmp_path / "folder", tmp_path / "link", tiny):
        with pytest.raises(InvalidSetting, match="not an export"):
            export_model(tiny, format, path, force=True)
    assert (tmp_path / "letter").read_text() == "Dear all"
    assert (tiny / "model.safetensors").is_file()


@pytest.mark.parametrize("format", FORMATS)
def test_no_room_is_said_before_anything_is_written(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: Format
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    with pytest.raises(StorageFailed, match="MB free"):
        export_model(tiny, format, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("after", [0, 1, 20])
def test_stopping_leaves_nothing_and_keeps_what_was_there(
    tiny: Path, tmp_path: Path, format: Format, after: int
) -> None:
    before = contents(export_model(tiny, format, tmp_path / "out").path)
    with pytest.raises(KeyboardInterrupt):
        export_model(tiny, format, tmp_path / "out", force=True, check=stop_after(after))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out"]
    assert contents(tmp_path / "out") == before


def stop_after(calls: int) -> Callable[[], None]:
    left = iter(range(calls))

    def check() -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return check


@pytest.mark.parametrize("format", FORMATS)
def test_progress_reaches_the_end(tiny: Path, tmp_path: Path, format: Format) -> None:
    seen: list[tuple[int, int]] = []
    path = export_model(tiny, format, tmp_path / "out", on_progress=lambda done, total: seen.append((done, total))).path
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]
    written = sum(map(len, contents(path).values()))
    assert 0.8 * written < seen[-1][1] <= written


def test_the_command_writes_here_by_default_and_prints_where(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["export", tiny.name, "--format", "gguf"]) == 0
    output = capsys.readouterr()
    assert output.out == "tiny.gguf\n"
    assert "No weight is changed" in output.err
    assert run(["export", tiny.name, "--format", "compressed-tensors"]) == 0
    assert (tmp_path / "tiny-compressed-tensors/config.json").is_file()


def test_an_unknown_format_names_the_known_ones(tiny: Path) -> None:
    with pytest.raises(InvalidSetting, match="gguf or compressed-tensors"):
        run(["export", tiny.name, "--format", "onnx"])


def test_a_file_is_not_an_installed_model(tiny: Path, tmp_path: Path) -> None:
    file = export_model(tiny, "gguf", tmp_path / "out.gguf").path
    with pytest.raises(InvalidSetting, match="localchat import"):
        export_model(file, "gguf", tmp_path / "again.gguf")
