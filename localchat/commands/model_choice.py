"""Which model a command runs: the one that was named, else the one in the settings, else the only or default one."""

from __future__ import annotations

from pathlib import Path

from localchat.commands.pull import pull_with_progress
from localchat.errors import ModelNotFound
from localchat.hub.catalogue import CatalogueEntry, catalogue, default_entry
from localchat.hub.installed import find_model, installed_models


def chosen_model(wanted: str | None) -> Path:
    """Folder or GGUF file of the model to run; a model of the catalogue that is not here yet is fetched first.

    Raises:
        ModelNotFound: `wanted` is neither installed, nor a path, nor in the catalogue.
    """
    if wanted is None:
        installed = [model.name for model in installed_models() if not model.damage]
        default = default_entry()
        if not installed or default.name in installed:
            return _installed_or_pulled(default)
        return find_model(installed[0])
    try:
        return find_model(wanted)
    except ModelNotFound:
        entry = next((entry for entry in catalogue() if entry.name == wanted), None)
        if entry is None:
            raise
        return _installed_or_pulled(entry)


def _installed_or_pulled(entry: CatalogueEntry) -> Path:
    try:
        return find_model(entry.name)
    except ModelNotFound:
        pull_with_progress(entry)
        return find_model(entry.name)
