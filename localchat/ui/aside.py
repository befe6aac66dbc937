"""Something that the model is asked while nobody waits for it, and that gives way to whoever does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from contextlib import aclosing

from localchat.engine.client import EngineLink
from localchat.errors import LocalChatError, Stopped
from localchat.events import ReplyDone, TextDelta
from localchat.messages import Message, ReplyOptions


class Aside:
    """At most one at a time."""

    def __init__(self, engine: EngineLink) -> None:
        self._engine = engine
        self._task: asyncio.Task[str | None] | None = None

    @property
    def busy(self) -> bool:
        """Whether something is asked now."""
        return self._task is not None and not self._task.done()

    async def ask(self, messages: Sequence[Message], options: ReplyOptions, *, whole: bool = True) -> str | None:
        """The answer; None when it was not finished, because something came between or failed.

        Args:
            whole: one that reached the limit of its length counts as not finished.
        """
        await self.give_way()
        endings = ("stop",) if whole else ("stop", "length")
        self._task = task = asyncio.create_task(self._answer(messages, options, endings))
        await asyncio.wait([task])
        return None if task.cancelled() else task.result()

    def cancel(self) -> None:
        """End it; the engine hears of it before it hears of anything that is asked next."""
        if self._task is not None:
            self._task.cancel()

    async def give_way(self) -> None:
        """End it, and wait until the engine was told."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _answer(self, messages: Sequence[Message], options: ReplyOptions, endings: Sequence[str]) -> str | None:
        text = ""
        try:
            async with aclosing(self._engine.reply(messages, options)) as events:
                async for event in events:
                    if isinstance(event, TextDelta) and not event.thinking:
                        text += event.text
                    elif isinstance(event, ReplyDone) and event.finish_reason in endings:
                        return text
        except (LocalChatError, Stopped):
            return None  # nobody asked for it, so nobody is told; the next question will find out
        return None
