"""The part of the chat screen that concerns replies: stopping, writing another, moving between versions."""

from __future__ import annotations

from localchat.errors import LocalChatError
from localchat.ui.screens.chat_part import ChatPart


class RepliesPart(ChatPart):
    """What the user does with replies."""

    def action_stop(self) -> None:
        if self.narrow and self.has_class("-overlay"):
            self.close_overlay()
            self.composer.focus()
        elif not self.session.stop():
            self.composer.focus()

    async def action_regenerate(self) -> None:
        focused = self.transcript.focused_view
        reply_id = focused.message.id if focused is not None else None
        try:
            reply = self.session.regenerate(reply_id)
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        if reply is not None:
            await self.show_branch()

    async def action_previous_version(self) -> None:
        await self._show_version(-1)

    async def action_next_version(self) -> None:
        await self._show_version(1)

    async def _show_version(self, step: int) -> None:
        focused = self.transcript.focused_view
        view = focused or self.transcript.last_reply()
        if view is None or not self.session.show_version(view.message.id, step):
            return
        place = self.session.messages()
        index = self.transcript.shown.index(view.message)
        await self.transcript.show_messages(place)
        await self.catch_up()
        if focused is not None and (new := self.transcript.view_of(place[index].id)) is not None:
            new.focus()
