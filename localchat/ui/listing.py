"""The list of chats as the sidebar shows it: private ones, pinned ones, folders, days, and the archive; or what a
search found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from localchat.history.records import Conversation
from localchat.history.store import HistoryStore
from localchat.history.titles import UNTITLED
from localchat.translation import _, mark
from localchat.ui.days import day_heading
from localchat.ui.private import PrivateChats
from localchat.ui.shown import ShownChat, ShownGroup

PINNED = mark("Pinned")
ARCHIVE = mark("Archive")

PAGE = 500
"""Chats under days that are listed at first, and how many more each time the user asks for older ones."""

FOUND_PAGE = 30
"""The same for what a search found."""


class Listing:
    """What is listed, and which groups are folded.

    Args:
        store: the history on disk.
        private: the chats that are only in this window's memory.
        now: the clock of the headings, seconds since 1970.
    """

    def __init__(self, store: HistoryStore, private: PrivateChats, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._private = private
        self._now = now
        self._limit = PAGE
        self._found_limit = FOUND_PAGE
        self._typed = ""
        self._archive_open = False

    def groups(self) -> list[ShownGroup]:
        """Everything, in the order of the list."""
        groups = _by_heading(self._private.shown())
        listed = self._store.conversations(self._limit)
        if pinned := [chat for chat in listed if chat.pinned]:
            groups.append(ShownGroup("pinned", _(PINNED), self._shown(pinned)))
        folded = self._store.folded()
        unpinned = [chat for chat in listed if not chat.pinned]
        foldered = sorted((chat for chat in unpinned if chat.folder), key=lambda chat: chat.folder)
        for folder, members in groupby(foldered, key=lambda chat: chat.folder):
            groups.append(ShownGroup("folder", folder, self._shown(members), folded=folder in folded))
        groups += _by_heading(self._shown(chat for chat in unpinned if not chat.folder))
        listed_in_all, archived = self._store.count_listed()
        if listed_in_all > len(listed):
            groups.append(ShownGroup("older", _("Older chats"), (), folded=True, count=listed_in_all - len(listed)))
        if archived:
            chats = self._store.archived(self._limit) if self._archive_open else []
            folded_up = not self._archive_open
            groups.append(ShownGroup("archive", _(ARCHIVE), self._shown(chats), folded=folded_up, count=archived))
        return groups

    def found(self, typed: str) -> list[ShownGroup]:
        """What a search finds, by day, archived ones last."""
        if typed != self._typed:
            self._typed, self._found_limit = typed, FOUND_PAGE
        found = self._store.find(typed, self._found_limit + 1)
        shown = [
            ShownChat(
                hit.conversation.id,
                _title(hit.conversation),
                _(ARCHIVE) if hit.conversation.archived_at is not None else self._day(hit.conversation),
                hit.excerpt,
                hit.message_id,
            )
            for hit in found[: self._found_limit]
        ]
        groups = _by_heading(shown)
        if len(found) > len(shown):
            groups.append(ShownGroup("more", _("More chats"), (), folded=True))
        return groups

    def remark(self) -> str:
        """What there is to say about a search; usually nothing."""
        return _("Older chats are still being read …") if self._store.unindexed() else ""

    def bring_to_show(self, chat_id: str, message_id: str) -> None:
        """Show the branch through this message, if it is not on show."""
        if all(message.id != message_id for message in self._store.branch(chat_id)):
            self._store.select_sibling(message_id)

    def read_on(self, seconds: float) -> bool:
        """Let searching know more of the history, for about so long; whether there is more to do."""
        return self._store.index_some(seconds)

    def ids(self) -> list[str]:
        """The chats that can be seen, from above."""
        return [chat.id for group in self.groups() if not group.folded for chat in group.chats]

    def fold(self, group: ShownGroup, folded: bool) -> None:
        """Hide the chats of a group, or show them."""
        if group.kind == "archive":
            self._archive_open = not folded
        elif group.kind == "older":
            self._limit += PAGE
        elif group.kind == "more":
            self._found_limit += FOUND_PAGE
        elif group.kind == "folder":
            self._store.set_folded(group.heading, folded)

    # ---- one chat's place

    def is_pinned(self, chat_id: str) -> bool:
        return self._store.conversation(chat_id).pinned

    def pin(self, chat_id: str, pinned: bool) -> None:
        """Put it at the top of the list, or back where it was."""
        self._store.set_pinned(chat_id, pinned)

    def is_archived(self, chat_id: str) -> bool:
        return self._store.conversation(chat_id).archived_at is not None

    def archive(self, chat_id: str, archived: bool) -> None:
        """Put it out of the list, or back into it."""
        self._store.set_archived(chat_id, archived)

    def folders(self) -> list[str]:
        return self._store.folders()

    def folder_of(self, chat_id: str) -> str:
        return self._store.conversation(chat_id).folder

    def move(self, chat_id: str, folder: str) -> None:
        """Put it into a folder, which opens; "" takes it out of the one it is in."""
        self._store.set_folder(chat_id, folder)
        self._store.set_folded(self._store.conversation(chat_id).folder, False)

    def _shown(self, chats: Iterable[Conversation]) -> tuple[ShownChat, ...]:
        return tuple(ShownChat(chat.id, _title(chat), self._day(chat)) for chat in chats)

    def _day(self, chat: Conversation) -> str:
        return day_heading(chat.updated_at, self._now())


def _title(chat: Conversation) -> str:
    """The title; of a chat in which nothing was said yet, in the language of the interface."""
    return _(chat.title) if chat.title == UNTITLED and not chat.renamed else chat.title


def _by_heading(chats: Sequence[ShownChat]) -> list[ShownGroup]:
    """Groups of what stands side by side under the same heading."""
    return [ShownGroup("day", day, tuple(members)) for day, members in groupby(chats, key=lambda chat: chat.day)]
