"""All keys, by what they are for, as they are bound now."""

from __future__ import annotations

from itertools import groupby
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from localchat.ui.actions import ACTIONS, key_names
from localchat.ui.ink import ACCENT, MUTED, PLAIN

WRITING = (
    ("Enter", "Send"),
    ("Shift+Enter, Alt+Enter, Ctrl+J", "Break the line"),
    ("Up, when nothing is written", "Bring back the last question"),
    ("Tab, Shift+Tab", "Next part of the screen, and back"),
)
READING = (
    ("PageUp, PageDown", "Turn the pages of this chat"),
    ("Up, Down on a message", "The message above or below"),
    ("y on a message", "Copy it"),
    ("[ and ] on a reply", "The version before or after"),
    ("Ctrl+C", "Copy what is selected with the mouse"),
)
PROGRAM = (("Ctrl+P", "Everything, by name"), ("Ctrl+Q", "Quit; everything is saved"))


class HelpScreen(ModalScreen[None]):
    """Closed by Escape, F1 or q."""

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,q", "dismiss(None)", "Close", id="help.close", show=False)
    ]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="help"):
            yield Static("Keys", classes="heading", markup=False)
            with VerticalScroll():
                yield Static(self._table())
            yield Static("Esc closes. Ctrl+P finds every action by name.", classes="hint", markup=False)

    def _table(self) -> Content:
        keymap = self.app._keymap  # no public reader in Textual 8
        groups: dict[str, list[tuple[str, str]]] = {"Writing": list(WRITING)}
        for group, actions in groupby(ACTIONS, key=lambda action: action.group):
            rows = groups.setdefault(group, [])
            rows.extend((key_names(keymap.get(action.id, action.keys)), action.title) for action in actions)
        groups["Reading"].extend(READING)
        groups["Program"].extend(PROGRAM)
        width = max(len(keys) for rows in groups.values() for keys, _ in rows) + 3
        lines: list[Content] = []
        for group, rows in groups.items():
            lines.append(Content.styled(group, f"{ACCENT} bold"))
            lines.extend(Content.assemble((f"{keys:<{width}}", PLAIN), (title, MUTED)) for keys, title in rows)
            lines.append(Content())
        return Content("\n").join(lines[:-1])
