"""The lines of the list of chats: headings, folders that fold, chats, and what a search found in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual._widget_navigation import Direction
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from localchat.history.search_words import Search
from localchat.translation import _
from localchat.ui.ink import ACCENT, FAINT, MUTED, PLAIN
from localchat.ui.shown import ShownChat, ShownGroup
from localchat.ui.visible_text import one_line

OPEN, FOLDED, OLDER = "▾", "▸", "↓"


class ChatLine(Option):
    """A chat, which may be opened."""

    def __init__(self, prompt: Content, chat: ShownChat) -> None:
        super().__init__(prompt, id=chat.id)
        self.chat = chat


class FoldLine(Option):
    """The heading of a group that can be folded."""

    def __init__(self, prompt: Content, group: ShownGroup) -> None:
        super().__init__(prompt, id=f"{group.kind}/{group.heading}")
        self.group = group


class ChatList(OptionList):
    """Chats under the names of their days and folders."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("delete,d", "screen.delete_chat", "Delete chat", id="list.delete", show=False),
        Binding("u", "screen.undelete_chat", "Undo delete", id="list.undelete", show=False),
        Binding("p", "screen.pin_chat", "Pin", id="list.pin", show=False),
        Binding("m", "screen.move_chat", "Move to a folder", id="list.move", show=False),
        Binding("a", "screen.archive_chat", "Archive", id="list.archive", show=False),
        Binding("slash", "screen.search_chats", "Search", id="list.search", show=False),
        Binding("escape", "end_search", "End the search", id="list.end_search", show=False),
        Binding("j", "cursor_down", "Down", id="list.down", show=False),
        Binding("k", "cursor_up", "Up", id="list.up", show=False),
        Binding("left", "fold(True)", "Fold", id="list.fold", show=False),
        Binding("right", "fold(False)", "Unfold", id="list.unfold", show=False),
        Binding("space", "select", "Open", id="list.open", show=False),
    ]

    @dataclass
    class Chosen(Message):
        """Open this chat, at what the search found in it."""

        chat: ShownChat

    @dataclass
    class FoldWanted(Message):
        """Hide the chats of this group, or show them."""

        group: ShownGroup
        folded: bool

    class SearchEnded(Message):
        """Show everything again."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False, compact=True)
        self._shown: tuple[object, ...] | None = None
        self._searching = False

    @property
    def chat_under_cursor(self) -> str | None:
        line = self.highlighted_option
        return line.chat.id if isinstance(line, ChatLine) else None

    def show(self, groups: Sequence[ShownGroup], current: str | None, search: Search, remark: str) -> None:
        """Show these, mark the chat that is open, and the words of the search; `remark` stands under all of it."""
        if self._shown == (shown := (tuple(groups), current, search.phrases, remark)):
            return
        self._shown, self._searching = shown, bool(search)
        line = self.highlighted_option
        above_cursor = line.id if line is not None and self.has_focus else current
        row = self.highlighted
        options = list(_lines(groups, current, search))
        if remark:
            options.append(Option(Content.styled(f"{_gap(options)}  {remark}", FAINT), disabled=True))
        self.set_options(options)
        places = {option.id: index for index, option in enumerate(options) if option.id}
        place = places.get(above_cursor) if above_cursor else None
        if place is None and self.has_focus and row is not None:  # it is gone; stay where it was
            place = min((p for p in places.values()), key=lambda p: abs(p - row), default=None)
        self.highlighted = place

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "end_search" and not self._searching:
            return False  # Escape is for the screen, which stops the reply
        return super().check_action(action, parameters)

    def _move_page(self, direction: Direction) -> None:
        """Textual looks for the line of an option before it has laid out those that are new."""
        if self.scrollable_content_region:
            self._update_lines()
            super()._move_page(direction)

    def action_end_search(self) -> None:
        self.post_message(self.SearchEnded())

    def action_fold(self, folded: bool) -> None:
        """Of the group under the cursor; from a chat, of the folder that it stands in."""
        line = self.highlighted_option
        if isinstance(line, ChatLine) and folded and (heading := self._heading_of(line)) is not None:
            self.highlighted = self.get_option_index(heading.id or "")
            self.post_message(self.FoldWanted(heading.group, True))
        elif isinstance(line, FoldLine) and line.group.folded != folded:
            self.post_message(self.FoldWanted(line.group, folded))

    def _heading_of(self, line: ChatLine) -> FoldLine | None:
        headings = (option for option in self.options if isinstance(option, FoldLine))
        return next((heading for heading in headings if line.chat in heading.group.chats), None)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if isinstance(event.option, FoldLine):
            group = event.option.group
            self.post_message(self.FoldWanted(group, not group.folded))
        elif isinstance(event.option, ChatLine):
            self.post_message(self.Chosen(event.option.chat))


def _lines(groups: Sequence[ShownGroup], current: str | None, search: Search) -> Iterator[Option]:
    before: ShownGroup | None = None
    for group in groups:
        # Folders stand close together; everything else has a line above it.
        close = before is None or (group.kind == before.kind == "folder" and before.folded)
        yield _heading(group, "" if close else "\n")
        if not group.folded:
            indent = "  " if group.kind == "folder" else ""
            for chat in group.chats:
                yield ChatLine(_chat(chat, current, search, indent), chat)
        before = group


def _heading(group: ShownGroup, gap: str) -> Option:
    heading = one_line(group.heading)
    if not group.can_fold:
        return Option(Content.styled(f"{gap}  {heading}", FAINT), disabled=True)
    sign = OLDER if group.kind in ("older", "more") else FOLDED if group.folded else OPEN
    count = group.count or len(group.chats)
    hidden = f"  {count}" if group.folded and count else ""
    line = Content.assemble((f"{gap}{sign} ", FAINT), (heading, MUTED), (hidden, FAINT))
    return FoldLine(line, group)


def _chat(chat: ShownChat, current: str | None, search: Search, indent: str) -> Content:
    open_now = chat.id == current
    title = _marked(one_line(chat.title) or _("New chat"), search, f"{PLAIN} bold" if open_now else MUTED)
    line = Content.assemble(("▌ " if open_now else "  ", ACCENT), indent, title)
    if not chat.snippet:
        return line
    return Content("\n").join([line, Content.assemble("  ", _marked(one_line(chat.snippet), search, FAINT))])


def _marked(text: str, search: Search, style: str) -> Content:
    """The text with the words that were searched for brought out."""
    content = Content.styled(text, style)
    for start, end in search.spans(text):
        content = content.stylize(f"{ACCENT} bold", start, end)
    return content


def _gap(options: Sequence[Option]) -> str:
    return "\n" if options else ""
