"""A text area made ready for drafts: it edits what people take for characters, serves input methods, and leaves the
program its keys."""

from __future__ import annotations

from typing import ClassVar

from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.geometry import Offset
from textual.widgets import TextArea
from textual.widgets.text_area import Location

from localchat.translation import _, mark
from localchat.ui import graphemes
from localchat.ui.actions import ACTIONS

INVITATION = mark("Ask anything · / for commands · @ for files")

_ACTION_KEYS = frozenset(key for action in ACTIONS for key in action.keys.split(","))


def _is_free(binding: BindingType) -> bool:
    """Whether a text area's own key means nothing else in this program, as F6, F7 and Ctrl+Y do."""
    return _ACTION_KEYS.isdisjoint(key.key for key in Binding.make_bindings([binding]))


class DraftArea(TextArea, inherit_bindings=False):
    """Base of the composer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *filter(_is_free, TextArea.BINDINGS),
        Binding("ctrl+shift+z,alt+y", "redo", "Redo", id="composer.redo", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(
            id=id,
            placeholder=_(INVITATION),
            highlight_cursor_line=False,
            soft_wrap=True,
            tab_behavior="focus",
        )
        self.match_cursor_bracket = False

    def on_mount(self) -> None:
        self.cursor_blink = self.app.animation_level != "none"
        self.screen.screen_layout_refresh_signal.subscribe(self, self._place_terminal_cursor)

    def _place_terminal_cursor(self, _layout: object) -> None:
        """Input methods open their window at the terminal's own cursor. Textual moves that with the caret, and forgets
        it when the area itself moves: when it grows, when a row of files comes, when the window changes."""
        if self.has_focus:
            self.app.cursor_position = self.cursor_screen_offset

    def scroll_cursor_visible(self, center: bool = False, animate: bool = False) -> Offset:
        """Undoing what made the area scroll calls this before the cursor follows the text that is left; then there is
        nothing to scroll to yet, and Textual 8 would fail."""
        if self.cursor_location[0] >= self.document.line_count:
            return Offset()
        return super().scroll_cursor_visible(center, animate)

    # ---- whole characters

    def clamp_visitable(self, location: Location) -> Location:
        row, column = super().clamp_visitable(location)
        return row, graphemes.floor(self.document[row], column)

    def get_cursor_left_location(self) -> Location:
        row, column = self.cursor_location
        return (row, graphemes.before(self.document[row], column)) if column else super().get_cursor_left_location()

    def get_cursor_right_location(self) -> Location:
        row, column = self.cursor_location
        line = self.document[row]
        return (row, graphemes.after(line, column)) if column < len(line) else super().get_cursor_right_location()

    # ---- pages

    def action_cursor_page_up(self) -> None:
        """Turn the pages of the transcript, unless the draft itself is longer than its window."""
        if self.wrapped_document.height <= self.size.height:
            raise SkipAction
        super().action_cursor_page_up()

    def action_cursor_page_down(self) -> None:
        if self.wrapped_document.height <= self.size.height:
            raise SkipAction
        super().action_cursor_page_down()
