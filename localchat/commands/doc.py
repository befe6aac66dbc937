"""`localchat doc FILE`: the app, with a text beside a conversation about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from localchat.commands.chat import open_app
from localchat.writing.text_file import read_text_file


def register(app: typer.Typer) -> None:
    @app.command()
    def doc(
        file: Annotated[Path, typer.Argument(help="A text; one that is not there yet is made when it is saved.")],
    ) -> None:
        """Open a text in the app, beside a conversation about it."""
        if file.exists() or not file.absolute().parent.is_dir():
            read_text_file(file)  # what is wrong with it is said here, before there is a window
        open_app(document=file)
