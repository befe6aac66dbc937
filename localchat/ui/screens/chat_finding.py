"""The part of the chat screen that concerns searching: what was found, and its words in the conversation."""

from __future__ import annotations

import time

from textual import on, work
from textual.worker import get_current_worker

from localchat.errors import HistoryUnavailable
from localchat.history.search_words import Search
from localchat.translation import _
from localchat.ui.screens.chat_listing import ListingPart
from localchat.ui.widgets.chat_list import ChatList
from localchat.ui.widgets.found_words import FoundWords
from localchat.ui.widgets.sidebar import SearchBox, Sidebar
from localchat.ui.widgets.transcript import Transcript

STEP_S = 0.03
"""Time that the history is held at once while it is made searchable, and then left to others."""


class FindingPart(ListingPart):
    """What the user does to find words."""

    found_words: FoundWords

    def on_mount(self) -> None:
        self.found_words = FoundWords(self.transcript)
        self.call_after_refresh(self._read_history)

    @work(thread=True, exclusive=True, group="reading history")
    def _read_history(self) -> None:
        """Let searching know everything: what an older version wrote, or an import, while nobody waits for it."""
        worker, there_was_more = get_current_worker(), False
        try:
            while not worker.is_cancelled and self.session.listing.read_on(STEP_S):
                there_was_more = True
                time.sleep(STEP_S)
        except HistoryUnavailable:
            return  # locked or gone; whoever searches is told
        if there_was_more and not worker.is_cancelled and self.sidebar.query_text:
            self.app.call_from_thread(self.show_chats)

    def action_search_chats(self, words: str = "") -> None:
        if not self.sidebar_open:
            self.action_toggle_chats()
        if words:
            self.sidebar.search_for(words)
        self.query_one(SearchBox).focus()

    @on(Sidebar.SearchChanged)
    def _search(self, event: Sidebar.SearchChanged) -> None:
        self.show_chats()
        if not event.query:
            self.found_words.forget()
        else:
            self._read_history()
        if event.into_list:
            self.sidebar.into_list()

    @on(Transcript.LaidOut)
    def _mark_what_is_new(self) -> None:
        if self.found_words.search:
            self.found_words.mark_all()

    @on(SearchBox.GivenUp)
    def _search_given_up(self) -> None:
        self.close_overlay()
        self.composer.focus()

    @on(ChatList.Chosen)
    async def _chat_chosen(self, event: ChatList.Chosen) -> None:
        chat, search = event.chat, Search(self.sidebar.query_text)
        try:
            if chat.message_id is not None:
                self.session.listing.bring_to_show(chat.id, chat.message_id)
        except HistoryUnavailable as error:
            self.notify(str(error), severity="error", markup=False)
        await self.open_chat(chat.id)
        self.close_overlay()
        self.composer.focus()
        await self.found_words.show(search, chat.message_id)

    async def action_next_found(self) -> None:
        await self._step(1)

    async def action_previous_found(self) -> None:
        await self._step(-1)

    async def _step(self, direction: int) -> None:
        if not self.found_words.search:
            self.action_search_chats()
        elif not await self.found_words.step(direction):
            below, above = _("That was the last one below."), _("That was the last one above.")
            self.notify(below if direction > 0 else above, timeout=2)
