"""The models on this machine: list, find, remove. Reads small JSON files only, so it is quick and imports no torch."""

from __future__ import annotations

import difflib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localchat.errors import BadWeights, ModelNotFound, StorageFailed
from localchat.hub.catalogue import catalogue
from localchat.hub.model_names import check_model_name, is_model_name
from localchat.paths import models_dir
from localchat.translation import _

_TRASH = ".trash-"  # no model's name begins with a dot, so the list never shows it
_LARGEST_JSON = 64 << 20  # bytes; thousands of tensors are described in a fraction of it


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """One folder of `models/`.

    Attributes:
        architecture: the family, "llama".
        precision: "int4", "int8", ...
        file_bytes: of the weights; bits_per_weight: over all weights, scales included.
        sampling: what the model's authors recommend.
        created_at: when it was imported, ISO 8601.
        longest_context: tokens that may be asked for: more than `context_length` where its authors declare how.
        origin: what the hub calls it, with its commit; empty when it came from elsewhere.
        damage: why it cannot be used, one short clause; empty when all is well. The other fields are then empty.
    """

    name: str
    path: Path
    title: str
    architecture: str = ""
    precision: str = ""
    parameters: int = 0
    file_bytes: int = 0
    bits_per_weight: float = 0.0
    context_length: int = 0
    licence: str = ""
    created_at: str = ""
    origin: str = ""
    sampling: Mapping[str, float] = field(default_factory=dict)
    longest_context: int = 0
    damage: str = ""

    @property
    def usable(self) -> bool:
        return not self.damage


def installed_models() -> list[InstalledModel]:
    """All installed models by name, damaged ones too. Empty when none was ever installed.

    Raises:
        StorageFailed: the folder of models cannot be read.
    """
    try:
        folders = [folder for folder in models_dir().iterdir() if is_model_name(folder.name) and folder.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageFailed(
            _("The folder {path} cannot be read ({reason}).").format(path=models_dir(), reason=error.strerror or error)
        ) from error
    return [read_model(folder) for folder in sorted(folders, key=lambda folder: folder.name.casefold())]


def read_model(folder: Path) -> InstalledModel:
    """What a model folder says about itself; never raises for what is inside it."""
    try:
        config = _read_json(folder / "config.json")
        quantization = _read_json(folder / "quantization.json")
        if not (folder / "model.safetensors").is_file():
            raise _DamageError(_("model.safetensors is missing"))
        sampling = config.get("sampling") or {}
        return InstalledModel(
            name=folder.name,
            path=folder,
            title=_take(config, "title", str, "config.json") or folder.name,
            architecture=_take(config, "family", str, "config.json"),
            precision=_take(quantization, "precision", str, "quantization.json"),
            parameters=_take(quantization, "parameters", int, "quantization.json"),
            file_bytes=_take(quantization, "file_bytes", int, "quantization.json"),
            bits_per_weight=float(_take(quantization, "bits_per_weight", (int, float), "quantization.json")),
            context_length=_take(config, "context_length", int, "config.json"),
            licence=_take(config, "licence", str, "config.json"),
            created_at=_take(quantization, "created_at", str, "quantization.json"),
            origin=_take({"origin": "", **config}, "origin", str, "config.json"),
            sampling=sampling if isinstance(sampling, dict) else {},
            longest_context=_longest_context(config),
        )
    except _DamageError as damage:
        return InstalledModel(name=folder.name, path=folder, title=folder.name, damage=str(damage))


def _longest_context(config: Mapping[str, Any]) -> int:
    """Tokens of the longest context that can be asked for; what is declared wrongly is found out when that happens."""
    trained: int = _take(config, "context_length", int, "config.json")
    try:
        declared = config["long_context"]
        return max(trained, int(declared["factor"] * declared["original_max_position_embeddings"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return trained


def find_model(name_or_path: str) -> Path:
    """Where a model is: an installed name, a folder that holds one, or a file.

    An installed name wins over a file of the same name; write `./NAME` for the file.

    Raises:
        ModelNotFound: there is nothing of this name; the hint says how to get it, or the closest names.
        BadWeights: it is installed, but damaged.
    """
    if is_model_name(name_or_path) and (models_dir() / name_or_path).is_dir():
        model = read_model(models_dir() / name_or_path)
        if model.damage:
            hint = _("Remove it with `localchat models remove {name}`, then fetch or import it again.")
            raise BadWeights(
                _("The model {name} is damaged: {damage}.").format(name=model.name, damage=model.damage),
                hint.format(name=model.name),
            )
        return model.path
    if not name_or_path.strip():
        raise ModelNotFound(_("The name of the model is empty."), _("`localchat models` lists what is installed."))
    path = Path(os.path.expanduser(name_or_path))  # noqa: PTH111 (the method raises where there is no such user)
    try:
        if path.is_file() or (path / "config.json").is_file():
            return path
        is_folder = path.is_dir()
    except (OSError, ValueError):  # too long for a path, or with a zero byte in it: not a path, then
        is_folder = False
    if is_folder:
        raise ModelNotFound(
            _("The folder {path} holds no model.").format(path=path), _("A model folder has a config.json in it.")
        )
    raise ModelNotFound(
        _("There is no model {name} here.").format(name=repr(name_or_path)),
        _where_to_find(name_or_path),
    )


def remove_model(name: str) -> None:
    """Delete an installed model, damaged or not. It is gone from the list at once, whatever happens after.

    Raises:
        ModelNotFound: there is none of this name. InvalidSetting: it cannot be a name.
        StorageFailed: the folder of models cannot be written.
    """
    folder = models_dir() / check_model_name(name)
    if not folder.is_dir() and not folder.is_symlink():
        raise ModelNotFound(
            _("There is no model {name} to remove.").format(name=repr(name)),
            _closest(name) or _("`localchat models` lists them."),
        )
    trash = models_dir() / f"{_TRASH}{secrets.token_hex(8)}"
    try:
        folder.rename(trash)
    except OSError as error:
        raise StorageFailed(
            _("The model {name} cannot be removed ({reason}).").format(name=name, reason=error.strerror or error),
            _("Is {path} writable?").format(path=models_dir()),
        ) from error
    for leftover in models_dir().glob(f"{_TRASH}*"):  # also what an earlier removal, killed midway, left behind
        if leftover.is_symlink():
            leftover.unlink(missing_ok=True)  # the link was ours, what it points to is not
        else:
            shutil.rmtree(leftover, ignore_errors=True)


def _where_to_find(name: str) -> str:
    if any(entry.name == name for entry in catalogue()):
        return _("Fetch it with `localchat pull {name}`.").format(name=name)
    return _closest(name) or _("`localchat models` lists what is installed.")


def _closest(name: str) -> str:
    """A hint with names that look like `name`; empty when none does."""
    names = {model.name: "" for model in installed_models()}
    for entry in catalogue():
        names.setdefault(entry.name, _(" (fetch it with `localchat pull {name}`)").format(name=entry.name))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.65)
    if not close:
        return ""
    return _("Did you mean {name}?").format(name=_(" or ").join(found + names[found] for found in close))


class _DamageError(Exception):
    """A model folder is not what it should be; the text says how."""


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise _DamageError(_("{name} is too large").format(name=path.name))
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _DamageError(_("{name} is missing").format(name=path.name)) from None
    except OSError as error:
        raise _DamageError(
            _("{name} cannot be read ({reason})").format(name=path.name, reason=error.strerror or error)
        ) from error
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or nested without end
        raise _DamageError(_("{name} is not valid JSON").format(name=path.name)) from error
    if not isinstance(data, dict):
        raise _DamageError(_("{name} is not a JSON object").format(name=path.name))
    return data


def _take(data: Mapping[str, Any], key: str, kind: type[Any] | tuple[type[Any], ...], file: str) -> Any:
    value = data.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _DamageError(_("{file} has no usable {key!r}").format(file=file, key=key))
    return value
