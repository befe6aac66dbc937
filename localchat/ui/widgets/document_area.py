"""Where the text of a document is written."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.document._document_navigator import DocumentNavigator
from textual.document._wrapped_document import WrappedDocument
from textual.widgets.text_area import Location

from localchat.translation import _
from localchat.ui.visible_text import visible_text
from localchat.ui.widgets.draft_area import DraftArea


class _Wrapped(WrappedDocument):
    """Knows its height without counting its rows, for which Textual asks with every row that it draws."""

    @property
    def height(self) -> int:
        return len(self._offset_to_line_info)


class DocumentArea(DraftArea):
    """An editor of plain text, wrapped at words and between Chinese characters."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+shift+a", "select_all", "Select all", id="text.select_all", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.placeholder = _("Nothing is written here yet.")

    def _set_document(self, text: str, language: str | None) -> None:
        super()._set_document(text, language)
        self.wrapped_document = _Wrapped(self.document, tab_width=self.indent_width)
        self.navigator = DocumentNavigator(self.wrapped_document)
        self._rewrap_and_refresh_virtual_size()

    def show_text(self, text: str, place: int = 0) -> None:
        """Show another text; there is nothing to undo in it. The cursor stands at character `place`."""
        self.load_text(text)
        self.move_cursor(_location(text, place))

    def change_text(self, text: str) -> None:
        """Show another version of the text, which one undo takes back; the cursor goes to where they first differ."""
        before = self.text
        place = next((i for i, (one, other) in enumerate(zip(before, text, strict=False)) if one != other), len(before))
        self.history.checkpoint()
        self.replace(text, self.document.start, self.document.end, maintain_selection_offset=False)
        self.history.checkpoint()
        self.move_cursor(_location(text, place))
        self.scroll_cursor_visible(center=True)

    def put_in(self, text: str) -> None:
        """Write this in place of what is selected, or at the cursor."""
        self.history.checkpoint()
        result = self.replace(visible_text(text), *self.selection, maintain_selection_offset=False)
        self.move_cursor(result.end_location)

    @property
    def selected_range(self) -> tuple[int, int]:
        """From which character to which the selection goes; where the cursor stands, twice, when there is none."""
        lines = self.text.split("\n")
        places = [sum(len(line) + 1 for line in lines[:row]) + column for row, column in self.selection]
        return min(places), max(places)

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self._replace_via_keyboard(visible_text(event.text), *self.selection)


def _location(text: str, place: int) -> Location:
    """Row and column of the character at `place`."""
    before = text[:place]
    return before.count("\n"), len(before) - before.rfind("\n") - 1
