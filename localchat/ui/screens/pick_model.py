"""Which of the models that are here is to do something once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from localchat.translation import _
from localchat.ui.ink import FAINT, MUTED
from localchat.ui.model_shelf import ModelChoice
from localchat.ui.screens.dialog import Dialog
from localchat.ui.visible_text import one_line


class PickModelScreen(Dialog[ModelChoice | None]):
    """Returns the choice; None when the user gave up."""

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Close", id="pick.close", show=False)]

    def __init__(self, heading: str, choices: Sequence[ModelChoice]) -> None:
        super().__init__()
        self._heading = heading
        self._choices = {choice.name: choice for choice in choices}

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="models"):
            yield Static(self._heading, classes="heading", markup=False)
            yield OptionList(*map(_option, self._choices.values()), markup=False, compact=True)
            yield Static(_("Enter asks it, Esc closes."), classes="hint", markup=False)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._choices[event.option_id or ""])


def _option(choice: ModelChoice) -> Option:
    title, name = one_line(choice.title), one_line(choice.name)
    return Option(Content.assemble(title, (f"  {choice.precision}", MUTED), (f"  {name}", FAINT)), id=choice.name)
