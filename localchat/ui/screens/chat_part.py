"""What the parts of the chat screen share: the widgets, the session, and showing a conversation anew."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast

from textual.screen import Screen
from textual.timer import Timer

from localchat.errors import HistoryLocked, HistoryUnavailable, LocalChatError
from localchat.translation import _
from localchat.ui.engine_state import EngineState, describe
from localchat.ui.session import ChatSession
from localchat.ui.widgets.composer import Composer
from localchat.ui.widgets.draft_area import INVITATION
from localchat.ui.widgets.file_row import FileRow
from localchat.ui.widgets.key_bar import KeyBar
from localchat.ui.widgets.purpose_line import PurposeLine
from localchat.ui.widgets.sidebar import Sidebar
from localchat.ui.widgets.status_line import StatusLine
from localchat.ui.widgets.title_bar import TitleBar
from localchat.ui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from localchat.ui.app import LocalChatApp


class ChatPart(Screen[None]):
    """Base of the parts, each of which answers one kind of wish. They are screens to Textual, so that it finds their
    handlers."""

    session: ChatSession
    sidebar: Sidebar
    transcript: Transcript
    composer: Composer
    file_row: FileRow
    purpose_line: PurposeLine
    status_line: StatusLine
    title_bar: TitleBar
    key_bar: KeyBar
    remark = ""
    """What stays true while the program runs, such as that nothing is being saved."""
    phase = ""
    draft_timer: Timer | None = None

    @property
    def _app(self) -> LocalChatApp:
        return cast("LocalChatApp", self.app)

    @property
    def narrow(self) -> bool:
        return self.has_class("-narrow")

    def show_engine(self, state: EngineState) -> None:
        self.status_line.show_engine(state)
        if state.phase == "writing" == self.phase:
            return  # only figures changed; this comes with every token
        self.phase = state.phase
        self.title_bar.show_engine(state, self._app.model_title(state.model_name))
        if state.phase == "ready":
            with contextlib.suppress(HistoryUnavailable):
                self.title_bar.show_own(self._own_words())  # some of it means nothing to some models
        self.key_bar.show_busy(state.phase in ("reading", "writing"))
        last = self.transcript.last_reply()
        if last is not None and last.message.status in ("waiting", "writing"):
            last.wait_for("…" if state.phase in ("reading", "writing") else describe(state))

    async def catch_up(self) -> None:
        """Show what the engine wrote between the moment the messages were read and the moment they were laid out."""
        view = self.transcript.last_reply()
        if view is not None and view.message.status in ("waiting", "writing"):
            fresh = self.session.message(view.message.id)
            if fresh.status in ("waiting", "writing"):
                view.catch_up(fresh)
            else:
                await view.finish(fresh)
        self.phase = ""
        self.show_engine(self.session.engine_state)

    async def show_branch(self) -> None:
        """Show the messages of the open chat anew, and go on with what is being written."""
        await self.transcript.show_messages(self.session.messages())
        self.show_purpose()
        await self.catch_up()

    async def show_chat(self) -> None:
        """Show the chat that is open in the session, with its draft."""
        self.show_chats()
        self.show_composer()
        await self.show_branch()

    def show_composer(self) -> None:
        """Show what was being written in this chat, and what for."""
        self.composer.show_draft(self.session.draft)
        self.show_purpose()
        self.show_files()

    def show_purpose(self) -> None:
        """Say what the composer is for, and mark the question that it is about."""
        purpose = self.session.purpose.current
        self.purpose_line.show_purpose(purpose)
        begins = purpose is not None and purpose.kind == "begin"
        self.composer.placeholder = _("The first words of the reply") if begins else _(INVITATION)
        for view in self.transcript.views:
            view.set_class(purpose is not None and view.message.id == purpose.message_id, "-concerned")

    def show_files(self) -> None:
        """Show the files that wait in the composer."""
        raise NotImplementedError

    def leave_text(self) -> bool:
        """Go from the text that the chat is about to the conversation; False when the focus is not in the text."""
        raise NotImplementedError

    async def fulfil_purpose(self, text: str) -> None:
        """Do what the composer is for with this text, which stays in it when that fails."""
        try:
            self.session.purpose.fulfil(text)
        except LocalChatError as error:
            self.notify(str(error), title=_("Not sent"), severity="error", markup=False)
            return
        self.show_composer()
        await self.show_branch()

    def show_chats(self) -> None:
        typed, listing = self.sidebar.query_text, self.session.listing
        try:
            groups = listing.found(typed) if typed else listing.groups()
            remark = listing.remark() if typed else ""
        except HistoryLocked:
            groups, remark = [], ""
        except HistoryUnavailable as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.sidebar.show_groups(groups, self.session.chat_id, remark)
        self.title_bar.show_title(self.session.title)
        private = self.session.is_private
        self.set_class(private, "-private")
        self.status_line.show_remark(_("Private: kept in memory only") if private else self.remark)
        self.title_bar.show_own(self._own_words())

    def _own_words(self) -> str:
        """What the open chat has of its own, its model included while another one is loaded."""
        own = self.session.own
        waiting = own.model if own.model not in (None, self.session.engine_state.model_name) else None
        parts = (self._app.model_title(waiting or ""), own.summary(self.session.engine_state.model))
        return " · ".join(part for part in parts if part)

    def close_overlay(self) -> None:
        self.remove_class("-overlay")

    def save_draft(self) -> None:
        """Keep what is in the composer, now."""
        self.forget_draft_timer()
        try:
            if self.composer.draft != self.session.draft:
                self.session.save_draft(self.composer.draft)
        except HistoryUnavailable as error:
            self.notify(str(error), severity="error", markup=False)

    def forget_draft_timer(self) -> None:
        if self.draft_timer is not None:
            self.draft_timer.stop()
            self.draft_timer = None
