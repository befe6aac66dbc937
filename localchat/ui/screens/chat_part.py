"""What the parts of the chat screen share: the widgets, the session, and showing a conversation anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.screen import Screen
from textual.timer import Timer

from localchat.errors import HistoryUnavailable
from localchat.ui.engine_state import EngineState, describe
from localchat.ui.session import ChatSession
from localchat.ui.widgets.composer import Composer
from localchat.ui.widgets.key_bar import KeyBar
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
    status_line: StatusLine
    title_bar: TitleBar
    key_bar: KeyBar
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
                view.grow(fresh.text[len(view.message.text) :])
            else:
                await view.finish(fresh)
        self.phase = ""
        self.show_engine(self.session.engine_state)

    async def show_branch(self) -> None:
        """Show the messages of the open chat anew, and go on with what is being written."""
        await self.transcript.show_messages(self.session.messages())
        await self.catch_up()

    async def show_chat(self) -> None:
        """Show the chat that is open in the session, with its draft."""
        self.show_chats()
        self.composer.show_draft(self.session.draft)
        await self.show_branch()

    def show_chats(self) -> None:
        try:
            chats = self.session.chats(self.sidebar.query_text)
        except HistoryUnavailable as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.sidebar.show_chats(chats, self.session.chat_id)
        self.title_bar.show_title(self.session.title)

    def close_overlay(self) -> None:
        self.remove_class("-overlay")

    def save_draft(self) -> None:
        """Keep what is in the composer, now."""
        self.forget_draft_timer()
        try:
            if self.composer.text != self.session.draft:
                self.session.save_draft(self.composer.text)
        except HistoryUnavailable as error:
            self.notify(str(error), severity="error", markup=False)

    def forget_draft_timer(self) -> None:
        if self.draft_timer is not None:
            self.draft_timer.stop()
            self.draft_timer = None
