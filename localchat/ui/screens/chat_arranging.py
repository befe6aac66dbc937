"""The part of the chat screen that concerns the order of the list: pinning, folders, the archive."""

from __future__ import annotations

from collections.abc import Callable

from textual import on, work

from localchat.errors import HistoryUnavailable
from localchat.translation import _
from localchat.ui.screens.chat_listing import ListingPart
from localchat.ui.widgets.chat_list import ChatList


class ArrangingPart(ListingPart):
    """What the user does to find chats again later."""

    def action_pin_chat(self) -> None:
        if (chat_id := self._arrangeable()) is not None:
            pinned = self.session.listing.is_pinned(chat_id)
            said = _("No longer pinned.") if pinned else _("Pinned: it stands at the top of the list.")
            self._arrange(lambda: self.session.listing.pin(chat_id, not pinned), said)

    def action_archive_chat(self) -> None:
        if (chat_id := self._arrangeable()) is not None:
            archived = self.session.listing.is_archived(chat_id)
            said = _("Back in the list.") if archived else _("Archived. Searching still finds it.")
            self._arrange(lambda: self.session.listing.archive(chat_id, not archived), said)

    @work
    async def action_move_chat(self, folder: str = "") -> None:
        from localchat.ui.screens.folder import FolderScreen

        if (chat_id := self._arrangeable()) is None:
            return
        listing = self.session.listing
        wanted: str | None = folder.strip()
        if not wanted:
            wanted = await self.app.push_screen_wait(FolderScreen(listing.folders(), listing.folder_of(chat_id)))
        if wanted is None:
            return
        said = _("Moved to “{folder}”.").format(folder=wanted) if wanted else _("In no folder now.")
        self._arrange(lambda: listing.move(chat_id, wanted), said)

    def _arrangeable(self) -> str | None:
        """The chat that is meant, if the history on disk holds it."""
        chat_id = self.meant_chat
        if chat_id is None:
            self.notify(_("There is no chat here yet."), timeout=3)
        elif chat_id in self.session.private:
            self.notify(_("A private chat is not kept, so it has no place in the list."), timeout=4)
            return None
        return chat_id

    def _arrange(self, change: Callable[[], None], said: str) -> None:
        """Do it, and say so where the list does not show it."""
        try:
            change()
        except HistoryUnavailable as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.show_chats()
        if not self.sidebar_open:
            self.notify(said, timeout=3, markup=False)

    @on(ChatList.FoldWanted)
    def _fold(self, event: ChatList.FoldWanted) -> None:
        try:
            self.session.listing.fold(event.group, event.folded)
        except HistoryUnavailable as error:
            self.notify(str(error), severity="error", markup=False)
        self.show_chats()
