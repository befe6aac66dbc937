"""Private chats: conversations that live in this window's memory and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property

from localchat.history.store import HistoryStore
from localchat.translation import _, mark
from localchat.ui.shown import ShownChat

PRIVATE = mark("Private, not saved")
"""Heading of the private chats in the list."""


class PrivateChats:
    """Owner of the history in memory. Its texts never reach a file: no draft, no title, no search, no undo.

    Args:
        now: the clock, seconds since 1970.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._ids: list[str] = []
        self._forgotten: set[str] = set()

    @cached_property
    def store(self) -> HistoryStore:
        """Made with the first private chat: most windows never have one."""
        return HistoryStore.in_memory(now=self._now)

    def __contains__(self, chat_id: object) -> bool:
        return chat_id in self._ids

    def begin(self) -> str:
        """A new one, or one in which nothing was said yet; returns its id."""
        empty = (chat_id for chat_id in self._listed() if self.store.conversation(chat_id).leaf_id is None)
        if (chat_id := next(empty, None)) is None:
            chat_id = self.store.create_conversation().id
            self._ids.append(chat_id)
        return chat_id

    def adopt(self, chat_id: str) -> None:
        """A chat that was made in `store`, as a copy of one of them, is one of them."""
        self._ids.append(chat_id)

    def forget(self, chat_id: str) -> None:
        """Take it out of the list; nothing brings it back. Its last reply may still be ending, so it stays known."""
        self._forgotten.add(chat_id)

    def _listed(self) -> list[str]:
        return [chat_id for chat_id in self._ids if chat_id not in self._forgotten]

    def title(self, chat_id: str) -> str:
        """A name that says nothing about what is in it."""
        number = self._ids.index(chat_id) + 1
        return _("Private chat") if number == 1 else _("Private chat {number}").format(number=number)

    def shown(self) -> list[ShownChat]:
        """Lines for the list of chats."""
        return [ShownChat(chat_id, self.title(chat_id), _(PRIVATE)) for chat_id in self._listed()]

    def close(self) -> None:
        """Forget all of them."""
        self._ids.clear()
        if "store" in self.__dict__:
            self.store.close()
