"""The main screen: chats at the left, the conversation, and the composer under it.

It asks the session to work and shows what the session tells; it does no I/O of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.timer import Timer

from localchat.errors import HistoryUnavailable, LocalChatError
from localchat.ui.actions import bindings
from localchat.ui.engine_state import EngineState, describe
from localchat.ui.session import ChatSession
from localchat.ui.session_events import ChatsChanged, EngineChanged, ReplyEnded, ReplyGrew, SessionEvent, Trouble
from localchat.ui.visible_text import visible_text
from localchat.ui.widgets.composer import Composer
from localchat.ui.widgets.key_bar import KeyBar
from localchat.ui.widgets.sidebar import ChatList, SearchBox, Sidebar
from localchat.ui.widgets.status_line import StatusLine
from localchat.ui.widgets.title_bar import TitleBar
from localchat.ui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from textual.widgets import Markdown

    from localchat.ui.app import LocalChatApp

WIDE = 100
"""Columns from which the list of chats stands beside the page instead of over it."""

DRAFT_PAUSE_S = 0.3
OTHER_WINDOWS_S = 2.0


class ChatScreen(Screen[None]):
    """Everything that the user sees most of the time."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings()]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]  # noqa: RUF012
    AUTO_FOCUS = "#composer"

    def __init__(self, session: ChatSession, *, sidebar: bool = True, remark: str = "") -> None:
        super().__init__()
        self.session = session
        self._remark = remark
        self._draft_timer: Timer | None = None
        self._phase = ""
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
                    yield Composer(id="composer")
                    yield StatusLine(id="status")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self.sidebar = self.query_one(Sidebar)
        self.transcript = self.query_one(Transcript)
        self.composer = self.query_one(Composer)
        self.status_line = self.query_one(StatusLine)
        self.title_bar = self.query_one(TitleBar)
        self.key_bar = self.query_one(KeyBar)
        self.session.listen(self._on_session)
        self.status_line.show_remark(self._remark)
        self._show_engine(self.session.engine_state)
        self._show_chats()
        self.set_interval(OTHER_WINDOWS_S, self._look_at_other_windows)

    @property
    def _app(self) -> LocalChatApp:
        return cast("LocalChatApp", self.app)

    # ---- what the session tells

    def _on_session(self, event: SessionEvent) -> None:
        if not self.is_attached:
            return
        match event:
            case EngineChanged(state):
                self._show_engine(state)
            case ReplyGrew(chat_id, reply_id, text):
                if chat_id == self.session.chat_id and (view := self.transcript.reply(reply_id)) is not None:
                    view.grow(text)
            case ReplyEnded(chat_id, reply_id):
                # Beside this screen's own messages: it waits for a frame, which the screen must be free to draw.
                self.run_worker(self._finish_reply(chat_id, reply_id))
            case ChatsChanged():
                self.call_later(self._show_chats)
            case Trouble(text, severity, chat_id):
                if chat_id is not None and chat_id == self.session.chat_id:
                    self.call_later(self.transcript.add_notice, text)
                else:
                    self.notify(text, severity=severity, markup=False)

    def _show_engine(self, state: EngineState) -> None:
        self.status_line.show_engine(state)
        if state.phase == "writing" == self._phase:
            return  # only figures changed; this comes with every token
        self._phase = state.phase
        self.title_bar.show_engine(state, self._app.model_title(state.model_name))
        self.key_bar.show_busy(state.phase in ("reading", "writing"))
        last = self.transcript.last_reply()
        if last is not None and last.message.status in ("waiting", "writing"):
            last.wait_for("…" if state.phase in ("reading", "writing") else describe(state))

    async def _finish_reply(self, chat_id: str, reply_id: str) -> None:
        if chat_id == self.session.chat_id and (view := self.transcript.reply(reply_id)) is not None:
            await view.finish(self.session.message(reply_id))
        self._show_chats()

    async def _catch_up(self) -> None:
        """Show what the engine wrote between the moment the messages were read and the moment they were laid out."""
        view = self.transcript.last_reply()
        if view is not None and view.message.status in ("waiting", "writing"):
            fresh = self.session.message(view.message.id)
            if fresh.status in ("waiting", "writing"):
                view.grow(fresh.text[len(view.message.text) :])
            else:
                await view.finish(fresh)
        self._phase = ""
        self._show_engine(self.session.engine_state)

    def _show_chats(self) -> None:
        try:
            chats = self.session.chats(self.sidebar.query_text)
        except HistoryUnavailable as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.sidebar.show_chats(chats, self.session.chat_id)
        self.title_bar.show_title(self.session.title)

    async def _look_at_other_windows(self) -> None:
        try:
            if not self.session.changed_elsewhere():
                return
        except HistoryUnavailable:
            return
        self._show_chats()
        fresh = self.session.messages()
        if [(m.id, m.status) for m in fresh] != [(m.id, m.status) for m in self.transcript.shown]:
            if any(m.status in ("waiting", "writing") for m in fresh):
                return  # our own reply; it tells by itself
            await self.transcript.show_messages(fresh)

    # ---- the composer

    @on(Composer.Sent)
    async def _send(self, event: Composer.Sent) -> None:
        self._forget_draft_timer()
        try:
            question, reply = self.session.send(event.text)
        except HistoryUnavailable as error:
            self.notify(str(error), title="Not sent", severity="error", markup=False)
            return  # the text stays in the composer
        self.composer.show_draft("")
        await self.transcript.add(question, reply)
        await self._catch_up()

    @on(Composer.Edited)
    def _draft_changed(self) -> None:
        self._forget_draft_timer()
        self._draft_timer = self.set_timer(DRAFT_PAUSE_S, self.save_draft)

    @on(Composer.RecallWanted)
    def _recall(self) -> None:
        self.composer.show_draft(self.session.last_question())

    @on(Composer.UndoWanted)
    async def _undo(self) -> None:
        await self.action_undelete_chat()

    def save_draft(self) -> None:
        """Keep what is in the composer, now."""
        self._forget_draft_timer()
        try:
            if self.composer.text != self.session.draft:
                self.session.save_draft(self.composer.text)
        except HistoryUnavailable as error:
            self.notify(str(error), severity="error", markup=False)

    def _forget_draft_timer(self) -> None:
        if self._draft_timer is not None:
            self._draft_timer.stop()
            self._draft_timer = None

    # ---- chats

    async def show_chat(self) -> None:
        """Show the chat that is open in the session, with its draft."""
        self._show_chats()
        self.composer.show_draft(self.session.draft)
        await self.transcript.show_messages(self.session.messages())
        await self._catch_up()

    async def _open(self, chat_id: str | None) -> None:
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
        self._close_overlay()
        self.composer.focus()

    async def action_previous_chat(self) -> None:
        await self._open(self.session.neighbour(-1))

    async def action_next_chat(self) -> None:
        await self._open(self.session.neighbour(1))

    @on(Sidebar.Chosen)
    async def _chat_chosen(self, event: Sidebar.Chosen) -> None:
        await self._open(event.chat_id)
        self._close_overlay()
        self.composer.focus()

    @on(Sidebar.SearchChanged)
    def _search(self) -> None:
        self._show_chats()

    @on(SearchBox.GivenUp)
    def _search_given_up(self) -> None:
        self._close_overlay()
        self.composer.focus()

    @property
    def _narrow(self) -> bool:
        return self.has_class("-narrow")

    @property
    def sidebar_open(self) -> bool:
        return self.has_class("-overlay") if self._narrow else not self.has_class("-folded")

    def action_toggle_chats(self) -> None:
        name = "-overlay" if self._narrow else "-folded"
        self.toggle_class(name)
        if self.sidebar_open and self._narrow:
            self.query_one(ChatList).focus()
        elif not self.sidebar_open:
            self.composer.focus()

    def action_search_chats(self) -> None:
        if not self.sidebar_open:
            self.action_toggle_chats()
        self.query_one(SearchBox).focus()

    def _close_overlay(self) -> None:
        self.remove_class("-overlay")

    @work
    async def action_rename_chat(self) -> None:
        from localchat.ui.screens.rename import RenameScreen

        if self.session.chat_id is None:
            return
        title = await self.app.push_screen_wait(RenameScreen(self.session.title))
        if title is not None:
            self.session.rename(title)

    async def action_delete_chat(self) -> None:
        in_list = self.query_one(ChatList).has_focus
        chat_id = self.sidebar.highlighted if in_list else self.session.chat_id
        if chat_id is None:
            return
        self.save_draft()
        next_chat = self.session.neighbour(1) or self.session.neighbour(-1)
        was_open = chat_id == self.session.chat_id
        chat = self.session.delete(chat_id)
        self.notify(f"“{chat.title}” was deleted. Ctrl+Z or Alt+Z brings it back.", timeout=8, markup=False)
        if was_open:
            if next_chat is not None and next_chat != chat_id:
                self.session.open_chat(next_chat)
            await self.show_chat()

    async def action_undelete_chat(self) -> None:
        self.save_draft()
        if self.session.undelete() is not None:
            self.app.clear_notifications()
            await self.show_chat()

    # ---- replies

    def action_stop(self) -> None:
        if self._narrow and self.has_class("-overlay"):
            self._close_overlay()
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
            await self.transcript.show_messages(self.session.messages())
            await self._catch_up()

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
        await self._catch_up()
        if focused is not None and (new := self.transcript.view_of(place[index].id)) is not None:
            new.focus()

    def action_focus_message(self, step: int) -> None:
        if not self.transcript.focus_message(step) and step > 0:
            self.composer.focus()

    def action_copy_message(self) -> None:
        view = self.transcript.focused_view or self.transcript.last_reply()
        if view is not None and view.message.text:
            self._app.copy_text(view.message.text)

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        """An address that a model wrote is never opened, only handed over."""
        event.stop()
        self._app.copy_text(visible_text(event.href), "The address was copied.")

    # ---- reading

    def action_scroll_top(self) -> None:
        self.transcript.to_top()

    def action_scroll_end(self) -> None:
        self.transcript.to_end()

    def key_pageup(self) -> None:
        self.transcript.page(-1)

    def key_pagedown(self) -> None:
        self.transcript.page(1)

    # ---- the program

    def action_choose_model(self) -> None:
        self._app.choose_model()

    def action_settings(self) -> None:
        self._app.show_settings()

    def action_help(self) -> None:
        self._app.show_help()

    def action_edit_draft(self) -> None:
        from localchat.ui.editor import edit_outside

        edited = edit_outside(self.app, self.composer.text)
        if edited is not None:
            self.composer.show_draft(edited)
            self.save_draft()
