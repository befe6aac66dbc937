"""A title for the chat, asked for over the chat itself."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from localchat.translation import _
from localchat.ui.screens.dialog import Dialog
from localchat.ui.visible_text import one_line


class RenameScreen(Dialog[str | None]):
    """Returns the title, empty for the one made of the first message; None when the user gave up."""

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Give up", id="rename.cancel", show=False)
    ]

    def __init__(self, title: str) -> None:
        super().__init__()
        self._old = one_line(title)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(_("Rename chat"), classes="heading", markup=False)
            yield Input(self._old, placeholder=_("Made of the first message"), compact=True)
            yield Static(_("Enter keeps it, Esc leaves the old one."), classes="hint", markup=False)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip())
