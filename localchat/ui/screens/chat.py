"""The main screen: chats at the left, the conversation, and the composer under it.

It asks the session to work and shows what the session tells; it does no I/O of its own.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical

from localchat.errors import HistoryUnavailable
from localchat.translation import _
from localchat.ui.actions import bindings
from localchat.ui.screens.chat_arranging import ArrangingPart
from localchat.ui.screens.chat_finding import FindingPart
from localchat.ui.screens.chat_inside import InsidePart
from localchat.ui.screens.chat_reading import ReadingPart
from localchat.ui.screens.chat_replies import RepliesPart
from localchat.ui.screens.chat_settings import SettingsPart
from localchat.ui.screens.chat_taking import TakingPart
from localchat.ui.screens.chat_working import WorkingPart
from localchat.ui.screens.chat_writing import WritingPart
from localchat.ui.session import ChatSession
from localchat.ui.session_events import (
    ChatsChanged,
    ContextChanged,
    EngineChanged,
    ReplyEnded,
    ReplyGrew,
    SessionEvent,
    Trouble,
)
from localchat.ui.widgets.completions import Completions
from localchat.ui.widgets.composer import Composer
from localchat.ui.widgets.context_line import ContextLine
from localchat.ui.widgets.file_row import FileRow
from localchat.ui.widgets.key_bar import KeyBar
from localchat.ui.widgets.purpose_line import PurposeLine
from localchat.ui.widgets.sidebar import Sidebar
from localchat.ui.widgets.status_line import StatusLine
from localchat.ui.widgets.title_bar import TitleBar
from localchat.ui.widgets.transcript import Transcript

WIDE = 100
"""Columns from which the list of chats stands beside the page instead of over it."""

OTHER_WINDOWS_S = 2.0


class ChatScreen(
    WorkingPart, FindingPart, ArrangingPart, RepliesPart, InsidePart, WritingPart, ReadingPart, SettingsPart, TakingPart
):
    """Everything that the user sees most of the time."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings()]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]  # noqa: RUF012
    AUTO_FOCUS = "#composer"

    def __init__(self, session: ChatSession, *, sidebar: bool = True, remark: str = "") -> None:
        super().__init__()
        self.session = session
        self.remark = remark
        self.set_class(not sidebar, "-folded", update=False)
        narrow = self.app.size.width < WIDE
        # What the first resize will find anyway; known from the start, it spares a second layout.
        self.set_class(narrow, "-narrow", update=False)
        self.set_class(not narrow, "-wide", update=False)

    def compose(self) -> ComposeResult:
        with Horizontal(id="desk"):
            yield Sidebar(id="sidebar")
            with Vertical(id="page"):
                with Vertical(classes="measure top"), Vertical(id="head"):
                    yield TitleBar(id="title")
                yield Transcript(id="transcript")
                with Vertical(classes="measure"), Vertical(id="foot"):
                    yield ContextLine(id="context")
                    yield PurposeLine(id="purpose")
                    yield (completions := Completions(id="completions"))
                    yield FileRow(id="files")
                    yield Composer(completions, id="composer")
                    yield StatusLine(id="status")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self._take_widgets()
        self.session.listen(self._on_session)
        self._begin()
        self.set_interval(OTHER_WINDOWS_S, self._look_at_other_windows)

    def _take_widgets(self) -> None:
        self.sidebar = self.query_one(Sidebar)
        self.transcript = self.query_one(Transcript)
        self.composer = self.query_one(Composer)
        self.composer.completer = self._complete
        self.purpose_line = self.query_one(PurposeLine)
        self.context_line = self.query_one(ContextLine)
        self.file_row = self.query_one(FileRow)
        self.status_line = self.query_one(StatusLine)
        self.title_bar = self.query_one(TitleBar)
        self.key_bar = self.query_one(KeyBar)

    def _begin(self) -> None:
        self.status_line.show_remark(_(self.remark) if self.remark else "")
        self.show_engine(self.session.engine_state)
        self.show_chats()

    async def speak_anew(self) -> None:
        """Lay everything out again, in the language that is spoken now. The session and the draft stay."""
        self.save_draft()
        await self.recompose()
        self._take_widgets()
        self.phase = ""
        self._begin()
        await self.show_chat()
        self.composer.focus()

    # ---- what the session tells

    def _on_session(self, event: SessionEvent) -> None:
        if not self.is_attached:
            return
        match event:
            case EngineChanged(state):
                self.show_engine(state)
            case ReplyGrew(chat_id, reply_id, text, thinking, tokens):
                if chat_id == self.session.chat_id and (view := self.transcript.reply(reply_id)) is not None:
                    if thinking:
                        view.think(text, tokens)
                    else:
                        view.grow(text)
            case ReplyEnded(chat_id, reply_id):
                # Beside this screen's own messages: it waits for a frame, which the screen must be free to draw.
                self.run_worker(self._finish_reply(chat_id, reply_id))
            case ChatsChanged():
                self.call_later(self.show_chats)
            case ContextChanged(chat_id, message_id):
                if chat_id == self.session.chat_id:
                    self.context_changed(message_id)
            case Trouble(text, severity, chat_id):
                if chat_id is not None and chat_id == self.session.chat_id:
                    self.call_later(self.transcript.add_notice, text)
                else:
                    self.notify(text, severity=severity, markup=False)

    async def _finish_reply(self, chat_id: str, reply_id: str) -> None:
        if chat_id == self.session.chat_id and (view := self.transcript.reply(reply_id)) is not None:
            await view.finish(self.session.message(reply_id))
        self.show_chats()

    async def _look_at_other_windows(self) -> None:
        try:
            if not self.session.changed_elsewhere():
                return
        except HistoryUnavailable:
            return
        self.show_chats()
        fresh = self.session.messages()
        if [(m.id, m.status) for m in fresh] != [(m.id, m.status) for m in self.transcript.shown]:
            if any(m.status in ("waiting", "writing") for m in fresh):
                return  # our own reply; it tells by itself
            await self.transcript.show_messages(fresh)
