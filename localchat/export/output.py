"""Where an export goes: beside its place under another name, and renamed when it is complete."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from localchat.errors import InvalidSetting, StorageFailed
from localchat.translation import _


def check_output(path: Path, *, force: bool, replaceable: Callable[[Path], bool]) -> None:
    """Refuse to write where something is already.

    Args:
        force: what an earlier export wrote may be replaced.
        replaceable: whether an earlier export wrote this; nothing else is ever replaced.

    Raises:
        InvalidSetting: something is there, or its folder is not.
    """
    if not path.parent.is_dir():
        raise InvalidSetting(
            _("There is no folder {parent} to write to.").format(parent=path.parent),
            _("Make it first, or choose another."),
        )
    if not os.path.lexists(path):
        return
    if not force:
        raise InvalidSetting(
            _("{path} is there already.").format(path=path), _("Choose another --output, or replace it with --force.")
        )
    if path.is_symlink() or not replaceable(path):
        raise InvalidSetting(
            _("{path} is not an export, and is not replaced.").format(path=path), _("Choose another --output.")
        )


@contextmanager
def unfinished(path: Path, size: int) -> Iterator[Path]:
    """A name beside `path` to write to. What stands there is moved to `path` at the end, and removed on any error.

    Args:
        size: bytes that will be written.

    Raises:
        StorageFailed: there is no room, or the folder cannot be written.
    """
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise StorageFailed(
            _("{parent} has {free} MB free, and the export needs {size} MB.").format(
                parent=path.parent, free=f"{free / 1e6:,.0f}", size=f"{size / 1e6:,.0f}"
            ),
            _("Free some space, or choose another --output."),
        )
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.unfinished")
    try:
        yield new
        _move_into_place(new, path)
    except OSError as error:
        raise StorageFailed(
            _("The export cannot be written to {path} ({reason}).").format(path=path, reason=error.strerror or error),
            _("Free some space or make the folder writable, then try again."),
        ) from error
    finally:
        _remove(new)


def _move_into_place(new: Path, path: Path) -> None:
    for written in new.iterdir() if new.is_dir() else [new]:
        with written.open("r+b") as file:
            os.fsync(file.fileno())
    if new.is_file():
        new.replace(path)
        return
    replaced = path.with_name(f".{path.name}.{secrets.token_hex(4)}.replaced")
    existed = path.exists()
    if existed:
        path.rename(replaced)
    try:
        new.rename(path)
    except OSError:
        if existed:
            replaced.rename(path)
        raise
    _remove(replaced)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
