"""A model in our own format: a folder that is either whole or not there.

`config.json` (what the model is), `model.safetensors` (its weights, mapped when read), `quantization.json` (how each
tensor is held and where it came from), and the tokenizer's files. It is written beside its place under another name
and renamed, so a crash, a full disk or Ctrl+C never leaves half a model under a model's name. Folders whose names begin
with a dot are such unfinished ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from localchat.errors import BadWeights, StorageFailed
from localchat.translation import _, mark
from localchat.weights.safetensors_file import SINGLE_NAME, SafetensorsFile
from localchat.weights.safetensors_writer import write_safetensors

CONFIG_NAME = "config.json"
QUANTIZATION_NAME = "quantization.json"
WEIGHTS_DIGEST = "weights_sha256"
"""Key of quantization.json: the SHA-256 of model.safetensors."""
_OWN_NAMES = {CONFIG_NAME, QUANTIZATION_NAME, SINGLE_NAME}
_AGAIN = mark("Remove the model and fetch or import it again.")


@dataclass(frozen=True)
class ModelFolder:
    """An open model: its two descriptions, and its weights, which are read when used."""

    path: Path
    config: dict[str, Any]
    quantization: dict[str, Any]
    weights: SafetensorsFile


def open_model_folder(folder: Path) -> ModelFolder:
    """Open what `write_model_folder` wrote.

    Raises:
        BadWeights: a file is missing or damaged; says which.
    """
    if not folder.is_dir():
        raise BadWeights(_("{folder} is not a model folder.").format(folder=folder), _(_AGAIN))
    config, quantization = _read_json(folder / CONFIG_NAME), _read_json(folder / QUANTIZATION_NAME)
    return ModelFolder(folder, config, quantization, SafetensorsFile(folder / SINGLE_NAME))


def write_model_folder(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    quantization: Mapping[str, Any],
    extra_files: Mapping[str, bytes],
) -> None:
    """Write a model; a model that is there under this name is replaced once the new one is complete.

    Args:
        extra_files: the tokenizer's files and the like, by plain file name.

    Raises:
        StorageFailed: the disk is full, or the folder or its parent cannot be written.
        ValueError: the name of an extra file is not plain, or taken.
    """
    for name in extra_files:
        if not name or name in _OWN_NAMES or Path(name).name != name or name.startswith("."):
            raise ValueError(f"{name!r} cannot be the name of a further file of a model")
    texts = {CONFIG_NAME: _to_json(config), **extra_files}
    with _storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.unfinished")
        try:
            unfinished.mkdir()
            with _new_file(unfinished / SINGLE_NAME) as file:
                hashed = _Hashed(file)
                write_safetensors(hashed, tensors, {"format": "pt"})
            texts[QUANTIZATION_NAME] = _to_json({**quantization, WEIGHTS_DIGEST: hashed.digest.hexdigest()})
            for name, content in texts.items():
                with _new_file(unfinished / name) as file:
                    file.write(content)
            _sync_folder(unfinished)
            _move_into_place(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)  # nothing is there after a success


def read_quantization(folder: Path) -> dict[str, Any]:
    """How the tensors of a model are held, and where it came from.

    Raises:
        BadWeights: the file is missing or damaged.
    """
    return _read_json(folder / QUANTIZATION_NAME)


def add_to_quantization(folder: Path, further: Mapping[str, Any]) -> None:
    """Put more keys into the quantization.json of a model that is there, all at once or not at all.

    Raises:
        BadWeights: it cannot be read. StorageFailed: it cannot be written.
    """
    path = folder / QUANTIZATION_NAME
    content = {**_read_json(path), **further}
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.unfinished")
    with _storage_errors(folder):
        try:
            with _new_file(unfinished) as file:
                file.write(_to_json(content))
            unfinished.replace(path)
            _sync_folder(folder)
        finally:
            unfinished.unlink(missing_ok=True)


class _Hashed:
    """A file that knows the SHA-256 of what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self.digest = hashlib.sha256()
        self._file = file

    def write(self, data: bytes | memoryview) -> None:
        self.digest.update(data)
        self._file.write(data)


def _move_into_place(unfinished: Path, folder: Path) -> None:
    """Rename; what stood there before moves away first and comes back if the rename fails."""
    replaced = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.replaced")
    existed = folder.exists()
    if existed:
        folder.rename(replaced)
    try:
        unfinished.rename(folder)
    except OSError:
        if existed:
            replaced.rename(folder)
        raise
    _sync_folder(folder.parent)
    if existed:
        shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            _("The model cannot be written to {folder} ({reason}).").format(
                folder=folder, reason=error.strerror or error
            ),
            _("Free some space or make the folder writable, then try again."),
        ) from error


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that is on the disk, not merely in memory, when it is closed."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut; where folders cannot be opened (Windows), they do anyway."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _to_json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(dict(content), ensure_ascii=False, indent=2) + "\n").encode()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise BadWeights(_("{path} is missing.").format(path=path), _(_AGAIN)) from error
    except OSError as error:
        raise BadWeights(
            _("{path} cannot be read ({reason}).").format(path=path, reason=error.strerror or error), _(_AGAIN)
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadWeights(_("{path} is damaged: it is not JSON.").format(path=path), _(_AGAIN)) from error
    if not isinstance(content, dict):
        raise BadWeights(_("{path} is damaged: it is not a JSON object.").format(path=path), _(_AGAIN))
    return content
