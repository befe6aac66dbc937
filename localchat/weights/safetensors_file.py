"""Safetensors, mapped: one file, or the shards of a checkpoint that an index file lists.

The `safetensors` library checks the header against the file's size; what is checked here is what lies around it. No
other format is read: a checkpoint in pickle would run its author's code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from localchat.errors import BadWeights
from localchat.translation import _, mark

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
_AGAIN = mark("Fetch the model again.")


class SafetensorsFile:
    """The tensors of a `.safetensors` file, or of a folder with `model.safetensors` or its index and shards.

    Attributes:
        metadata: the texts that the header carries; those of the first shard where there are several.
        names: of all tensors.

    Raises:
        BadWeights: missing, truncated, damaged, or there are only weights in pickle.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            self._shards = _open_folder(self.path)
        else:
            shard = _open(self.path)
            self._shards = dict.fromkeys(shard.keys(), shard)
        first = next(iter(self._shards.values()), None)
        self.metadata: Mapping[str, str] = MappingProxyType(dict((first.metadata() if first else None) or {}))
        self.names: tuple[str, ...] = tuple(self._shards)

    def __contains__(self, name: str) -> bool:
        return name in self._shards

    def tensor(self, name: str) -> Tensor:
        """The tensor as stored, in the mapped file: nothing is copied, and nothing may be written into it.

        Raises:
            BadWeights: there is no such tensor.
        """
        if name not in self._shards:
            raise BadWeights(_("{path} has no tensor {name}.").format(path=self.path, name=name), _(_AGAIN))
        try:
            tensor: Tensor = self._shards[name].get_tensor(name)
        except (SafetensorError, OSError, RuntimeError, ValueError) as error:
            raise BadWeights(
                _("The tensor {name} in {path} cannot be read ({error}).").format(
                    name=name, path=self.path, error=error
                ),
                _(_AGAIN),
            ) from error
        return tensor


def _open(path: Path) -> Any:  # safe_open has no public type of its own
    if not path.is_file():
        raise BadWeights(_("{path} is missing.").format(path=path), _(_AGAIN))
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise BadWeights(
            _("{path} is not a usable safetensors file ({error}).").format(path=path, error=error), _(_AGAIN)
        ) from error


def _open_folder(folder: Path) -> dict[str, Any]:
    """Tensor names to the open file that has each."""
    if (folder / SINGLE_NAME).is_file():
        single = _open(folder / SINGLE_NAME)
        return dict.fromkeys(single.keys(), single)
    if not (folder / INDEX_NAME).is_file():
        if len(files := list(folder.glob("*.safetensors"))) == 1:  # under another name, as older quantized ones are
            single = _open(files[0])
            return dict.fromkeys(single.keys(), single)
        if any(folder.glob("pytorch_model*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth")):
            raise BadWeights(
                _("{folder} has its weights in pickle only, which can run code and is never read.").format(
                    folder=folder
                ),
                _("Take a checkpoint in safetensors, or convert this one."),
            )
        raise BadWeights(
            _("{folder} has no {single_name} and no {index_name}.").format(
                folder=folder, single_name=SINGLE_NAME, index_name=INDEX_NAME
            ),
            _(_AGAIN),
        )
    return _open_shards(folder, _read_index(folder / INDEX_NAME))


def _open_shards(folder: Path, weight_map: dict[str, str]) -> dict[str, Any]:
    opened = {shard: _open(folder / shard) for shard in sorted(set(weight_map.values()))}
    names = {shard: set(file.keys()) for shard, file in opened.items()}
    for tensor, shard in weight_map.items():
        if tensor not in names[shard]:
            raise BadWeights(
                _("{shard} lacks the tensor {tensor} that {index_name} lists.").format(
                    shard=folder / shard, tensor=tensor, index_name=INDEX_NAME
                ),
                _(_AGAIN),
            )
    return {tensor: opened[shard] for tensor, shard in weight_map.items()}


def _read_index(path: Path) -> dict[str, str]:
    """Tensor name to shard name; a shard must lie in the folder of the index."""
    try:
        weight_map = json.loads(path.read_text("utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadWeights(_("{path} is not a usable index of shards.").format(path=path), _(_AGAIN)) from error
    if not isinstance(weight_map, dict) or not weight_map:
        raise BadWeights(_("{path} lists no tensors.").format(path=path), _(_AGAIN))
    for shard in weight_map.values():
        plain = isinstance(shard, str) and shard.endswith(".safetensors") and not set(shard) & set("/\\\0:")
        if not plain:
            raise BadWeights(
                _("{path} names {shard!r}, which is not a safetensors file beside it.").format(path=path, shard=shard),
                _(_AGAIN),
            )
    return weight_map
