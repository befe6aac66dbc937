"""The folder of a quantization that is under way: what is finished, so that it can go on after an interruption."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from localchat.errors import BadWeights, StorageFailed
from localchat.model.decoder import Weight
from localchat.model.stored import PARTS, to_stored
from localchat.translation import _
from localchat.weights.safetensors_file import SafetensorsFile
from localchat.weights.safetensors_writer import write_safetensors
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

_SETTINGS = "settings.json"
_FORMATS = "formats.json"


class QuantizeWork:
    """Finished layers by number, and the formats that were chosen.

    What was kept under other settings is removed.

    Args:
        folder: whose name begins with a dot, so that no list of models shows it.
        settings: all that the result depends on, as JSON knows it.

    Raises:
        StorageFailed: the folder cannot be written; any method may raise it too.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder = folder
        wanted = json.loads(json.dumps(dict(settings)))
        if self._read(_SETTINGS) != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            self._write(_SETTINGS, wanted)

    def formats(self) -> dict[str, QuantSpec] | None:
        """The spec of each tensor, if it was chosen before."""
        try:
            return {name: QuantSpec.from_metadata(spec) for name, spec in (self._read(_FORMATS) or {}).items()} or None
        except ValueError:
            return None

    def keep_formats(self, specs: Mapping[str, QuantSpec]) -> None:
        self._write(_FORMATS, {name: spec.to_metadata() for name, spec in specs.items()})

    def layer(self, index: int) -> dict[str, Weight] | None:
        """A finished layer, by the names within it, mapped; None where it is not there or not whole."""
        path = self._layer_path(index)
        if not path.exists():
            return None
        try:
            file = SafetensorsFile(path)
            described = json.loads(file.metadata["tensors"])
            weights: dict[str, Weight] = {}
            for name, (shape, spec) in described.items():
                if spec is None:
                    weights[name] = file.tensor(name)
                else:
                    stored = [part for part in PARTS if f"{name}.{part}" in file]
                    parts = {part: file.tensor(f"{name}.{part}") for part in stored}
                    weights[name] = QuantTensor.from_parts(QuantSpec.from_metadata(spec), (shape[0], shape[1]), parts)
        except (BadWeights, ValueError, KeyError, TypeError):
            return None
        return weights

    def keep_layer(self, index: int, weights: Mapping[str, Weight]) -> None:
        tensors, layout = to_stored(weights)
        described = {name: (list(weight.shape), layout["tensors"].get(name)) for name, weight in weights.items()}
        self._put(self._layer_path(index), tensors, {"tensors": json.dumps(described)})

    def remove(self) -> None:
        """All is done and stored elsewhere."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _layer_path(self, index: int) -> Path:
        return self._folder / f"layer-{index:04d}.safetensors"

    def _put(self, path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
        unfinished = path.with_suffix(".unfinished")
        try:
            with unfinished.open("wb") as file:
                write_safetensors(file, tensors, metadata)
            unfinished.replace(path)
        except OSError as error:
            raise _storage_failed(self._folder, error) from error

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self._folder / name).read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def _write(self, name: str, content: object) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            unfinished = self._folder / f"{name}.unfinished"
            unfinished.write_text(json.dumps(content), "utf-8")
            unfinished.replace(self._folder / name)
        except OSError as error:
            raise _storage_failed(self._folder, error) from error


def _storage_failed(folder: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        _("The layers that are finished cannot be kept in {folder} ({reason}).").format(
            folder=folder, reason=error.strerror or error
        ),
        _("Free some space or make the folder writable, then try again."),
    )
