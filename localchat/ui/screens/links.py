"""The addresses in a reply: looked at and copied, never opened."""

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
from localchat.ui.ink import FAINT, PLAIN
from localchat.ui.screens.dialog import Dialog
from localchat.ui.visible_text import one_line


class LinksScreen(Dialog[str | None]):
    """Returns the address that the user wants; None when there is none.

    Args:
        links: the words and the address of each.
    """

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,l", "dismiss(None)", "Close", id="links.close", show=False)
    ]

    def __init__(self, links: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._links = links

    def compose(self) -> ComposeResult:
        options = [
            Option(
                Content("\n").join([Content.styled(one_line(words), PLAIN), Content.styled(one_line(address), FAINT)])
            )
            for words, address in self._links
        ]
        with Vertical(classes="dialog", id="links"):
            yield Static(_("Links in this reply"), classes="heading", markup=False)
            yield OptionList(*options, markup=False, compact=True)
            yield Static(_("Enter copies the address, Esc closes. Nothing is opened."), classes="hint", markup=False)

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._links[event.option_index][1])
