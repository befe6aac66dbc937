"""One life of the engine process, seen from an asyncio program: its pipes, and who waits for which answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from localchat.errors import EngineDied, LocalChatError, Stopped
from localchat.events import Event, Failure, Loaded, PromptSize, ReplyDone, event_from_json
from localchat.ledger import ContextLedger
from localchat.paths import engine_log, ensure
from localchat.recording import Replayed, ReplyExplained
from localchat.translation import _

STOP_PATIENCE_S = 0.15
"""How long a stop may take inside the engine before the process is ended instead: the promise is 200 ms."""

LAST = (Loaded, ReplyDone, PromptSize, ContextLedger, Replayed, ReplyExplained, Failure)
"""Events that end a request."""


class Child:
    """One life of the engine process: its pipes, and who waits for which answer."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        ensure(log.parent)
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
            )
        self._lock = threading.Lock()
        self._listeners: dict[int, tuple[asyncio.Queue[Event | LocalChatError], asyncio.AbstractEventLoop]] = {}
        self._stopping: set[int] = set()
        self._ended = False
        threading.Thread(target=self._read, name="engine-events", daemon=True).start()

    @property
    def alive(self) -> bool:
        return not self._ended and self.process.poll() is None

    def listen(self, request: int, loop: asyncio.AbstractEventLoop) -> asyncio.Queue[Event | LocalChatError]:
        queue: asyncio.Queue[Event | LocalChatError] = asyncio.Queue()
        with self._lock:
            self._listeners[request] = (queue, loop)
        return queue

    def forget(self, request: int) -> None:
        with self._lock:
            self._listeners.pop(request, None)

    def send(self, request: Mapping[str, Any]) -> None:
        """Write one request.

        Raises:
            EngineDied: the process is gone.
        """
        pipe = self.process.stdin
        assert pipe is not None
        try:
            with self._lock:
                pipe.write(json.dumps(request).encode() + b"\n")
                pipe.flush()
        except (OSError, ValueError) as error:
            raise self._death() from error

    def stop(self, request: int) -> None:
        """Ask for the end of a request; end the process when it does not answer in time."""
        with self._lock:
            if request in self._stopping:
                return
            self._stopping.add(request)
        with contextlib.suppress(EngineDied):
            self.send({"id": request, "op": "stop"})
        patience = threading.Timer(STOP_PATIENCE_S, self._lose_patience, (request,))
        patience.daemon = True
        patience.start()

    def _lose_patience(self, request: int) -> None:
        with self._lock:
            waiting = request in self._stopping
        if waiting and self.alive:
            self.process.kill()

    def end(self) -> None:
        """Close the engine's input, which ends it, and make sure that it ended."""
        pipe = self.process.stdin
        assert pipe is not None
        with contextlib.suppress(OSError):
            pipe.close()
        try:
            self.process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _read(self) -> None:
        """Runs in a thread: hands every event to who waits for it, and tells all of them when the process ends."""
        pipe: IO[bytes] | None = self.process.stdout
        assert pipe is not None
        for line in pipe:
            try:
                message = json.loads(line)
                request = message.pop("id")
                event = event_from_json(json.dumps(message))
            except (ValueError, KeyError):
                self.process.kill()  # half a line, or not our engine: nothing after it can be trusted
                break
            if isinstance(event, LAST):
                with self._lock:
                    self._stopping.discard(request)
            self._deliver(request, event)
        self.process.wait()
        self._ended = True
        with self._lock:
            waiting = list(self._listeners)
        for request in waiting:
            self._deliver(request, Stopped() if request in self._stopping else self._death())

    def _deliver(self, request: int, event: Event | LocalChatError) -> None:
        with self._lock:
            listener = self._listeners.get(request)
        if listener is not None:
            queue, loop = listener
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(queue.put_nowait, event)

    def _death(self) -> EngineDied:
        code = self.process.poll()
        if code == -9:
            return EngineDied(
                _("The engine was ended by the system, perhaps because memory ran out."),
                _("It starts again with your next message; a smaller model or context needs less memory."),
            )
        return EngineDied(
            _("The engine stopped unexpectedly (status {code}).").format(code=code),
            _("It starts again with your next message; details are in {path}.").format(path=engine_log()),
        )
