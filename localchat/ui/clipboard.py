"""Copying from inside a terminal: OSC 52 reaches most of them, the system's own tool reaches the rest."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys

_PATIENCE_S = 2.0


def system_copy_command() -> tuple[str, ...] | None:
    """The desktop's clipboard tool, if there is one that can work here."""
    if sys.platform == "darwin":
        candidates: tuple[tuple[str, ...], ...] = (("pbcopy",),)
    elif sys.platform == "win32":
        candidates = (("clip",),)
    else:
        wayland = (("wl-copy",),) if os.environ.get("WAYLAND_DISPLAY") else ()
        x11 = (("xclip", "-selection", "clipboard"), ("xsel", "-ib")) if os.environ.get("DISPLAY") else ()
        candidates = (*wayland, *x11)
    return next((command for command in candidates if shutil.which(command[0])), None)


async def copy_with_system_tool(text: str) -> bool:
    """Hand `text` to the desktop's clipboard tool; False when there is none or it did not take it."""
    command = system_copy_command()
    if command is None:
        return False
    encoding = "utf-16-le" if command[0] == "clip" else "utf-8"
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await asyncio.wait_for(process.communicate(text.encode(encoding)), _PATIENCE_S)
    except (OSError, TimeoutError):
        return False
    return process.returncode == 0
