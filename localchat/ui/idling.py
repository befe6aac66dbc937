"""A model that nobody asks gives its memory back: the engine's process ends, and comes back with the next word."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from localchat.ui.answering import Answering
from localchat.ui.session_events import EngineChanged, SessionEvent

if TYPE_CHECKING:
    from localchat.ui.session import ChatSession

MINUTE_S = 60.0


class Idling:
    """Watches how long the engine had nothing to do."""

    def __init__(self, session: ChatSession, answering: Answering) -> None:
        self._session = session
        self._answering = answering
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, event: SessionEvent) -> None:
        """To be told what happens in the session: whatever the engine does counts as asking it."""
        if isinstance(event, EngineChanged):
            self._begin_to_wait()

    def touch(self) -> None:
        """Something is being written that the model will be asked."""
        self._begin_to_wait()
        self._answering.wake()

    def unload(self) -> bool:
        """Now; False when it answers, or is not there."""
        return self._answering.rest()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _begin_to_wait(self) -> None:
        self.close()
        minutes = self._session.preferences.unload_after
        if minutes and self._answering.state.phase == "ready":
            self._timer = asyncio.get_running_loop().call_later(minutes * MINUTE_S, self._enough)

    def _enough(self) -> None:
        if not self.unload():
            self._begin_to_wait()  # something is going on that is no reply
