"""`localchat edits count | export | erase`: what was taken and left of a model's changes, where that is kept."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from localchat.commands.passphrase import open_history
from localchat.config import load_config
from localchat.history.exporting import write_text
from localchat.translation import _, plural


def register(app: typer.Typer) -> None:
    edits = typer.Typer(
        help="Count, export or erase what you took and left of a model's changes.", no_args_is_help=True
    )
    app.add_typer(edits, name="edits")

    @edits.command()
    def count() -> None:
        """Say how many edits are kept, and whether more will be."""
        with open_history() as store:
            found = store.count_edits()
        print(plural("{count} edit is kept.", "{count} edits are kept.", found).format(count=found))
        kept = {"on": _("More will be."), "off": _("No more will be.")}
        print(kept.get(load_config().keep_edits, _("You will be asked whether more are to be.")))

    @edits.command()
    def export(target: Annotated[Path, typer.Argument(help="A file, or - for standard output.")]) -> None:
        """Write them all, each as a line of JSON."""
        with open_history() as store:
            lines = [f"{json.dumps(edit, ensure_ascii=False)}\n" for edit in store.edits()]
        if str(target) == "-":
            sys.stdout.buffer.write("".join(lines).encode())
        else:
            write_text(target, "".join(lines))
            print(plural("{count} edit was written to {path}.", "{count} edits were written to {path}.", len(lines))
                  .format(count=len(lines), path=target))  # fmt: skip

    @edits.command()
    def erase() -> None:
        """Remove them all for good."""
        with open_history() as store:
            found = store.erase_edits()
        print(plural("{count} edit was erased.", "{count} edits were erased.", found).format(count=found))
