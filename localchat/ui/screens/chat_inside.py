"""The part of the chat screen that looks inside replies: their tokens, and whether they come out the same again."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work

from localchat.errors import LocalChatError
from localchat.history.exporting import FORMATS, free_path, write_text
from localchat.translation import _
from localchat.ui.screens.chat_branching import BranchingPart
from localchat.ui.visible_text import one_line

if TYPE_CHECKING:
    from localchat.history.records import StoredMessage
    from localchat.recording import Recording
    from localchat.ui.turn import ModelSource


class InsidePart(BranchingPart):
    """What the user asks about how a reply was made."""

    @work
    async def action_show_tokens(self) -> None:
        """Show the reply in focus, or the last one, token by token."""
        from localchat.ui.screens.token_view import TokenViewScreen

        if (meant := self._recorded_reply()) is None:
            return
        reply, recording, writer = meant
        inside = self.session.inside
        title = self._app.model_title(reply.model or "")
        explain = partial(inside.explain, recording, writer)
        wanted = await self.app.push_screen_wait(TokenViewScreen(title, recording, explain, self._export_tokens))
        if wanted is None:
            return
        try:
            inside.branch(reply.id, recording, wanted.part, wanted.before, wanted.token, writer)
            await self.show_branch()
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)

    @work
    async def action_replay_reply(self) -> None:
        """Make the reply in focus, or the last one, again, and say whether it is the same."""
        from localchat.ui.screens.replay import ReplayScreen

        if (meant := self._recorded_reply()) is not None:
            _reply, recording, writer = meant
            replay = partial(self.session.inside.replay, recording, writer)
            await self.app.push_screen_wait(ReplayScreen(recording, replay))

    def _recorded_reply(self) -> tuple[StoredMessage, Recording, ModelSource | None] | None:
        """The reply that is meant, what makes it again, and its model; None when there is nothing, which was said."""
        try:
            reply = self.session.branching.reply_at(self.focused_id)
            if reply is None:
                self.notify(_("There is no reply in this chat yet."), timeout=3)
                return None
            return reply, self.session.inside.recording(reply.id), self._app.writer_of(reply)
        except LocalChatError as error:
            self.notify(str(error), severity="warning", timeout=6, markup=False)
            return None

    def _export_tokens(self, text: str) -> None:
        path = free_path(_("{title} tokens").format(title=self.session.title), FORMATS["json"], Path.cwd())
        try:
            write_text(path, text)
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.notify(_("Written to {path}.").format(path=one_line(str(path))), timeout=6, markup=False)
