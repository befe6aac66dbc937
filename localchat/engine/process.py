"""The engine's own process: requests come in on standard input, events go out on standard output, a JSON line each.

The main thread does the work; a second one reads requests, so that a stop is seen while the work goes on. When the
input closes, because the interface ended or was killed, the process ends too. It opens no socket, and an audit hook
refuses any that a library might try to open.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from localchat.config import Config, load_config
from localchat.constraint import Constraint
from localchat.errors import InvalidSetting, LocalChatError
from localchat.events import Event, Failure, Loaded, LoadProgress, to_json
from localchat.messages import Message, ReplyOptions
from localchat.openmp import wait_briefly
from localchat.paths import assets_dir
from localchat.recording import Recording
from localchat.translation import _, mark, spoken, use

if TYPE_CHECKING:
    from localchat.engine.facade import Engine
    from localchat.engine.prefix_cache import Budgets

_PARTING_S = 0.3
"""For what is on its way to the disk when the interface ends; it has more patience than this."""


def refuse_sockets(event: str, arguments: tuple[object, ...]) -> None:
    """Audit hook (PEP 578): what the user types has no way out of this process.

    Raises:
        PermissionError: something tried to use the network.
    """
    if event in ("socket.__new__", "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
        raise PermissionError(f"the engine does not use the network ({event} {arguments!r})")


class Server:
    """Serves one interface over a pair of pipes."""

    def __init__(self, requests: IO[bytes], events: IO[bytes]) -> None:
        self._input = requests
        self._output = events
        self._queue: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._stops: dict[int, threading.Event] = {}
        self._stops_lock = threading.Lock()
        self._engine: Engine | None = None

    def run(self) -> None:
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        self._engine = _import_engine()
        while True:
            request = self._queue.get()
            number = request["id"]
            try:
                for event in self._serve(request):
                    self._send(number, event)
            except LocalChatError as error:
                self._send(number, Failure(type(error).__name__, error.message, error.hint))
            except MemoryError:
                hint = _("Close other programs, or choose a smaller model or context.")
                self._send(number, Failure("LocalChatError", _("There is not enough memory for this."), hint))
            except Exception as error:  # a defect: the log has it whole, the user hears of it, the engine lives on
                traceback.print_exc()
                what = _("The engine failed ({error}).").format(error=f"{type(error).__name__}: {error}")
                self._send(number, Failure("LocalChatError", what, _("The details are in the engine's log.")))
            finally:
                with self._stops_lock:
                    self._stops.pop(number, None)

    def _serve(self, request: dict[str, Any]) -> Iterator[Event]:
        engine = self._engine
        assert engine is not None
        stop = self._stop_event(request["id"])
        self._speak(request.get("language", spoken()))
        match request["op"]:
            case "load":
                yield Loaded(
                    engine.load(
                        request["model"],
                        request["context_length"],
                        request["draft"],
                        cache_kind=_config().cache,
                        budgets=_budgets(),
                        on_progress=lambda progress: self._send(request["id"], progress),
                        stop=stop,
                    )
                )
            case "reply":
                options = request["options"]
                yield from engine.reply(
                    [Message(**m) for m in request["messages"]],
                    reply_options(options),
                    stop=stop,
                )
            case "ledger":
                turns = [Message(**m) for m in request["messages"]]
                yield engine.ledger(turns, reply_options(request["options"]), request["ends"], request["ahead"])
            case "replay":
                yield from engine.replay(Recording.from_object(request["recording"]), stop=stop)
            case "explain":
                recording = Recording.from_object(request["recording"])
                yield from engine.explain(recording, request["alternatives"], stop=stop)
            case "measure":
                yield engine.measure([Message(**m) for m in request["messages"]])
            case "forget":
                engine.forget(request["chat"])
            case unknown:
                raise LocalChatError(_("The engine knows no request {unknown!r}.").format(unknown=unknown))

    @staticmethod
    def _speak(language: str) -> None:
        """Let what is said about this request be in the language of the interface."""
        if language != spoken():
            use(language, assets_dir() / "locale")

    def _read(self) -> None:
        for line in self._input:
            request = json.loads(line)
            if request["op"] == "stop":
                self._stop_event(request["id"], only_known=True).set()
                continue
            self._stop_event(request["id"])
            if request["op"] == "load" and self._engine is None:
                self._send(request["id"], LoadProgress(mark("Starting the engine")))
            self._queue.put(request)
        if self._engine is not None:
            self._engine.flush(_PARTING_S)
        os._exit(0)  # the interface is gone; the main thread may be deep inside a matrix product

    def _stop_event(self, number: int, *, only_known: bool = False) -> threading.Event:
        with self._stops_lock:
            if only_known:  # a stop for a request that is over must not be remembered
                return self._stops.get(number, threading.Event())
            return self._stops.setdefault(number, threading.Event())

    def _send(self, number: int, event: Event) -> None:
        line = f'{{"id": {number}, {to_json(event)[1:]}\n'.encode()
        try:
            self._output.write(line)
            self._output.flush()
        except BrokenPipeError:
            os._exit(0)


def reply_options(given: dict[str, Any]) -> ReplyOptions:
    """Options as they cross the pipe: of what JSON has."""
    constraint = given["constraint"] and Constraint(**given["constraint"])
    stop, line = tuple(given["stop"]), tuple(given["line"])
    return ReplyOptions(**{**given, "stop": stop, "line": line, "constraint": constraint})


def _config() -> Config:
    try:
        return load_config()
    except InvalidSetting:  # the interface says what is wrong
        return Config()


def _budgets() -> Budgets:
    from localchat.engine.prefix_cache import Budgets

    return Budgets.of(_config())


def _import_engine() -> Engine:
    """Import torch and everything on it. A second of imports makes a million objects, none of them garbage: the
    collector is kept out of it, which saves a fifth of the time."""
    import gc

    gc.disable()
    from localchat.engine.facade import Engine

    gc.freeze()
    gc.enable()
    return Engine()


def main() -> None:
    """Entry of the child process."""
    wait_briefly()
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints goes to the log, not between the events
    sys.addaudithook(refuse_sockets)
    Server(sys.stdin.buffer, events).run()


if __name__ == "__main__":
    main()
