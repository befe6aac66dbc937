"""Two versions of a reply beside each other, often by two models, one of which may still be writing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from localchat.errors import HistoryUnavailable
from localchat.translation import _
from localchat.ui.engine_state import EngineState
from localchat.ui.ink import ACCENT, FAINT, MUTED
from localchat.ui.session import ChatSession
from localchat.ui.session_events import EngineChanged, ReplyEnded, ReplyGrew, SessionEvent
from localchat.ui.shown import ShownMessage
from localchat.ui.visible_text import one_line, visible_text
from localchat.ui.widgets.message_view import ReplyView
from localchat.ui.widgets.reply_messages import CodeChosen, LinkChosen
from localchat.ui.widgets.split_line import SplitLine
from localchat.ui.widgets.status_line import StatusLine

WIDE = 100
"""Columns from which the replies stand beside each other instead of one over the other."""


class ComparedReply(ReplyView, can_focus=False):
    """A reply in a column, which has the focus and the keys instead."""


class ReplyColumn(Vertical):
    """One version: who wrote it, and the reply."""

    def __init__(self, message: ShownMessage, writer: str) -> None:
        super().__init__()
        self.message = message
        self.view = ComparedReply(_plain(message))
        self._writer = writer

    def compose(self) -> ComposeResult:
        yield SplitLine(id="writer")
        with VerticalScroll():
            yield self.view

    def on_mount(self) -> None:
        self._show_from_the_right_end()
        self._show_writer()

    def _show_from_the_right_end(self) -> None:
        """What is being written is followed; what is finished is read from the top."""
        if self.message.status in ("waiting", "writing"):
            self.pages.anchor()
        else:
            self.pages.scroll_home(animate=False)

    @property
    def pages(self) -> VerticalScroll:
        """What scrolls, and has the focus."""
        return self.query_one(VerticalScroll)

    async def show_message(self, message: ShownMessage, writer: str) -> None:
        """Show another version here."""
        view = ComparedReply(_plain(message))
        await self.pages.mount(view)
        before, self.view = self.view, view  # not before it is there: what the session tells goes to it
        self.message, self._writer = message, writer
        await before.remove()
        self._show_from_the_right_end()
        self._show_writer()

    async def bring_up_to_date(self, fresh: ShownMessage) -> None:
        """Show what was written of this version, or became of it, meanwhile."""
        self.message = fresh
        if fresh.status in ("waiting", "writing"):
            self.view.catch_up(fresh)
        elif _plain(fresh) != self.view.message:
            await self.view.finish(_plain(fresh))
        self._show_writer()

    def _show_writer(self) -> None:
        place = Content.styled(f"{self.message.version}/{self.message.versions}", MUTED)
        self.query_one(SplitLine).show(Content.styled(one_line(self._writer), "bold"), place)


def _plain(message: ShownMessage) -> ShownMessage:
    """Without what the head of the column says."""
    return replace(message, version=1, versions=1, writer="")


class SideBySideScreen(Screen[str | None]):
    """Returns the id of the version that the user takes; None when they only looked.

    Args:
        left, right: ids of two versions of the same reply.
        title_of: the title of a model, by its name.
        ask_another: lets the user have another model write a version, and passes that to `show_version`.
        copy: puts a text into the clipboard, and says the sentence that is given with it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "take", "Take this one", id="compare.take", show=False),
        Binding("left,right,tab,shift+tab", "other_column", "The other column", id="compare.other", show=False),
        Binding("left_square_bracket", "step(-1)", "Previous version", id="compare.older", show=False),
        Binding("right_square_bracket", "step(1)", "Next version", id="compare.newer", show=False),
        Binding("y", "copy", "Copy", id="compare.copy", show=False),
        Binding("c", "copy_code", "Copy the code", id="compare.code", show=False),
        Binding("t", "toggle_thinking", "What was thought", id="compare.thinking", show=False),
        Binding("m", "ask_another", "Another model", id="compare.model", show=False),
        Binding("escape", "stop_or_leave", "Stop, then back", id="compare.leave", show=False),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]  # noqa: RUF012
    AUTO_FOCUS = ""

    def __init__(
        self,
        session: ChatSession,
        left: str,
        right: str,
        *,
        title_of: Callable[[str], str],
        ask_another: Callable[[], object],
        copy: Callable[[str, str], object],
    ) -> None:
        super().__init__()
        self._session = session
        self._title_of = title_of
        self._ask_another = ask_another
        self._copy = copy
        self._phase = ""
        self._columns = [ReplyColumn(session.message(each), self._writer(each)) for each in (left, right)]

    def _writer(self, message_id: str) -> str:
        model = self._session.store.message(message_id).model
        return self._title_of(model) if model else _("The model")

    def compose(self) -> ComposeResult:
        question = self._session.branching.question_above(self._columns[0].message.id)
        with Vertical(id="compare"):
            yield Static(Content.styled(one_line(question), MUTED), id="compare-question")
            yield Container(*self._columns, id="columns")
            yield StatusLine(id="compare-status")
            yield SplitLine(id="compare-keys")

    def on_mount(self) -> None:
        self._stop_listening = self._session.listen(self._on_session)
        self._columns[1].pages.focus()
        self.call_after_refresh(self._catch_up)

    def on_unmount(self) -> None:
        self._stop_listening()

    async def _catch_up(self) -> None:
        """Show what was written between the moment the messages were read and now."""
        for column in self._columns:
            await self._bring_up_to_date(column)
        self._phase = ""
        self._show_engine(self._session.engine_state)

    async def _bring_up_to_date(self, column: ReplyColumn) -> None:
        with suppress(HistoryUnavailable):  # locked, perhaps; what is here stays on show
            await column.bring_up_to_date(self._session.message(column.message.id))

    # ---- what the session tells

    def _on_session(self, event: SessionEvent) -> None:
        match event:
            case EngineChanged(state):
                self._show_engine(state)
            case ReplyGrew(_, reply_id, text, thinking, tokens):
                for view in (column.view for column in self._columns_of(reply_id)):
                    if thinking:
                        view.think(text, tokens)
                    else:
                        view.grow(text)
            case ReplyEnded(_, reply_id):
                for column in self._columns_of(reply_id):
                    self.run_worker(self._bring_up_to_date(column))
                self.call_later(self._show_keys)

    def _columns_of(self, message_id: str) -> list[ReplyColumn]:
        return [column for column in self._columns if column.message.id == message_id]

    def _show_engine(self, state: EngineState) -> None:
        self.query_one(StatusLine).show_engine(state)
        if state.phase == "writing" == self._phase:
            return  # only figures changed; this comes with every token
        self._phase = state.phase
        for column in self._columns:
            if column.message.status in ("waiting", "writing"):
                column.view.wait_for("…")
        self._show_keys()

    def _show_keys(self) -> None:
        keys = [
            ("enter", _("Take it")),
            ("tab", _("Other")),
            ("m", _("Another model")),
            ("y", _("Copy")),
        ]
        if self._columns[0].message.versions > 2:
            keys.insert(2, ("[ ]", _("Versions")))
        shown = [Content.assemble((key, ACCENT), " ", (label, MUTED)) for key, label in keys]
        last = Content.assemble(("esc", ACCENT), " ", (_("Stop") if self._writing else _("Back"), MUTED))
        self.query_one("#compare-keys", SplitLine).show(Content.styled("   ", FAINT).join(shown), last)

    @property
    def _writing(self) -> bool:
        return any(self._session.branching.is_being_written(column.message.id) for column in self._columns)

    # ---- what the user asks

    @property
    def _focused(self) -> ReplyColumn:
        return next((column for column in self._columns if column.pages.has_focus), self._columns[1])

    def action_other_column(self) -> None:
        next(column for column in self._columns if column is not self._focused).pages.focus()

    def action_take(self) -> None:
        self.dismiss(self._focused.message.id)

    def action_stop_or_leave(self) -> None:
        if not (self._writing and self._session.stop()):
            self.dismiss(None)

    def action_copy(self) -> None:
        self._copy(self._focused.view.message.text, _("The message was copied."))

    def action_copy_code(self) -> None:
        place, codes = self._focused.view.next_code()
        if codes:
            self._copy(codes[place], _("The code was copied."))

    @on(CodeChosen)
    def _code_chosen(self, event: CodeChosen) -> None:
        self._copy(event.code, _("The code was copied."))

    @on(LinkChosen)
    def _link_chosen(self, event: LinkChosen) -> None:
        self._copy(visible_text(event.address), _("The address was copied."))

    def action_toggle_thinking(self) -> None:
        if (thinking := self._focused.view.thinking) is not None:
            thinking.toggle()

    def action_ask_another(self) -> None:
        self._ask_another()

    async def action_step(self, step: int) -> None:
        column = self._focused
        index = column.message.version - 1 + step
        with suppress(HistoryUnavailable):
            versions = self._session.branching.versions(column.message.id)
            if 0 <= index < len(versions):
                await self._show(column, versions[index])

    async def show_version(self, message_id: str) -> None:
        """Show this one in the right column."""
        await self._show(self._columns[1], self._session.message(message_id))
        await self._bring_up_to_date(self._columns[0])  # there is one more version now
        self._columns[1].pages.focus()

    async def _show(self, column: ReplyColumn, message: ShownMessage) -> None:
        await column.show_message(message, self._writer(message.id))
        await self._catch_up()
