"""The files that wait with the draft, above the text they will be sent with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.style import Style
from textual.widget import Widget

from localchat.translation import _
from localchat.ui.attachments import chip
from localchat.ui.ink import FAINT, MUTED
from localchat.ui.visible_text import one_line


@dataclass(frozen=True, slots=True)
class WaitingFile:
    """One chip. `tokens` is None until it is measured."""

    name: str
    tokens: int | None = None


class FileRow(Widget, can_focus=True):
    """Chips, of which one is chosen while the row has the focus."""

    FOCUS_ON_CLICK = False  # the focus brings a line of keys, which would move the cross away under the pointer
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "choose(-1)", "File before", id="files.left", show=False),
        Binding("right", "choose(1)", "File after", id="files.right", show=False),
        Binding("delete,backspace", "remove", "Remove the file", id="files.remove", show=False),
        Binding("escape,down,enter,up", "leave", "Back to the text", id="files.leave", show=False),
    ]

    @dataclass
    class Removed(Message):
        """The user wants this one out."""

        index: int

    class Left(Message):
        """The user wants to write on."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.auto_links = False
        self.files: Sequence[WaitingFile] = ()
        self.reading: Sequence[str] = ()
        self.room: int | None = None
        self._chosen = 0
        self.display = False

    def show(self, files: Sequence[WaitingFile], reading: Sequence[str] = (), room: int | None = None) -> None:
        """Show these.

        Args:
            reading: names of those that are still being read.
            room: tokens that the context has for them.
        """
        self.files, self.reading, self.room = files, reading, room
        self._chosen = max(0, min(self._chosen, len(files) - 1))
        self.display = bool(files or reading)
        if not files and self.has_focus:
            self.post_message(self.Left())
        self.refresh(layout=True)

    def choose_last(self) -> None:
        self._chosen = len(self.files) - 1
        self.focus()

    def action_choose(self, step: int) -> None:
        self._chosen = max(0, min(self._chosen + step, len(self.files) - 1))
        self.refresh()

    def action_remove(self) -> None:
        if self.files:
            self.post_message(self.Removed(self._chosen))

    def action_remove_one(self, index: int) -> None:
        self.post_message(self.Removed(index))

    def action_leave(self) -> None:
        self.post_message(self.Left())

    def on_focus(self) -> None:
        self.refresh(layout=True)

    def on_blur(self) -> None:
        self.refresh(layout=True)

    def on_click(self, event: events.Click) -> None:
        event.stop()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return len(self._lines(width))

    def render(self) -> Content:
        return Content("\n").join(self._lines(self.content_size.width))

    def _lines(self, width: int) -> list[Content]:
        """Chips, as many on a line as fit, none of them broken; under them the keys, while the row has the focus."""
        lines: list[Content] = []
        for each in self._chips():
            if lines and lines[-1].cell_length + each.cell_length + 3 <= width:
                lines[-1] = Content.assemble(lines[-1], "   ", each)
            else:
                lines.append(each)
        if self.has_focus:
            lines.append(Content.styled(_("Del removes · ← → chooses · Esc goes back"), FAINT))
        return lines

    def _chips(self) -> Iterator[Content]:
        for index, file in enumerate(self.files):
            chosen = self.has_focus and index == self._chosen
            cross = Content.styled("×", FAINT).stylize(Style.from_meta({"@click": f"remove_one({index})"}))
            yield Content.assemble(chip(file.name, file.tokens, self.room, chosen=chosen), " ", cross)
        for name in self.reading:
            yield Content.styled(_("reading {name}…").format(name=one_line(name)), MUTED)
