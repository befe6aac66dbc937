"""All keys, by what they are for, as they are bound now."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from localchat.translation import _, mark
from localchat.ui.actions import ACTIONS, CHATS, PROGRAM, READING, REPLIES, TEXTS, key_names
from localchat.ui.ink import ACCENT, FAINT, MUTED, PLAIN
from localchat.ui.screens.dialog import Dialog

WRITING = mark("Writing")
MESSAGES = mark("On a message")
LIST = mark("In the list of chats")
CHANGES = mark("Deciding about changes to a text")
GROUPS = (WRITING, CHATS, LIST, REPLIES, MESSAGES, READING, TEXTS, CHANGES, PROGRAM)

BESIDES: dict[str, tuple[tuple[str, str], ...]] = {
    WRITING: (
        (mark("Enter"), mark("Send")),
        (mark("Shift+Enter, Alt+Enter, Ctrl+J"), mark("Break the line")),
        (mark("Up and Down at the edges"), mark("What you wrote before")),
        (mark("/ at the beginning"), mark("A command, by its name")),
        (mark("Tab, Shift+Tab"), mark("Next part of the screen, and back")),
    ),
    MESSAGES: (
        (mark("Up, Down"), mark("The message above or below")),
        ("y", mark("Copy it")),
        ("c", mark("Copy its code; again: the next block")),
        ("l", mark("List its links")),
        (mark("t, Enter"), mark("Show or hide what was thought before it")),
        ("e", mark("Edit the question")),
        ("r", mark("Another reply")),
        ("g", mark("Go on with the reply")),
        ("f", mark("Fork the chat from here")),
        ("p", mark("Pin it: the model keeps seeing it")),
        ("s", mark("Show or hide the summary under it")),
        ("v", mark("Two replies side by side")),
        ("i", mark("Look inside the reply, token by token")),
        ("[ ]", mark("The version before or after")),
        ("w", mark("Work on its text")),
        ("a", mark("Add it to the text that the chat is about")),
        ("n, N", mark("The next or the previous message found")),
    ),
    LIST: (
        (mark("Enter"), mark("Open the chat, or fold the folder")),
        (mark("Left, Right"), mark("Fold and unfold")),
        ("p", mark("Pin or unpin")),
        ("m", mark("Move to a folder")),
        ("a", mark("Archive, or take out of the archive")),
        ("d, u", mark("Delete, and undo that")),
        ("/", mark("Search")),
    ),
    CHANGES: (
        ("n, p", mark("The next change, the one before")),
        ("a, r", mark("Take it, leave it")),
        ("A, R", mark("Take or leave all that wait")),
        ("u", mark("Undo the last decision")),
        (mark("Enter"), mark("Take over what was taken")),
        ("s", mark("The same, and save the file")),
        ("y, m", mark("Copy it, or put it into the composer")),
        ("Esc", mark("Stop the model; then give up")),
    ),
    READING: (
        (mark("PageUp, PageDown"), mark("Turn the pages of this chat")),
        ("Ctrl+C", mark("Copy what is selected with the mouse")),
    ),
    PROGRAM: (("Ctrl+P", mark("Everything, by name")), ("Ctrl+Q", mark("Quit; everything is saved"))),
}
"""Keys that are no actions of the chat screen, by group."""


class HelpScreen(Dialog[None]):
    """Closed by Escape, F1 or q."""

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,q", "dismiss(None)", "Close", id="help.close", show=False)
    ]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="help"):
            yield Static(_("Keys"), classes="heading", markup=False)
            with VerticalScroll():
                yield Static(self._table())
            yield Static(_("Esc closes. Ctrl+P finds every action by name."), classes="hint", markup=False)

    def _table(self) -> Content:
        groups = {group: self._rows(group) for group in GROUPS}
        width = max(cell_len(keys) for rows in groups.values() for keys, _title, _slash in rows) + 3
        lines: list[Content] = []
        for group, rows in groups.items():
            lines.append(Content.styled(_(group), f"{ACCENT} bold"))
            for keys, title, slash in rows:
                name = (f"  /{slash}", FAINT) if slash else ""
                lines.append(Content.assemble((keys + " " * (width - cell_len(keys)), PLAIN), (title, MUTED), name))
            lines.append(Content())
        return Content("\n").join(lines[:-1])

    def _rows(self, group: str) -> list[tuple[str, str, str]]:
        """Keys, what they do, and the slash command that does the same."""
        keymap = self.app._keymap  # no public reader in Textual 8
        actions = [action for action in ACTIONS if action.group == group]
        return [
            *((_(keys), _(title), "") for keys, title in BESIDES.get(group, ())),
            *((key_names(keymap.get(action.id, action.keys)), _(action.title), action.slash) for action in actions),
        ]
