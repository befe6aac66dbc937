"""One question with a few answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from localchat.translation import _
from localchat.ui.screens.dialog import Dialog


class ChoiceScreen(Dialog[str | None]):
    """Returns the name of the answer; None when the user gave none.

    Args:
        answers: their words, by name.
    """

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Later", id="choice.close", show=False)]

    def __init__(self, heading: str, explanation: str, answers: Mapping[str, str]) -> None:
        super().__init__()
        self._heading = heading
        self._explanation = explanation
        self._answers = answers

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="choice"):
            yield Static(self._heading, classes="heading", markup=False)
            yield Static(self._explanation, classes="explanation", markup=False)
            yield OptionList(
                *(Option(words, id=name) for name, words in self._answers.items()), markup=False, compact=True
            )
            yield Static(_("Enter takes it, Esc leaves everything as it is."), classes="hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_id)
