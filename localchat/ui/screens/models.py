"""Which model answers: those that are here, and those that can be fetched."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from localchat.errors import LocalChatError
from localchat.ui.figures import size
from localchat.ui.ink import ACCENT, FAINT, MUTED, PLAIN
from localchat.ui.model_shelf import ModelChoice, ModelShelf
from localchat.ui.visible_text import one_line


class ModelScreen(ModalScreen[ModelChoice | None]):
    """Returns the choice; one without a path must be fetched."""

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Close", id="models.close", show=False)]

    def __init__(self, shelf: ModelShelf, current: str) -> None:
        super().__init__()
        self._shelf = shelf
        self._current = current
        self._choices: dict[str, ModelChoice] = {}

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="models"):
            yield Static("Models", classes="heading", markup=False)
            yield OptionList(markup=False, compact=True)
            yield Static("Enter takes it; one that is not here is fetched first. Esc closes.", classes="hint")

    def on_mount(self) -> None:
        options: list[Option] = []
        groups: tuple[tuple[str, list[ModelChoice]], ...] = ()
        try:
            groups = (("On this machine", self._shelf.installed()), ("Can be fetched", self._shelf.fetchable()))
        except LocalChatError as error:
            self.query_one(".hint", Static).update(Content(str(error)))
        for heading, choices in groups:
            if choices:
                gap = "\n" if options else ""
                options.append(Option(Content.styled(f"{gap}  {heading}", FAINT), disabled=True))
            for choice in choices:
                self._choices[choice.name] = choice
                options.append(Option(self._line(choice), id=choice.name, disabled=bool(choice.damage)))
        option_list = self.query_one(OptionList)
        option_list.add_options(options)
        ids = [option.id for option in options]
        if self._current in ids:
            option_list.highlighted = ids.index(self._current)
        else:
            option_list.action_first()
        option_list.focus()

    def _line(self, choice: ModelChoice) -> Content:
        mark = "●" if choice.name == self._current else " "
        if choice.damage:
            detail = f"damaged: {choice.damage}"
        else:
            amount = size(choice.size) if choice.path is not None else f"{size(choice.size)} to download"
            parts = [choice.name, choice.precision, amount, choice.licence]
            detail = " · ".join(part for part in parts if part)
        return Content.assemble(
            (f"{mark} ", ACCENT),
            (one_line(choice.title), PLAIN),
            "\n  ",
            (one_line(detail), MUTED),
        )

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._choices.get(event.option_id or ""))
