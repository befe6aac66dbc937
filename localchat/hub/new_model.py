"""The folder of a model that was just made from a source: what is written into it, whoever quantized the weights."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localchat.errors import InvalidSetting
from localchat.model.decoder import Weight
from localchat.model.families import parameter_count
from localchat.model.load import precision
from localchat.model.sources import WeightSource
from localchat.model.stored import to_stored
from localchat.paths import ensure, models_dir
from localchat.text.chat_text import ChatText
from localchat.translation import _
from localchat.weights.model_folder import write_model_folder


@dataclass(frozen=True, slots=True)
class Imported:
    """A model that was just installed.

    Attributes:
        has_own_template: False when the source had no chat template.
        could_be_better: weights of full precision were rounded, which `localchat quantize` does better.
    """

    name: str
    folder: Path
    has_own_template: bool
    could_be_better: bool = False


def write_model(
    path: Path,
    name: str,
    source: WeightSource,
    weights: Mapping[str, Weight],
    text: ChatText,
    *,
    method: str,
    facts: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Install what `weights` became of the source at `path`, under `name`, and return its folder.

    Args:
        method: how they were quantized, in words.
        facts: what else config.json should say; `about`: what else quantization.json should.

    Raises:
        StorageFailed: the folder cannot be written.
    """
    tensors, layout = to_stored(weights)
    total = parameter_count(source.spec)
    file_bytes = sum(tensor.nbytes for tensor in tensors.values())
    quantization = {
        "precision": precision(weights),
        "method": method,
        "parameters": total,
        "file_bytes": file_bytes,
        "bits_per_weight": 8 * file_bytes / total,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": fingerprint(path),
        **(about or {}),
        **layout,
    }
    config = {
        "name": name,
        "title": name,
        "licence": "",
        "sampling": {},
        **source.facts,
        **(facts or {}),
        **source.spec.to_dict(),
    }
    folder = ensure(models_dir()) / name
    write_model_folder(folder, config, tensors, quantization, text.files())
    return folder


def fingerprint(path: Path) -> dict[str, str]:
    """What a model was made of: a file's hash, or that of a checkpoint's configuration."""
    described = path if path.is_file() else path / "config.json"
    with described.open("rb") as file:
        return {"file": path.resolve().name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def name_from(path: Path) -> str:
    """A model's name, made from that of a file or folder.

    Raises:
        InvalidSetting: nothing is left of it.
    """
    stem = re.sub(r"-\d{5}-of-\d{5}$", "", path.stem) if path.is_file() else path.resolve().name
    name = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")
    if not name:
        raise InvalidSetting(_("No name can be made from {path}.").format(path=path), _("Give one with --name."))
    return name
