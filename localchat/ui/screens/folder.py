"""Which folder a chat goes into: one that is there, a new one, or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from localchat.translation import _
from localchat.ui.ink import ACCENT, MUTED, PLAIN
from localchat.ui.screens.dialog import Dialog
from localchat.ui.visible_text import one_line


class FolderScreen(Dialog[str | None]):
    """Returns the folder's name, empty for none; None when the user gave up.

    Args:
        folders: those that are there.
        current: the one that the chat is in; empty for none.
    """

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Give up", id="folder.cancel", show=False),
        Binding("up", "move(-1)", "Up", id="folder.up", show=False),
        Binding("down", "move(1)", "Down", id="folder.down", show=False),
    ]

    def __init__(self, folders: Sequence[str], current: str) -> None:
        super().__init__()
        self._folders = list(folders)
        self._current = current
        self._choices: list[str] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="folder"):
            yield Static(_("Move to a folder"), classes="heading", markup=False)
            yield Input(placeholder=_("Name of a folder, old or new"), compact=True)
            yield OptionList(markup=False, compact=True)
            yield Static(_("Enter moves the chat, Esc leaves it where it is."), classes="hint", markup=False)

    def on_mount(self) -> None:
        self._offer("")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._offer(one_line(event.value))

    def _offer(self, typed: str) -> None:
        """List the folders whose names hold what was typed, and the new one that it would be."""
        wanted = typed.casefold()
        self._choices = [folder for folder in self._folders if wanted in folder.casefold()]
        self._choices.sort(key=lambda folder: folder.casefold() != wanted)
        lines = [Content.assemble(("● " if f == self._current else "  ", ACCENT), (f, PLAIN)) for f in self._choices]
        if not typed and self._current:
            self._choices.append("")
            lines.append(Content.styled("  " + _("No folder"), MUTED))
        elif typed and all(folder.casefold() != wanted for folder in self._folders):
            self._choices.append(typed)
            lines.append(Content.assemble(("+ ", ACCENT), (_("New: {name}").format(name=typed), PLAIN)))
        options = self.query_one(OptionList)
        options.set_options([Option(line) for line in lines])
        options.display = bool(lines)
        options.highlighted = 0 if lines else None

    def action_move(self, step: int) -> None:
        options = self.query_one(OptionList)
        if step > 0:
            options.action_cursor_down()
        else:
            options.action_cursor_up()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        highlighted = self.query_one(OptionList).highlighted
        if highlighted is not None:
            self.dismiss(self._choices[highlighted])

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._choices[event.option_index])
