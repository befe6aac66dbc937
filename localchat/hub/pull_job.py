"""Fetch a model on behalf of the app: `localchat pull NAME --json` as a child process, its events as they come.

A child, because importing a model takes torch and all cores; the app keeps its window, and ending the child ends
everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from types import FrameType

from localchat.errors import DownloadFailed
from localchat.hub.pull_events import (
    PullDone,
    PullEvent,
    PullFailed,
    PullProgress,
    Stage,
    event_from_json,
    to_json,
)
from localchat.translation import _

__all__ = [
    "PullDone",
    "PullEvent",
    "PullFailed",
    "PullJob",
    "PullProgress",
    "Stage",
    "ending_is_interrupting",
    "to_json",
]

_GRACE_S = 3.0  # between asking the child to end and ending it
_LONGEST_LINE = 1 << 20


class PullJob:
    """One fetch of one model; `events()` runs it, once.

    Args:
        name: of the model in the catalogue, or of the hub ("hf:OWNER/REPOSITORY").
        command: how to start localchat; tests put something else here.
    """

    def __init__(self, name: str, command: Sequence[str] = (sys.executable, "-m", "localchat")) -> None:
        self._name = name
        self._command = [*command, "pull", name, "--json"]
        self._child: asyncio.subprocess.Process | None = None
        self._cancelled = False

    async def events(self) -> AsyncIterator[PullProgress | PullDone]:
        """Progress, then PullDone. Ends without PullDone after `cancel()`; closing the iterator ends the child too.

        Raises:
            LocalChatError: of the kind that the child reports; DownloadFailed when it ends without a word.
        """
        if self._cancelled:
            return
        child = self._child = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
            start_new_session=True,  # a Ctrl+C in the terminal is the app's, which decides what it means
        )
        assert child.stdout and child.stderr
        last_words = asyncio.ensure_future(_last_line(child.stderr))
        finished = False
        try:
            async for line in child.stdout:
                try:
                    event = event_from_json(line)
                except ValueError:  # a library's remark, not ours
                    continue
                if isinstance(event, PullFailed):
                    raise event.error()
                finished = finished or isinstance(event, PullDone)
                yield event
            await child.wait()
            if not finished and not self._cancelled:
                said = await last_words
                raise DownloadFailed(
                    _("Fetching {name} ended without result (status {returncode}; {said}).").format(
                        name=self._name, returncode=child.returncode, said=said or _("no message")
                    ),
                    _("`localchat pull {name} --debug` shows more.").format(name=self._name),
                )
        finally:
            await self._end()
            last_words.cancel()

    async def cancel(self) -> None:
        """End the child and what it started. Safe at any moment, more than once too."""
        self._cancelled = True
        await self._end()

    async def _end(self) -> None:
        child = self._child
        if child is None or child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        try:
            await asyncio.wait_for(child.wait(), _GRACE_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()


@contextlib.contextmanager
def ending_is_interrupting() -> Iterator[None]:
    """While this lasts, being told to end (SIGTERM, SIGHUP) raises KeyboardInterrupt, so that children are ended too.

    For the main thread of `localchat pull`: without it, SIGTERM would leave pip running.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    numbers = [signal.SIGTERM] + ([signal.SIGHUP] if sys.platform != "win32" else [])
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _last_line(stream: asyncio.StreamReader) -> str:
    """Read to the end, so that the child never waits for us; keep the last line that has something on it."""
    last = b""
    while block := await stream.read(1 << 16):
        last = (last + block).rstrip()[-500:]
    return last.rpartition(b"\n")[2].decode("utf-8", "replace").strip()
