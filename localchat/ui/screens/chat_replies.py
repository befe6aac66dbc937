"""The part of the chat screen that concerns replies: stopping, writing another, going on, moving between versions."""

from __future__ import annotations

from collections.abc import Callable

from localchat.errors import LocalChatError
from localchat.translation import _
from localchat.ui.screens.chat_branching import BranchingPart
from localchat.ui.shown import ShownMessage


class RepliesPart(BranchingPart):
    """What the user does with replies."""

    def action_stop(self) -> None:
        if self.leave_text():
            return
        if self.narrow and self.has_class("-overlay"):
            self.close_overlay()
            self.composer.focus()
        elif not self.give_up_purpose() and not self.session.stop():
            self.composer.focus()

    async def action_regenerate(self) -> None:
        await self._write(self.session.branching.regenerate)

    async def action_continue_reply(self) -> None:
        if not await self._write(self.session.branching.go_on):
            self.notify(_("There is no reply here that could go on."), timeout=3)

    async def _write(self, ask: Callable[[str | None], ShownMessage | None]) -> bool:
        """Ask for the reply in focus, or the last one; whether there is now one to wait for."""
        try:
            reply = ask(self.focused_id)
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
            return True
        if reply is not None:
            await self.show_branch()
        return reply is not None

    async def action_previous_version(self) -> None:
        await self._show_version(-1)

    async def action_next_version(self) -> None:
        await self._show_version(1)

    async def _show_version(self, step: int) -> None:
        focused = self.transcript.focused_view
        view = focused or self.transcript.last_reply()
        if view is None:
            return
        index = self.transcript.shown.index(view.message)
        try:
            if not self.session.branching.show_version(view.message.id, step):
                return
            await self.show_branch()
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        if focused is not None and (new := self.transcript.view_of(self.transcript.shown[index].id)) is not None:
            new.focus()
