"""The chats at the left: a search box, and the list under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input, Static

from localchat.history.search_words import Search
from localchat.translation import _
from localchat.ui.shown import ShownGroup
from localchat.ui.widgets.chat_list import ChatList

_SEARCH_PAUSE_S = 0.15


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
    class SearchChanged(Message):
        """Show the chats that match; all of them when it is empty. Then go on to the list, if that is wanted."""

        query: str
        into_list: bool = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._typing: Timer | None = None
        # Held rather than looked for: they are still told things while the app is being taken apart.
        self._box = SearchBox(placeholder=_("Search"), id="search", compact=True, select_on_focus=False)
        self._list = ChatList(id="chats")

    def compose(self) -> ComposeResult:
        yield Static("localchat", classes="wordmark", markup=False)
        yield self._box
        yield self._list

    @property
    def query_text(self) -> str:
        return self._box.value.strip()

    @property
    def highlighted(self) -> str | None:
        """The chat under the cursor."""
        return self._list.chat_under_cursor

    def show_groups(self, groups: Sequence[ShownGroup], current: str | None, remark: str = "") -> None:
        """Show these, and mark the one that is open; without any, say so.

        Args:
            remark: stands under the list.
        """
        search = Search(self.query_text)
        self.set_class(bool(search), "-searching")
        if not groups and not remark:
            remark = _("Nothing found") if search else _("No chats yet")
        self._list.show(groups, current, search, remark)

    def search_for(self, words: str) -> None:
        """Put these words into the box."""
        self._box.value = words

    @on(Input.Changed)
    def _search_typed(self, event: Input.Changed) -> None:
        event.stop()
        if self._typing is not None:
            self._typing.stop()
        query = event.value.strip()
        self._typing = self.set_timer(_SEARCH_PAUSE_S, lambda: self.post_message(self.SearchChanged(query)))

    @on(Input.Submitted)
    @on(SearchBox.Left)
    def _leave_search(self, event: Message) -> None:
        event.stop()
        if self._typing is not None:
            self._typing.stop()
        self.post_message(self.SearchChanged(self.query_text, into_list=True))

    def into_list(self) -> None:
        """To the chat under the cursor, or the first one."""
        self._list.focus()
        if self._list.chat_under_cursor is None:
            self._list.action_first()

    @on(ChatList.SearchEnded)
    def _search_ended(self, event: ChatList.SearchEnded) -> None:
        event.stop()
        self._box.value = ""
        self.post_message(SearchBox.GivenUp())
