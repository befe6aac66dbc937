"""The engine in a process of its own, seen from an asyncio program. Imports no torch.

The child reads one JSON request a line from its standard input and writes one JSON event a line to its standard
output (`localchat.engine.process`). Pipes, not sockets: nothing else can reach it. Whatever happens to the child
(a crash, an out-of-memory kill, a stuck load) reaches the caller as `EngineDied`, and the next call starts another.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from localchat import errors
from localchat.engine.child import LAST, Child
from localchat.engine.prefix_store_files import delete_snapshots_of
from localchat.errors import EngineDied, LocalChatError, Stopped
from localchat.events import Event, Failure, Loaded, PromptSize
from localchat.ledger import ContextLedger
from localchat.messages import Message, ReplyOptions
from localchat.paths import engine_log
from localchat.recording import Recording
from localchat.translation import _, spoken


class EngineLink(Protocol):
    """What an interface needs of an engine, wherever that runs."""

    def load(self, model: str, context_length: int | None = None, draft: str | None = None) -> AsyncGenerator[Event]:
        """Load the model in the folder or GGUF file `model`: `LoadProgress`..., `Loaded`.

        Args:
            draft: of a smaller model that guesses ahead.

        Raises:
            Stopped: `stop` was called.
            LocalChatError: the model cannot be loaded.
        """

    def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncGenerator[Event]:
        """Answer the last message: `PromptFitted`, `PromptProgress`..., `TextDelta`..., `ReplyDone`.

        After the engine died, its last model is loaded again first (`LoadProgress`..., `Loaded`).

        Raises:
            Stopped: `stop` was called and the engine had to be ended for it.
            EngineDied: the process ended; the next call starts another.
            LocalChatError: this request failed.
        """

    async def measure(self, messages: Sequence[Message]) -> PromptSize:
        """Count the tokens of a conversation with the model's own template."""

    async def ledger(
        self, messages: Sequence[Message], options: ReplyOptions, ends: Sequence[Sequence[int]] = (), ahead: int = 0
    ) -> ContextLedger:
        """What a reply to this conversation would be given, and what would be left out.

        Args:
            ends: for each message, where in its content each of its parts ends, in characters.
            ahead: as if the conversation were so many tokens longer.
        """

    def replay(self, recording: Recording) -> AsyncGenerator[Event]:
        """Make a reply again: `PromptProgress`..., `Replayed`. Raises what `reply` does."""

    def explain(self, recording: Recording, alternatives: int) -> AsyncGenerator[Event]:
        """How sure the model was of every token: `PromptProgress` and `TokenExplained`..., `ReplyExplained`.

        Args:
            alternatives: so many tokens are told at every place.

        Raises:
            what `reply` does.
        """

    def forget(self, chat: str) -> None:
        """A conversation was deleted: delete what is on disk of what the model read of it."""

    def stop(self) -> None:
        """End what is running, within 200 ms."""

    async def close(self) -> None:
        """End the engine."""


class EngineClient:
    """`EngineLink` over a child process.

    Args:
        command: what to run; by default this Python with `localchat.engine.process`.
        log: file that receives the child's standard error.
    """

    def __init__(self, command: Sequence[str] | None = None, log: Path | None = None) -> None:
        self._command = list(command or (sys.executable, "-m", "localchat.engine.process"))
        self._log = log
        self._child: Child | None = None
        self._requests = itertools.count(1)
        self._running: int | None = None
        self._model: tuple[str, int | None, str | None] | None = None
        self._loaded_in: Child | None = None

    def spawn(self) -> None:
        """Start the process now, so that it imports its libraries while the caller does something else."""
        if self._child is None or not self._child.alive:
            self._child = Child(self._command, self._log or engine_log())

    @property
    def pid(self) -> int | None:
        """Process id of the engine, while it lives."""
        return self._child.process.pid if self._child and self._child.alive else None

    async def load(
        self, model: str, context_length: int | None = None, draft: str | None = None
    ) -> AsyncGenerator[Event]:
        self._model = (model, context_length, draft)
        self._loaded_in = None
        asked = self._request("load", model=model, context_length=context_length, draft=draft)
        async with aclosing(asked) as events:
            async for event in events:
                if isinstance(event, Loaded):
                    self._loaded_in = self._child
                yield event

    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncGenerator[Event]:
        turns = [asdict(m) for m in messages]
        async with aclosing(self._with_model("reply", messages=turns, options=asdict(options))) as events:
            async for event in events:
                yield event

    async def measure(self, messages: Sequence[Message]) -> PromptSize:
        async for _event in self._reload_if_lost():
            pass
        async with aclosing(self._request("measure", messages=[asdict(m) for m in messages])) as events:
            async for event in events:
                if isinstance(event, PromptSize):
                    return event
        raise EngineDied(_("The engine gave no answer."))

    async def ledger(
        self, messages: Sequence[Message], options: ReplyOptions, ends: Sequence[Sequence[int]] = (), ahead: int = 0
    ) -> ContextLedger:
        # Who no longer wants to know must not stop it: the engine would be given up that cannot stop in the middle.
        asked = asyncio.ensure_future(self._ledger(messages, options, ends, ahead))
        asked.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
        return await asyncio.shield(asked)

    async def _ledger(
        self, messages: Sequence[Message], options: ReplyOptions, ends: Sequence[Sequence[int]], ahead: int
    ) -> ContextLedger:
        async for _event in self._reload_if_lost():
            pass
        turns = [asdict(m) for m in messages]
        asked = self._request("ledger", messages=turns, options=asdict(options), ends=ends, ahead=ahead)
        async with aclosing(asked) as events:
            async for event in events:
                if isinstance(event, ContextLedger):
                    return event
        raise EngineDied(_("The engine gave no answer."))

    async def replay(self, recording: Recording) -> AsyncGenerator[Event]:
        async with aclosing(self._with_model("replay", recording=recording.as_object())) as events:
            async for event in events:
                yield event

    async def explain(self, recording: Recording, alternatives: int) -> AsyncGenerator[Event]:
        asked = self._with_model("explain", recording=recording.as_object(), alternatives=alternatives)
        async with aclosing(asked) as events:
            async for event in events:
                yield event

    def forget(self, chat: str) -> None:
        delete_snapshots_of(chat)
        if self._child is not None and self._child.alive:  # which may be about to write more
            with contextlib.suppress(EngineDied):
                self._child.send({"id": next(self._requests), "op": "forget", "chat": chat})

    def stop(self) -> None:
        child, request = self._child, self._running
        if child is None or request is None:
            return
        child.stop(request)

    async def close(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await asyncio.to_thread(child.end)

    async def _reload_if_lost(self) -> AsyncGenerator[Event]:
        if self._model is not None and (self._loaded_in is not self._child or self.pid is None):
            async with aclosing(self.load(*self._model)) as events:
                async for event in events:
                    yield event

    async def _with_model(self, operation: str, **arguments: Any) -> AsyncGenerator[Event]:
        """A request for which the model is loaded again when it was lost."""
        async with aclosing(self._reload_if_lost()) as events:
            async for event in events:
                yield event
        async with aclosing(self._request(operation, **arguments)) as events:
            async for event in events:
                yield event

    async def _request(self, operation: str, **arguments: Any) -> AsyncGenerator[Event]:
        """Send one request and yield its events until the caller has seen enough or it fails."""
        self.spawn()
        child = self._child
        assert child is not None
        number = next(self._requests)
        events = child.listen(number, asyncio.get_running_loop())
        previous, self._running = self._running, number
        finished = False
        try:
            child.send({"id": number, "op": operation, "language": spoken(), **arguments})
            while not finished:
                event = await events.get()
                if isinstance(event, LocalChatError):
                    finished = True
                    raise event
                if isinstance(event, Failure):
                    finished = True
                    raise _error(event)
                finished = isinstance(event, LAST)
                yield event
        finally:
            child.forget(number)
            if not finished:  # the caller went away in the middle
                child.stop(number)
            if self._running == number:
                self._running = previous


def _error(failure: Failure) -> LocalChatError:
    kind = getattr(errors, failure.kind, None)
    if kind is Stopped:
        return Stopped()
    if not (isinstance(kind, type) and issubclass(kind, LocalChatError)):
        kind = LocalChatError
    return kind(failure.message, failure.hint)
