"""Where to, and as what: a chat on its way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from localchat.errors import LocalChatError
from localchat.history.exporting import FORMATS, ExportFormat, free_path
from localchat.translation import _
from localchat.ui.ink import MUTED, PLAIN
from localchat.ui.screens.dialog import Dialog
from localchat.ui.visible_text import one_line

Write = Callable[[Path, ExportFormat], None]


class ExportScreen(Dialog[None]):
    """Three formats and one path. Stays open until the file is written or the user gives up.

    Args:
        title: of the chat; a file name is made of it.
        write: writes the file, or raises a `LocalChatError`.
    """

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Give up", id="export.cancel", show=False)
    ]
    AUTO_FOCUS = "OptionList"

    def __init__(self, title: str, write: Write) -> None:
        super().__init__()
        self._title = title
        self._write = write
        self._confirmed: Path | None = None

    def compose(self) -> ComposeResult:
        kinds = list(FORMATS.values())
        width = max(Content(_(kind.label)).cell_length for kind in kinds) + 3
        with Vertical(classes="dialog", id="export"):
            yield Static(_("Export this chat"), classes="heading", markup=False)
            yield OptionList(*(Option(_line(kind, width), id=kind.name) for kind in kinds), compact=True)
            yield Input(str(free_path(self._title, kinds[0])), compact=True, select_on_focus=False)
            yield Static("", classes="answer", markup=False)
            yield Static(_("Enter writes the file, Tab leads to its name, Esc gives up."), classes="hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = 0
        self.query_one(Input).cursor_blink = self.app.animation_level != "none"

    @property
    def _kind(self) -> ExportFormat:
        return list(FORMATS.values())[self.query_one(OptionList).highlighted or 0]

    @on(OptionList.OptionHighlighted)
    def _format_changed(self) -> None:
        """Let the file's name end as the format does; a name of the user's own keeps its beginning."""
        field = self.query_one(Input)
        path = Path(field.value)
        if path.suffix in {kind.suffix for kind in FORMATS.values()}:
            field.value = str(path.with_suffix(self._kind.suffix))

    @on(Input.Changed)
    def _typed(self) -> None:
        self._confirmed = None
        self.query_one(".answer", Static).update("")

    @on(OptionList.OptionSelected)
    @on(Input.Submitted)
    def _wanted(self) -> None:
        path = Path(self.query_one(Input).value.strip()).expanduser()
        if path.is_dir():
            path = free_path(self._title, self._kind, path)
        if path.exists() and path != self._confirmed:
            self._confirmed = path
            self._answer(_("{name} is there already. Enter once more replaces it.").format(name=one_line(path.name)))
            return
        try:
            self._write(path, self._kind)
        except LocalChatError as error:
            self._answer(str(error))
            return
        self.dismiss(None)

    def _answer(self, text: str) -> None:
        self.query_one(".answer", Static).update(f"! {text}")


def _line(kind: ExportFormat, width: int) -> Content:
    label = Content.styled(_(kind.label), PLAIN)
    gap = " " * (width - label.cell_length)
    return Content.assemble(label, gap, (_(kind.explanation), MUTED))
