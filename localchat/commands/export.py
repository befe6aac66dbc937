"""`localchat export NAME --format F`: write an installed model as other programs read it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from localchat.commands.progress import ProgressLine
from localchat.export.formats import FORMATS, as_format
from localchat.translation import _


def register(app: typer.Typer) -> None:
    @app.command()
    def export(
        name: Annotated[str, typer.Argument(help="An installed model.")],
        format: Annotated[str, typer.Option("--format", help=_("{names}.").format(names=_(" or ").join(FORMATS)))],
        output: Annotated[
            Path | None,
            typer.Option(help="The file or folder to write; by default NAME.gguf or NAME-compressed-tensors, here."),
        ] = None,
        force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    ) -> None:
        """Write an installed model as a GGUF file, or as a folder for transformers and vLLM."""
        wanted = as_format(format)
        from localchat.export.exporter import export_model
        from localchat.hub.installed import find_model

        folder = find_model(name)
        with ProgressLine() as line:
            exported = export_model(
                folder,
                wanted,
                output,
                force=force,
                on_progress=lambda done, total: line.show(
                    _("Writing"),
                    done / total,
                    _("{done} of {total} MB").format(
                        done=f"{done / 1000000.0:,.0f}", total=f"{total / 1000000.0:,.0f}"
                    ),
                ),
            )
        for note in exported.notes:
            print(f"localchat: {note}", file=sys.stderr)
        print(exported.path)
