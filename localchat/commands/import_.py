"""`localchat import PATH`: make a GGUF file or a Hugging Face checkpoint folder one of the installed models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from localchat.commands.progress import ProgressLine, say
from localchat.translation import _


def register(app: typer.Typer) -> None:
    @app.command("import")
    def import_(
        path: Annotated[Path, typer.Argument(help="A GGUF file, or a Hugging Face checkpoint folder.")],
        name: Annotated[
            str | None, typer.Option(help="Name to install it under; by default made from the path.")
        ] = None,
        bits: Annotated[
            int | None,
            typer.Option(
                help="4 or 8. Without it a quantized file keeps its own values and full precision becomes int4.",
            ),
        ] = None,
    ) -> None:
        """Install a model from a file or folder."""
        if bits not in (None, 4, 8):
            raise typer.BadParameter(_("--bits is {bits}, but must be 4 or 8.").format(bits=bits))
        from localchat.hub.importer import import_model

        with ProgressLine() as line:
            installed = import_model(
                path, name, bits=bits, on_progress=lambda done, total: line.show(_("Quantizing"), done / total)
            )
        if not installed.has_own_template:
            print(_("localchat: The model brings no chat template, so a plain one is used."), file=sys.stderr)
        if installed.could_be_better:
            say(
                _("Rounded to nearest, which is quick; `localchat quantize` takes minutes and keeps more of the model.")
            )
        print(installed.name)
