"""The part of the chat screen that concerns the list of chats: opening, finding, renaming, deleting."""

from __future__ import annotations

from textual import on, work

from localchat.errors import HistoryUnavailable
from localchat.ui.screens.chat_part import ChatPart
from localchat.ui.widgets.composer import Composer
from localchat.ui.widgets.sidebar import ChatList, SearchBox, Sidebar


class ListingPart(ChatPart):
    """What the user does with whole chats."""

    async def open_chat(self, chat_id: str | None) -> None:
        if chat_id is None:
            return
        self.save_draft()
        try:
            self.session.open_chat(chat_id)
        except HistoryUnavailable as error:
            self.notify(str(error), severity="error", markup=False)
        await self.show_chat()

    async def action_new_chat(self) -> None:
        self.save_draft()
        self.session.new_chat()
        await self.show_chat()
        self.close_overlay()
        self.composer.focus()

    async def action_previous_chat(self) -> None:
        await self.open_chat(self.session.neighbour(-1))

    async def action_next_chat(self) -> None:
        await self.open_chat(self.session.neighbour(1))

    @on(Sidebar.Chosen)
    async def _chat_chosen(self, event: Sidebar.Chosen) -> None:
        await self.open_chat(event.chat_id)
        self.close_overlay()
        self.composer.focus()

    @on(Sidebar.SearchChanged)
    def _search(self) -> None:
        self.show_chats()

    @on(SearchBox.GivenUp)
    def _search_given_up(self) -> None:
        self.close_overlay()
        self.composer.focus()

    @property
    def sidebar_open(self) -> bool:
        return self.has_class("-overlay") if self.narrow else not self.has_class("-folded")

    def action_toggle_chats(self) -> None:
        name = "-overlay" if self.narrow else "-folded"
        self.toggle_class(name)
        if self.sidebar_open and self.narrow:
            self.query_one(ChatList).focus()
        elif not self.sidebar_open:
            self.composer.focus()

    def action_search_chats(self) -> None:
        if not self.sidebar_open:
            self.action_toggle_chats()
        self.query_one(SearchBox).focus()

    @work
    async def action_rename_chat(self) -> None:
        from localchat.ui.screens.rename import RenameScreen

        if self.session.chat_id is None:
            return
        title = await self.app.push_screen_wait(RenameScreen(self.session.title))
        if title is not None:
            self.session.rename(title)

    async def action_delete_chat(self) -> None:
        in_list = self.query_one(ChatList).has_focus
        chat_id = self.sidebar.highlighted if in_list else self.session.chat_id
        if chat_id is None:
            return
        self.save_draft()
        next_chat = self.session.neighbour(1) or self.session.neighbour(-1)
        was_open = chat_id == self.session.chat_id
        chat = self.session.delete(chat_id)
        self.notify(f"“{chat.title}” was deleted. Ctrl+Z or Alt+Z brings it back.", timeout=8, markup=False)
        if was_open:
            if next_chat is not None and next_chat != chat_id:
                self.session.open_chat(next_chat)
            await self.show_chat()

    @on(Composer.UndoWanted)
    async def action_undelete_chat(self) -> None:
        self.save_draft()
        if self.session.undelete() is not None:
            self.app.clear_notifications()
            await self.show_chat()
