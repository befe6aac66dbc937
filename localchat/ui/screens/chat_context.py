"""The part of the chat screen that concerns the context: what the model will see, what stays, and what is summed up."""

from __future__ import annotations

import asyncio

from textual import on, work
from textual.timer import Timer

from localchat.errors import HistoryUnavailable, LocalChatError
from localchat.translation import _
from localchat.ui.context_rows import LedgerView
from localchat.ui.engine_state import EngineState
from localchat.ui.screens.chat_part import ChatPart
from localchat.ui.widgets.composer import Composer
from localchat.ui.widgets.context_line import ContextLine

LOOK_PAUSE_S = 0.4
"""Without a key, until the draft is measured."""


class ContextPart(ChatPart):
    """What the user does about the context."""

    context_line: ContextLine
    _look_timer: Timer | None = None
    _is_looking = False
    _known: tuple[str | None, str] | None = None
    """The chat and the draft that were measured last; None when that holds no longer."""
    _view: LedgerView | None = None
    """What the line over the composer says."""
    _view_of: str | None = None
    """The chat that this is of."""

    def show_engine(self, state: EngineState) -> None:
        was_ready = self.phase == "ready"
        super().show_engine(state)
        if state.phase == "ready" and not was_ready:
            self.look_anew()

    @on(Composer.Edited)
    def _edited(self) -> None:
        self._look_soon()

    async def show_branch(self) -> None:
        await super().show_branch()
        self.look_anew()

    def look_anew(self) -> None:
        """Another conversation or draft is on show, or another model sees it: what was known holds no longer."""
        self._known = None
        if self._view is not None and self._view_of != self.session.chat_id:
            self._view = None
            self.show_context()
        self._look_soon()

    def _look_soon(self) -> None:
        if self._look_timer is not None:
            self._look_timer.stop()
        self._look_timer = self.set_timer(LOOK_PAUSE_S, self.look_at_context)

    # ---- before a message is sent

    @work(group="context")
    async def look_at_context(self) -> None:
        """Find out what the draft would push out, and say it over the composer."""
        await self._look()

    async def _look(self) -> None:
        """One at a time; what changes meanwhile is looked at after that."""
        if self._is_looking or not self.session.context.can_ask:
            return
        self._is_looking = True
        try:
            while self._known != (now := (self.session.chat_id, self.composer.text)):
                view = None
                if not self.session.context.surely_fits(now[1]):
                    view = await self.session.context.ledger(now[1])
                    if view is None:
                        return
                self._known, self._view, self._view_of = now, view, now[0]
        except LocalChatError:
            self._view = None  # the reply will say it
        finally:
            self._is_looking = False
            self.show_context()

    def show_context(self) -> None:
        """Say over the composer what is known."""
        summing = self.session.context.summing.chat_id == self.session.chat_id is not None
        self.context_line.show_view(self._view, self.session.context.left_out_before(), summing=summing)

    async def may_send(self, text: str) -> bool:
        """Whether the message may go: not before the user could read what it pushes out of the model's sight."""
        context = self.session.context
        if not context.can_ask or self.session.purpose.current is not None:
            return True  # what goes is said in the transcript; the engine refuses what may not be sent
        while self._is_looking:
            await asyncio.sleep(0.01)
        told = len(self._view.ledger.gone) if self._view is not None else context.left_out_before()
        await self._look()
        view = self._view
        if view is None or self._known != (self.session.chat_id, text):
            return True
        if view.ledger.refusal:
            self.notify(view.ledger.refusal, title=_("Not sent"), severity="warning", timeout=10, markup=False)
            return False
        if len(view.ledger.gone) <= told:
            return True
        self.notify(_("{what}. Enter again sends it.").format(what=view.named()), severity="warning", markup=False)
        return False

    def context_was_sent(self) -> None:
        """The draft is on its way: what was said about it is over."""
        self._known = self._view = None
        self.context_line.display = False

    def context_changed(self, message_id: str | None) -> None:
        """A message was pinned or has a summary, or one is being made."""
        if message_id is not None and (view := self.transcript.view_of(message_id)) is not None:
            view.mark(self.session.message(message_id))
        self._known = None
        self.show_context()
        self.look_at_context()

    # ---- the ledger

    @work
    async def action_context(self) -> None:
        """Show what the model would see, part by part."""
        from localchat.ui.screens.context import ContextScreen

        try:
            view = await self.session.context.ledger(self.composer.text)
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        if view is None:
            self.notify(_("The engine is at work. What it sees can be shown when it rests."), timeout=4)
            return
        chosen = await self.app.push_screen_wait(ContextScreen(self.session, self.composer.text, view))
        if chosen is not None and (found := await self.transcript.lay_out(chosen)) is not None:
            found.focus()

    def action_pin_message(self) -> None:
        """Pin the message in focus (the last one, when none is), or unpin it."""
        shown = self.transcript.shown
        view = self.transcript.focused_view
        if not shown:
            self.notify(_("There is no message in this chat yet."), timeout=3)
            return
        try:
            pinned = self.session.context.toggle_pin(view.message.id if view is not None else shown[-1].id)
        except HistoryUnavailable as error:
            self.notify(str(error), severity="error", markup=False)
            return
        said = _("Pinned: the model keeps seeing this exchange.") if pinned else _("No longer pinned.")
        self.notify(said, timeout=3)

    def action_toggle_summary(self) -> None:
        """Fold or unfold the summary under the message in focus."""
        view = self.transcript.focused_view
        if view is not None and view.marks is not None:
            view.marks.toggle()

    def action_edit_summary(self) -> None:
        """Let the user change the latest summary."""
        try:
            message_id = self.session.context.latest_summary()
            if message_id is None:
                self.notify(
                    _("There is no summary yet. With overflow = summary, one is made before the context is full."),
                    timeout=6,
                )
                return
            if self.session.purpose.current is None:
                self.forget_draft_timer()
                self.session.purpose.edit_summary(message_id, self.composer.draft)
                self.show_composer()
            self.composer.focus()
        except HistoryUnavailable as error:
            self.notify(str(error), severity="error", markup=False)
