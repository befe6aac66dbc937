"""Completing the path of a file, as a shell does."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from localchat.ui.completion import Completion
from localchat.ui.figures import size
from localchat.ui.visible_text import one_line

_LOOKED_AT = 5000
"""Entries of a folder; a larger one is not sorted in full while somebody types."""

_OFFERED = 200


def path_completions(typed: str) -> list[Completion]:
    """Files and folders whose path begins with `typed`, folders first; hidden ones only when a dot is typed.

    Relative paths count from the folder that the program was started in, and `~` is the home folder.
    """
    folder, slash, beginning = typed.rpartition("/")
    directory = Path(f"{folder}/" if slash else ".").expanduser()
    try:
        with os.scandir(directory) as entries:
            found = [entry for entry in islice(entries, _LOOKED_AT) if _fits(entry.name, beginning)]
    except OSError:
        return []
    found.sort(key=lambda entry: (not _is_folder(entry), not entry.name.startswith(beginning), entry.name.lower()))
    return [_completion(entry, f"{folder}{slash}") for entry in found[:_OFFERED]]


def _fits(name: str, beginning: str) -> bool:
    if name.startswith(".") and not beginning.startswith("."):
        return False
    return name.lower().startswith(beginning.lower()) and "\n" not in name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _completion(entry: os.DirEntry[str], before: str) -> Completion:
    if _is_folder(entry):
        return Completion(f"{before}{entry.name}/", f"{one_line(entry.name)}/", is_final=False)
    try:
        detail = size(entry.stat().st_size)
    except OSError:
        detail = ""
    return Completion(before + entry.name, one_line(entry.name), detail)
