"""Lines from the terminal, with what it offers for editing them, and keys that stop a reply while it is written."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

try:
    import termios
    import tty
except ImportError:  # Windows: Ctrl+C stops there
    termios = None  # type: ignore[assignment]

try:
    import readline
except ImportError:
    readline = None  # type: ignore[assignment]

ESCAPE = b"\x1b"


class Keyboard:
    """Standard input: a terminal, or a pipe."""

    def __init__(self) -> None:
        self._ahead = ""  # what was typed while a reply was written

    def read(self, prompt: str) -> str | None:
        """The next line; one that ends in a backslash goes on in the next. None at the end of the input.

        Waits without letting anything else happen: nobody who listens or feels for the prompt is interrupted.
        """
        lines: list[str] = []
        while True:
            try:
                line = self._line(prompt)
            except EOFError:
                return "\n".join(lines) if lines else None
            except KeyboardInterrupt:
                print()
                return None
            lines.append(line.removesuffix("\\"))
            if not line.endswith("\\"):
                return "\n".join(lines)
            prompt = "... "

    def _line(self, prompt: str) -> str:
        ahead, self._ahead = self._ahead, ""
        if readline is not None and ahead:
            readline.set_startup_hook(lambda: readline.insert_text(ahead))
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return input(prompt)
        finally:
            signal.signal(signal.SIGINT, before)
            if readline is not None:
                readline.set_startup_hook(None)

    @contextlib.contextmanager
    def stops(self, stop: Callable[[], None]) -> Iterator[None]:
        """Meanwhile Ctrl+C and Esc call `stop`; other keys are kept for the next line."""
        loop = asyncio.get_running_loop()

        def interrupted(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(stop)

        before = signal.signal(signal.SIGINT, interrupted)
        try:
            with self._single_keys(loop, stop):
                yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextlib.contextmanager
    def _single_keys(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> Iterator[None]:
        if termios is None or not sys.stdin.isatty():
            yield
            return
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)

        def pressed() -> None:
            data = os.read(descriptor, 1024)
            if data == ESCAPE:
                stop()
            elif not data.startswith(ESCAPE):
                self._ahead += data.decode(errors="ignore").replace("\n", " ").replace("\r", " ")

        tty.setcbreak(descriptor)
        loop.add_reader(descriptor, pressed)
        try:
            yield
        finally:
            loop.remove_reader(descriptor)
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
