"""Writing the draft in the user's own editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from textual.app import App, SuspendNotSupported

from localchat.translation import _


def edit_outside(app: App[None], text: str) -> str | None:
    """Open `text` in $VISUAL or $EDITOR and return what it became; None when it stays as it was."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        app.notify(_("Set the environment variable EDITOR to the name of your editor."), severity="warning")
        return None
    with tempfile.TemporaryDirectory(prefix="localchat-") as folder:
        path = Path(folder) / "draft.md"
        path.write_text(text, encoding="utf-8")
        try:
            with app.suspend():
                trouble = _run(editor, path)  # raises nothing: Textual would not come back from its suspension
            edited = path.read_text(encoding="utf-8").rstrip("\n")
        except (OSError, ValueError, SuspendNotSupported) as error:
            trouble = str(error)
    if not trouble:
        return edited
    said = _("The draft stays as it was: {editor} could not be used ({reason}).").format(editor=editor, reason=trouble)
    app.notify(said, severity="warning", markup=False)
    return None


def _run(editor: str, path: Path) -> str:
    """Run the editor until it is left; returns what went wrong, or nothing."""
    try:
        status = subprocess.run([*shlex.split(editor, posix=os.name != "nt"), str(path)]).returncode
    except (OSError, ValueError) as error:
        return str(error)
    return _("it ended with status {status}").format(status=status) if status else ""
