"""The list of chats, by day, with a search box above it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from localchat.ui.ink import ACCENT, FAINT, MUTED, PLAIN
from localchat.ui.shown import ShownChat
from localchat.ui.visible_text import one_line

_SEARCH_PAUSE_S = 0.15


class ChatList(OptionList):
    """Chats under the names of their days."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("delete,d", "screen.delete_chat", "Delete chat", id="list.delete", show=False),
        Binding("u", "screen.undelete_chat", "Undo delete", id="list.undelete", show=False),
        Binding("slash", "screen.search_chats", "Search", id="list.search", show=False),
        Binding("j", "cursor_down", "Down", id="list.down", show=False),
        Binding("k", "cursor_up", "Up", id="list.up", show=False),
    ]


class SearchBox(Input):
    """Arrow down and Enter lead into the list, Escape empties the box."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "leave", "To the list", id="search.list", show=False),
        Binding("escape", "give_up", "Give up the search", id="search.cancel", show=False),
    ]

    class Left(Message):
        """On to the list."""

    class GivenUp(Message):
        """Back to the draft."""

    def action_leave(self) -> None:
        self.post_message(self.Left())

    def action_give_up(self) -> None:
        self.value = ""
        self.post_message(self.GivenUp())


class Sidebar(Vertical):
    """Knows what it shows, not where it comes from."""

    @dataclass
    class Chosen(Message):
        """Open this chat."""

        chat_id: str

    @dataclass
    class SearchChanged(Message):
        """Show the chats that match; all of them when it is empty."""

        query: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._chats: tuple[ShownChat, ...] = ()
        self._current: str | None = None
        self._typing: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Static("localchat", classes="wordmark", markup=False)
        yield SearchBox(placeholder="Search", id="search", compact=True, select_on_focus=False)
        yield ChatList(id="chats", markup=False, compact=True)

    @property
    def query_text(self) -> str:
        return self.query_one(SearchBox).value.strip()

    @property
    def highlighted(self) -> str | None:
        """The chat under the cursor."""
        option = self.query_one(ChatList).highlighted_option
        return option.id if option is not None else None

    def show_chats(self, chats: Sequence[ShownChat], current: str | None) -> None:
        """Show these, and mark the one that is open."""
        if self._chats == tuple(chats) and self._current == current:
            return
        chat_list = self.query_one(ChatList)
        above_cursor = self.highlighted if chat_list.has_focus else current
        self._chats, self._current = tuple(chats), current
        options: list[Option] = []
        day = None
        for chat in chats:
            if chat.day != day:
                gap = "\n" if day is not None else ""
                day = chat.day
                options.append(Option(Content.styled(f"{gap}  {day}", FAINT), disabled=True))
            options.append(Option(self._line(chat), id=chat.id))
        if not chats:
            empty = "Nothing found" if self.query_text else "No chats yet"
            options.append(Option(Content.styled(f"  {empty}", FAINT), disabled=True))
        chat_list.set_options(options)
        wanted = {option.id: index for index, option in enumerate(options) if option.id}
        chat_list.highlighted = wanted.get(above_cursor) if above_cursor else None

    def _line(self, chat: ShownChat) -> Content:
        open_now = chat.id == self._current
        title = Content.styled(one_line(chat.title) or "New chat", f"{PLAIN} bold" if open_now else MUTED)
        line = Content.assemble(("▌ " if open_now else "  ", ACCENT), title)
        if chat.snippet:
            line = Content("\n").join([line, Content.styled(f"  {one_line(chat.snippet)}", FAINT)])
        return line

    @on(Input.Changed)
    def _search_typed(self, event: Input.Changed) -> None:
        event.stop()
        if self._typing is not None:
            self._typing.stop()
        query = event.value.strip()
        self._typing = self.set_timer(_SEARCH_PAUSE_S, lambda: self.post_message(self.SearchChanged(query)))

    @on(Input.Submitted)
    @on(SearchBox.Left)
    def _into_list(self, event: Message) -> None:
        event.stop()
        chat_list = self.query_one(ChatList)
        chat_list.focus()
        if chat_list.highlighted is None:
            chat_list.action_first()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_id is not None:
            self.post_message(self.Chosen(event.option_id))
