"""The part of the chat screen that concerns the composer: sending, drafts, the editor."""

from __future__ import annotations

from textual import on

from localchat.errors import HistoryUnavailable
from localchat.ui.screens.chat_part import ChatPart
from localchat.ui.widgets.composer import Composer

DRAFT_PAUSE_S = 0.3


class WritingPart(ChatPart):
    """What the user does with the composer."""

    @on(Composer.Sent)
    async def _send(self, event: Composer.Sent) -> None:
        self.forget_draft_timer()
        try:
            question, reply = self.session.send(event.text)
        except HistoryUnavailable as error:
            self.notify(str(error), title="Not sent", severity="error", markup=False)
            return  # the text stays in the composer
        self.composer.show_draft("")
        await self.transcript.add(question, reply)
        await self.catch_up()

    @on(Composer.Edited)
    def _draft_changed(self) -> None:
        self.forget_draft_timer()
        self.draft_timer = self.set_timer(DRAFT_PAUSE_S, self.save_draft)

    @on(Composer.RecallWanted)
    def _recall(self) -> None:
        self.composer.show_draft(self.session.last_question())

    def action_edit_draft(self) -> None:
        from localchat.ui.editor import edit_outside

        edited = edit_outside(self.app, self.composer.text)
        if edited is not None:
            self.composer.show_draft(edited)
            self.save_draft()
