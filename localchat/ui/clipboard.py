"""Copying from inside a terminal: the system's own tool where there is one that works, and the terminal itself.

OSC 52 asks the terminal to put a text into the clipboard of the machine that the user sits at, through SSH too. Most
terminals do, none says whether it did, and multiplexers stand in the way; so a tool is asked as well, and what is known
to have worked is told.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class CopyTool:
    """A program that takes a text from its standard input into the clipboard."""

    command: tuple[str, ...]
    encoding: str = "utf-8"

    @property
    def name(self) -> str:
        return self.command[0].removesuffix(".exe")


def copy_tools(env: Mapping[str, str] | None = None, platform: str = sys.platform) -> list[CopyTool]:
    """The tools that are installed and could work here, the likeliest first."""
    found = _candidates(os.environ if env is None else env, platform)
    return [tool for tool in found if shutil.which(tool.command[0])]


def _candidates(env: Mapping[str, str], platform: str) -> Iterator[CopyTool]:
    if platform == "darwin":
        yield CopyTool(("pbcopy",))
    if platform == "win32":
        yield CopyTool(("clip.exe",), "utf-16-le")
    if env.get("WAYLAND_DISPLAY"):
        yield CopyTool(("wl-copy",))
    if env.get("DISPLAY"):
        yield CopyTool(("xclip", "-selection", "clipboard"))
        yield CopyTool(("xsel", "--input", "--clipboard"))
    if env.get("WSL_DISTRO_NAME"):
        yield CopyTool(("clip.exe",), "utf-16-le")
    if env.get("TERMUX_VERSION"):
        yield CopyTool(("termux-clipboard-set",))
    if env.get("TMUX"):  # it does not let OSC 52 of the programs in it through; -w hands the text on to its terminal
        yield CopyTool(("tmux", "load-buffer", "-w", "-"))


async def copy_with_tool(text: str, tools: list[CopyTool]) -> str:
    """Hand `text` to the first of the tools that takes it; returns its name, "" when none did."""
    for tool in tools:
        if await _took(tool, text):
            return tool.name
    return ""


async def _took(tool: CopyTool, text: str) -> bool:
    process = None
    try:
        process = await asyncio.create_subprocess_exec(
            *tool.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await asyncio.wait_for(process.communicate(text.encode(tool.encoding, "replace")), _PATIENCE_S)
    except OSError:
        return False
    except TimeoutError:
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
        return False
    return process.returncode == 0


def osc52(text: str, env: Mapping[str, str] | None = None) -> str:
    """What asks the terminal to take `text` into the clipboard; wrapped for GNU screen, which passes on what is in a
    device control string of at most 768 bytes."""
    env = os.environ if env is None else env
    request = f"\x1b]52;c;{base64.b64encode(text.encode('utf-8', 'replace')).decode()}\x07"
    if not env.get("TERM", "").startswith("screen") or env.get("TMUX"):
        return request
    pieces = (request[start : start + 700] for start in range(0, len(request), 700))
    return "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)
