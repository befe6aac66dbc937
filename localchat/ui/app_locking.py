"""The part of the app that concerns an encrypted history: asking for its passphrase, and locking it again."""

from __future__ import annotations

import asyncio
from time import monotonic

from textual import events, work
from textual.app import App
from textual.events import Event
from textual.worker import Worker

from localchat.config import Config
from localchat.errors import HistoryUnavailable
from localchat.translation import _
from localchat.ui.screens.chat import ChatScreen
from localchat.ui.screens.unlock import UnlockScreen
from localchat.ui.session import ChatSession

LOOK_S = 5.0
"""How often the app looks whether it was left alone for long enough."""

_ANSWER_S = 0.1


class LockingPart(App[None]):
    """Locked: the screen is covered, what was on it is gone, the file is closed and its key forgotten."""

    config: Config
    session: ChatSession
    chat_screen: ChatScreen
    _emptying: Worker[None] | None = None
    _left: str | None = None
    _touched = 0.0

    @property
    def is_covered(self) -> bool:
        """Whether the passphrase is being asked for."""
        stack = self.screen_stack
        above = stack[stack.index(self.chat_screen) :] if self.chat_screen in stack else stack
        return any(isinstance(screen, UnlockScreen) for screen in above)

    def watch_for_idling(self) -> None:
        """Lock when nobody has touched anything for as long as the settings say."""
        self._touched = monotonic()
        if self.session.saved.is_encrypted:
            self.set_interval(LOOK_S, self.lock_if_idle)

    async def on_event(self, event: Event) -> None:
        if isinstance(event, (events.Key, events.MouseEvent, events.Paste)):
            self._touched = monotonic()
        await super().on_event(event)

    def lock_if_idle(self) -> None:
        minutes = (monotonic() - self._touched) / 60
        if self.config.lock_after and minutes >= self.config.lock_after and not self.is_covered:
            self.lock_history()

    def lock_history(self) -> None:
        """Cover the screen now, and close the history as soon as the answer in progress is saved."""
        if not self.session.saved.is_encrypted:
            said = _("The history is not encrypted. `localchat history encrypt` gives it a passphrase.")
            self.notify(said, severity="warning", timeout=8, markup=False)
            return
        self.chat_screen.save_draft()
        self.chat_screen.stop_working()
        self._left, self.session.chat_id = self.session.chat_id, None
        self.clear_notifications()
        self.push_screen(UnlockScreen(self.session.saved))
        self._emptying = self._close_when_answered()

    @work
    async def _close_when_answered(self) -> None:
        while self.session.is_answering:
            await asyncio.sleep(_ANSWER_S)
        self.session.saved.lock()
        await self.chat_screen.show_chat()  # now empty

    async def on_unlock_screen_unlocked(self) -> None:
        """Show the chat that was open; at the start, the chat screen."""
        self._touched = monotonic()
        if self.chat_screen not in self.screen_stack:
            await self.push_screen(self.chat_screen)  # Textual cannot switch from the first of all screens
            return
        if self._emptying is not None:
            self._emptying.cancel()
        await self.pop_screen()
        try:
            if self._left is not None:
                self.session.open_chat(self._left)
        except HistoryUnavailable as error:  # another window removed it
            self.notify(str(error), severity="warning", markup=False)
        await self.chat_screen.show_chat()
