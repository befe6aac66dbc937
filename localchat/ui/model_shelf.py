"""The models that this machine has or could have, as the interface needs them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from localchat.errors import LocalChatError, ModelNotFound
from localchat.hub.pull_events import PullDone, PullProgress
from localchat.paths import models_dir
from localchat.translation import _


class Fetching(Protocol):
    """A download under way; `hub.pull_job.PullJob` is one."""

    def events(self) -> AsyncIterator[PullProgress | PullDone]: ...

    async def cancel(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that may be picked. `path` is None while it must be fetched first.

    Attributes:
        precision: "int4", "int8", ...
        size: bytes, on disk or to download.
        memory: bytes that it takes to run it with a context of 4096 tokens; 0 while unknown.
        damage: why it cannot be used; empty when it can.
    """

    name: str
    title: str
    precision: str
    size: int
    parameters: int
    memory: int = 0
    description: str = ""
    publisher: str = ""
    licence: str = ""
    path: Path | None = None
    damage: str = ""


@dataclass(frozen=True, slots=True)
class MachineMemory:
    """Of this machine, bytes: all there is, and what programs may still take."""

    total: int
    free: int


class ModelShelf:
    """Reads small files only; everything is imported when first asked for, so that the first frame does not wait."""

    def __init__(self, make_job: Callable[[str], Fetching] | None = None) -> None:
        self._make_job = make_job

    def is_empty(self) -> bool:
        """Whether no model was ever installed; quick enough to be asked before the first frame."""
        try:
            return not any(folder.is_dir() and folder.name[:1] != "." for folder in models_dir().iterdir())
        except OSError:
            return True

    def installed(self) -> list[ModelChoice]:
        from localchat.hub.installed import installed_models

        return [
            ModelChoice(
                name=model.name,
                title=model.title,
                precision=model.precision,
                size=model.file_bytes,
                parameters=model.parameters,
                memory=0 if model.damage else _memory(model.path),
                licence=model.licence,
                path=model.path,
                damage=model.damage,
            )
            for model in installed_models()
        ]

    def fetchable(self) -> list[ModelChoice]:
        """What the catalogue offers beyond what is installed."""
        from localchat.hub.catalogue import catalogue

        here = {model.name for model in self.installed()}
        return [_offer(entry) for entry in catalogue() if entry.name not in here]

    def machine_memory(self) -> MachineMemory:
        """What there is for models."""
        import psutil

        from localchat.model.memory import free_memory

        return MachineMemory(psutil.virtual_memory().total, free_memory())

    def offer(self, name: str | None) -> ModelChoice:
        """The catalogue's entry of this name, or its default.

        Raises:
            ModelNotFound: it has none of this name.
        """
        from localchat.hub.catalogue import default_entry, find

        return _offer(default_entry() if name is None else find(name))

    def to_start(self, wanted: str | None) -> ModelChoice:
        """The model to begin with: the one that the settings name, else the catalogue's default, else any.

        Raises:
            ModelNotFound: nothing that is wanted is installed. BadWeights: what is wanted is damaged.
        """
        usable = [model for model in self.installed() if not model.damage]
        if wanted is not None:
            from localchat.hub.installed import find_model

            path = find_model(wanted)
            named = next((model for model in usable if model.path == path), None)
            return named or ModelChoice(path.stem, path.stem, "", 0, 0, path=path)
        if not usable:
            raise ModelNotFound(_("No model is installed."), _("Ctrl+O fetches one."))
        try:
            default = self.offer(None).name
        except LocalChatError:
            default = ""
        return next((model for model in usable if model.name == default), usable[0])

    def fetch(self, name: str) -> Fetching:
        """A download of a model of the catalogue, not yet begun."""
        if self._make_job is not None:
            return self._make_job(name)
        from localchat.hub.pull_job import PullJob

        return PullJob(name)


def _memory(folder: Path) -> int:
    """See `ModelChoice`; what a folder says wrong about itself is found out when it is loaded."""
    from localchat.model.memory import USUAL_CONTEXT, read_footprint

    try:
        footprint = read_footprint(folder)
    except LocalChatError:
        return 0
    return footprint.plan(min(USUAL_CONTEXT, footprint.spec.context_length)).total


def _offer(entry: object) -> ModelChoice:
    from localchat.hub.catalogue import CatalogueEntry

    assert isinstance(entry, CatalogueEntry)
    return ModelChoice(
        name=entry.name,
        title=entry.title,
        precision=f"int{entry.bits}",
        size=entry.source.download_bytes,
        parameters=entry.parameters,
        memory=entry.memory_bytes,
        description=entry.description,
        publisher=entry.publisher,
        licence=entry.licence,
    )
