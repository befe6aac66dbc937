"""The keys of every action: the user chooses one and presses the key that it is to have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import ClassVar

from rich.cells import set_cell_size
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from localchat.translation import _
from localchat.ui.actions import ACTIONS, Action, key_names
from localchat.ui.ink import ACCENT, FAINT, MUTED, PLAIN, WARNING
from localchat.ui.keymap import problem_with
from localchat.ui.screens.dialog import Dialog


class PressKeyScreen(Dialog[str | None]):
    """Returns the next key that is pressed; None when that is Escape."""

    CSS_PATH: ClassVar[list[str | PurePath]] = ["../dialogs.tcss", "../settings.tcss"]

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self._title, classes="heading", markup=False)
            yield Static(_("Press the key that it is to have."), markup=False)
            yield Static(_("Esc leaves it as it is."), classes="hint", markup=False)

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        if event.key == "escape":
            self.dismiss(None)
        elif (problem := problem_with(event.key)) is not None:
            self.query_one(".hint", Static).update(Content(f"! {key_names(event.key)}: {problem}"))
        elif event.is_printable:
            self.query_one(".hint", Static).update(Content(_("! That key writes a letter; add Ctrl or Alt to it.")))
        else:
            self.dismiss(event.key)


class KeysScreen(Dialog[dict[str, str | None]]):
    """Returns what was changed: the keys by action; None takes an action back to its own.

    Args:
        own: the user's keys so far.
    """

    CSS_PATH: ClassVar[list[str | PurePath]] = ["../dialogs.tcss", "../settings.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="keys.close", show=False),
        Binding("delete,backspace", "forget", "Take its own again", id="keys.forget", show=False),
    ]

    def __init__(self, own: Mapping[str, str]) -> None:
        super().__init__()
        self._own: dict[str, str | None] = dict(own)
        self._before = dict(own)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="key-list"):
            yield Static(_("Keys"), classes="heading", markup=False)
            yield OptionList(*self._options(), markup=False, compact=True)
            yield Static(id="about", markup=False)
            hint = _("Enter gives an action another key, Delete its own again. Esc closes and keeps all of it.")
            yield Static(hint, classes="hint", markup=False)

    def _keys(self, action: Action) -> str:
        return self._own.get(action.id) or action.keys

    def _options(self) -> list[Option]:
        options: list[Option] = []
        group = ""
        for action in sorted(ACTIONS, key=lambda action: _GROUPS.index(action.group)):
            if action.group != group:
                group = action.group
                gap = "\n" if options else ""
                options.append(Option(Content.styled(f"{gap}  {_(group)}", FAINT), disabled=True))
            options.append(Option(self._row(action), id=action.id))
        return options

    def _row(self, action: Action) -> Content:
        changed = self._own.get(action.id) is not None
        keys = set_cell_size(key_names(self._keys(action)), 22)
        return Content.assemble(("● " if changed else "  ", ACCENT), (keys, PLAIN), (_(action.title), MUTED))

    def on_mount(self) -> None:
        self.query_one(OptionList).action_first()

    def _highlighted(self) -> Action | None:
        options = self.query_one(OptionList)
        if options.highlighted is None:
            return None
        chosen = options.get_option_at_index(options.highlighted).id
        return next((action for action in ACTIONS if action.id == chosen), None)

    @on(OptionList.OptionHighlighted)
    def _show_about(self) -> None:
        if (action := self._highlighted()) is not None:
            words = f"{_(action.explanation)}  {action.id}"
            self.query_one("#about", Static).update(Content.styled(words, MUTED))

    @on(OptionList.OptionSelected)
    @work
    async def _change(self) -> None:
        action = self._highlighted()
        if action is None:
            return
        key = await self.app.push_screen_wait(PressKeyScreen(_(action.title)))
        if key is None:
            return
        rival = next((other for other in ACTIONS if other != action and key in self._keys(other).split(",")), None)
        if rival is not None:
            sentence = _("{key} belongs to “{action}”; give that one another key first.")
            words = sentence.format(key=key_names(key), action=_(rival.title))
            self.query_one("#about", Static).update(Content.styled(f"! {words}", WARNING))
            return
        self._give(action, None if key == action.keys else key)

    def action_forget(self) -> None:
        if (action := self._highlighted()) is not None:
            self._give(action, None)

    def _give(self, action: Action, keys: str | None) -> None:
        self._own[action.id] = keys
        self.query_one(OptionList).replace_option_prompt(action.id, self._row(action))
        self._show_about()

    def action_close(self) -> None:
        changed = {action: keys for action, keys in self._own.items() if keys != self._before.get(action)}
        self.dismiss(changed)


_GROUPS = tuple(dict.fromkeys(action.group for action in ACTIONS))
