"""Which model answers: those that are here, and those that can be fetched, with what each takes of this machine."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import Resize
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from localchat.errors import LocalChatError
from localchat.translation import _
from localchat.ui.figures import size
from localchat.ui.ink import ACCENT, ERROR, FAINT, MUTED, PLAIN, WARNING
from localchat.ui.model_shelf import MachineMemory, ModelChoice, ModelShelf
from localchat.ui.screens.dialog import Dialog
from localchat.ui.visible_text import one_line

_COLUMNS_WIDTH = 29
"""Cells of the columns right of the name: size, memory, and whether it fits."""


class ModelScreen(Dialog[ModelChoice | None]):
    """Returns the choice; one without a path must be fetched."""

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Close", id="models.close", show=False)]

    def __init__(self, shelf: ModelShelf, current: str) -> None:
        super().__init__()
        self._shelf = shelf
        self._current = current
        self._machine = shelf.machine_memory()
        self._groups: tuple[tuple[str, list[ModelChoice]], ...] = ()
        self._choices: dict[str, ModelChoice] = {}

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="models"):
            yield Static(_("Models"), classes="heading", markup=False)
            yield OptionList(markup=False, compact=True)
            yield Static(id="about", markup=False)
            hint = _("Enter takes it; one that is not here is fetched first. Esc closes.")
            yield Static(hint, classes="hint", markup=False)

    def on_mount(self) -> None:
        try:
            here, elsewhere = self._shelf.installed(), self._shelf.fetchable()
            self._groups = ((_("On this machine"), here), (_("Can be fetched"), elsewhere))
        except LocalChatError as error:
            self.query_one(".hint", Static).update(Content(str(error)))
        self._choices = {choice.name: choice for _, choices in self._groups for choice in choices}
        options = self.query_one(OptionList)
        options.add_options(self._options(self._row_width()))
        if self._current in self._choices:
            options.highlighted = options.get_option_index(self._current)
        else:
            options.action_first()
        options.focus()

    @on(Resize)
    def _fit_rows(self) -> None:
        options = self.query_one(OptionList)
        fresh = self._options(self._row_width())
        for index, option in enumerate(fresh[: options.option_count]):
            options.replace_option_prompt_at_index(index, option.prompt)

    def _row_width(self) -> int:
        """Cells of a row: the dialog's, less its padding and that of a row."""
        return min(90, self.app.size.width * 94 // 100) - 8

    def _options(self, width: int) -> list[Option]:
        options: list[Option] = []
        for heading, choices in self._groups:
            if choices:
                gap = "\n" if options else ""
                columns = f"{_right(_('size'), 7)}  {_right(_('memory'), 7)}" if not options else ""
                line = set_cell_size(f"  {heading}", width - _COLUMNS_WIDTH) + columns
                options.append(Option(Content.styled(gap + line.rstrip(), FAINT), disabled=True))
            options += [Option(self._row(each, width), id=each.name, disabled=bool(each.damage)) for each in choices]
        return options

    def _row(self, choice: ModelChoice, width: int) -> Content:
        sign = "●" if choice.name == self._current else " "
        title = one_line(choice.title)
        if choice.damage:
            damaged = _("damaged: {reason}").format(reason=one_line(choice.damage))
            return Content.assemble(f"{sign} ", (title, MUTED), (f"  {damaged}", ERROR))
        precision = f" {choice.precision:>5}  "
        room = max(4, width - 2 - len(precision) - _COLUMNS_WIDTH)
        words, ink = _fit(choice, self._machine)
        return Content.assemble(
            (f"{sign} ", ACCENT),
            Content.styled(title, PLAIN).truncate(room, ellipsis=True, pad=True),
            (f"{precision}{size(choice.size):>7}  {size(choice.memory) if choice.memory else '':>7}  ", MUTED),
            (set_cell_size(words, 11), ink),
        )

    @on(OptionList.OptionHighlighted)
    def _show_about(self, event: OptionList.OptionHighlighted) -> None:
        choice = self._choices.get(event.option_id or "")
        if choice is not None:
            self.query_one("#about", Static).update(_about(choice, self._machine))

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._choices.get(event.option_id or ""))


def _fit(choice: ModelChoice, machine: MachineMemory) -> tuple[str, str]:
    """Whether the machine can run it, in words with a mark, and their ink."""
    if not choice.memory:
        return "", MUTED
    if choice.memory <= machine.free:
        return _("✓ fits"), MUTED
    return (_("~ not now"), WARNING) if choice.memory <= machine.total else (_("✗ too large"), ERROR)


def _about(choice: ModelChoice, machine: MachineMemory) -> Content:
    """Two lines on the model under the cursor."""
    amount = size(choice.size) if choice.path is not None else _("{size} to download").format(size=size(choice.size))
    parts = [choice.name, amount, choice.licence, _(choice.description) if choice.description else ""]
    facts = one_line(" · ".join(part for part in parts if part))
    if not choice.memory:
        return Content.styled(facts, MUTED)
    sentence = _("Runs in {memory} of memory at 4k of context; {free} of {total} are free.").format(
        memory=size(choice.memory), free=size(machine.free), total=size(machine.total)
    )
    return Content.assemble((facts, MUTED), "\n", (sentence, MUTED))


def _right(text: str, cells: int) -> str:
    """The text at the right end of so many cells."""
    return " " * (cells - cell_len(text)) + text
