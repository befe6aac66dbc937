"""From an installed model to a file or folder that other programs run: what `localchat export` does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from localchat.errors import InvalidSetting
from localchat.export.compressed_tensors import write_compressed
from localchat.export.formats import Format
from localchat.export.gguf import write_gguf
from localchat.export.model import open_for_export
from localchat.export.output import check_output
from localchat.translation import _


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and sentences for the user: how weights are held there, and what is not exactly as it was."""

    path: Path
    notes: tuple[str, ...]


@torch.inference_mode()
def export_model(
    folder: Path,
    format: Format,
    output: Path | None = None,
    *,
    force: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    check: Callable[[], None] = lambda: None,
) -> Exported:
    """Write the model in `folder` in another format.

    Args:
        folder: a model folder of ours.
        output: a file (gguf) or a folder; by default in the working directory, named after the model.
        force: replace what an earlier export wrote there.
        on_progress: called with the bytes of weights written, and their total.
        check: called between tensors; raises to abandon.

    Raises:
        BadWeights, UnsupportedModel: the model cannot be read, or the format cannot hold it.
        InvalidSetting: something is at `output` already.
        StorageFailed: the disk is full, or cannot be written.
    """
    if not folder.is_dir():
        raise InvalidSetting(
            _("{folder} is not an installed model.").format(folder=folder),
            _("Install it first: localchat import {folder}").format(folder=folder),
        )
    write, ending, replaceable = _WRITERS[format]
    path = (output or Path(f"{folder.name}{ending}")).expanduser()
    check_output(path, force=force, replaceable=replaceable)
    return Exported(path, tuple(write(open_for_export(folder), path, on_progress, check)))


def _is_gguf(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def _is_compressed(path: Path) -> bool:
    if not (path / "config.json").is_file():
        return False
    try:
        config = json.loads((path / "config.json").read_bytes())
    except ValueError:
        return False
    return isinstance(config, dict) and "quantization_config" in config


_WRITERS = {
    "gguf": (write_gguf, ".gguf", _is_gguf),
    "compressed-tensors": (write_compressed, "-compressed-tensors", _is_compressed),
}
