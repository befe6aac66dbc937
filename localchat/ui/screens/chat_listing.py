"""The part of the chat screen that concerns the list of chats: opening, renaming, deleting."""

from __future__ import annotations

from textual import on, work

from localchat.errors import HistoryUnavailable
from localchat.translation import _
from localchat.ui.screens.chat_part import ChatPart
from localchat.ui.widgets.chat_list import ChatList
from localchat.ui.widgets.composer import Composer


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

    @property
    def meant_chat(self) -> str | None:
        """The chat that an action is for: the one under the cursor of the list, or the one that is open."""
        return self.sidebar.highlighted if self.query_one(ChatList).has_focus else self.session.chat_id

    @work
    async def action_rename_chat(self, title: str = "") -> None:
        from localchat.ui.screens.rename import RenameScreen

        if (chat_id := self.meant_chat) is None:
            return
        wanted: str | None = title
        if not title:
            wanted = await self.app.push_screen_wait(RenameScreen(self.session.title_of(chat_id)))
        if wanted is not None:
            self.session.rename(chat_id, wanted)

    async def action_delete_chat(self) -> None:
        if (chat_id := self.meant_chat) is None:
            return
        self.save_draft()
        next_chat = self.session.neighbour(1) or self.session.neighbour(-1)
        was_open = chat_id == self.session.chat_id
        title = self.session.title_of(chat_id)
        self.session.delete(chat_id)
        if chat_id in self.session.deleted:
            said = _("“{title}” was deleted. Ctrl+Z or Alt+Z brings it back.").format(title=title)
            self.notify(said, timeout=8, markup=False)
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
