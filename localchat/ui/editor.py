"""Writing the draft in the user's own editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from textual.app import App, SuspendNotSupported


def edit_outside(app: App[None], text: str) -> str | None:
    """Open `text` in $VISUAL or $EDITOR and return what it became; None when no editor could be used."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        app.notify("Set the environment variable EDITOR to the name of your editor.", severity="warning")
        return None
    with tempfile.TemporaryDirectory(prefix="localchat-") as folder:
        path = Path(folder) / "draft.md"
        path.write_text(text, encoding="utf-8")
        try:
            with app.suspend():
                subprocess.run([*shlex.split(editor), str(path)], check=True)
            return path.read_text(encoding="utf-8").rstrip("\n")
        except (OSError, ValueError, subprocess.CalledProcessError, SuspendNotSupported) as error:
            app.notify(f"The editor {editor} could not be used ({error}).", severity="warning", markup=False)
            return None
