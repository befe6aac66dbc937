"""`localchat cache`: what the model read of conversations, kept on disk so that they go on at once."""

from __future__ import annotations

import typer

from localchat.config import load_config
from localchat.engine.prefix_store_files import bytes_taken, delete_all_snapshots, disk_budget, snapshots_dir
from localchat.translation import _


def register(app: typer.Typer) -> None:
    cache = typer.Typer(help="What the model read of conversations, kept on disk so that they go on at once.")
    app.add_typer(cache, name="cache", no_args_is_help=False, invoke_without_command=True, callback=_show)

    @cache.command()
    def clear() -> None:
        """Delete it. Conversations stay; a long one is read again when it goes on."""
        taken = bytes_taken()
        delete_all_snapshots()
        print(_("{size} MB are free again.").format(size=megabytes(taken)))


def _show(context: typer.Context) -> None:
    """What the model read of conversations, kept on disk so that they go on at once."""
    if context.invoked_subcommand is None:
        print(in_words())


def in_words() -> str:
    """What is kept, where, and how much that may become."""
    wish = load_config().cache_disk
    budget = disk_budget(None if wish is None else wish * 1_000_000)
    return _("{folder}, {size} MB of at most {budget} MB").format(
        folder=snapshots_dir(), size=megabytes(bytes_taken()), budget=megabytes(budget)
    )


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f}"
