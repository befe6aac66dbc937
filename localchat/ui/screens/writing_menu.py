"""What is to be done with a text, and with which part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from localchat.translation import _, spoken
from localchat.ui.ink import ACCENT, FAINT, MUTED, PLAIN
from localchat.ui.screens.dialog import Dialog
from localchat.ui.visible_text import one_line
from localchat.ui.writing_choice import Chosen, asked_variable, offered_values
from localchat.writing.action import Action
from localchat.writing.actions import in_own_words


class WritingMenu(Dialog[tuple[Chosen, int] | None]):
    """Returns what is to be done, and the number of the scope; None when the user gave up.

    Args:
        actions: all that there are, by name.
        scopes: what it can be done with, in words; the first is meant unless Tab takes another.
    """

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="writing.back", show=False),
        Binding("up", "move(-1)", "Up", id="writing.up", show=False),
        Binding("down", "move(1)", "Down", id="writing.down", show=False),
        Binding("tab,shift+tab", "next_scope", "Another part", id="writing.scope", show=False, priority=True),
    ]

    def __init__(self, actions: Mapping[str, Action], scopes: Sequence[str]) -> None:
        super().__init__()
        self._actions = actions
        self._scopes = scopes
        self._scope = 0
        self._action: Action | None = None  # for which a value is to be chosen
        self._choices: list[Chosen | Action] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="writing"):
            yield Static(classes="heading", id="writing-heading", markup=False)
            yield Static(id="writing-scope", markup=False)
            yield Input(compact=True)
            yield OptionList(markup=False, compact=True)
            yield Static(classes="hint", id="writing-hint", markup=False)

    def on_mount(self) -> None:
        self._ask(None)

    def _ask(self, action: Action | None) -> None:
        """Ask what is to be done, or for a value of this action."""
        self._action = action
        heading = _("What is to be done?") if action is None else action.described(spoken())
        self.query_one("#writing-heading", Static).update(heading)
        field = self.query_one(Input)
        field.placeholder = _("An action, or what you want in your own words") if action is None else _("Or your own")
        field.value = ""
        self._offer("")
        self._show_scope()

    def _show_scope(self) -> None:
        parts = [
            (f"{'●' if i == self._scope else '○'} {scope}", i == self._scope) for i, scope in enumerate(self._scopes)
        ]
        shown = [Content.styled(words, PLAIN if chosen else FAINT) for words, chosen in parts]
        self.query_one("#writing-scope", Static).update(Content("   ").join(shown))
        hint = _("Enter begins, Esc goes back.")
        if len(self._scopes) > 1:
            hint = _("Enter begins, Tab takes another part, Esc goes back.")
        self.query_one("#writing-hint", Static).update(hint)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._offer(one_line(event.value))

    def _offer(self, typed: str) -> None:
        lines = self._offer_actions(typed) if self._action is None else self._offer_values(self._action, typed)
        options = self.query_one(OptionList)
        options.set_options([Option(line) for line in lines])
        options.highlighted = 0 if lines else None

    def _offer_actions(self, typed: str) -> list[Content]:
        """The actions whose names or descriptions hold what was typed, and the wish that it could be."""
        wanted = typed.casefold()
        found = [action for action in self._actions.values() if wanted in action.name.casefold()]
        found += [a for a in self._actions.values() if a not in found and wanted in a.described(spoken()).casefold()]
        self._choices = [*found]
        width = max((len(action.name) for action in self._actions.values()), default=0) + 2
        lines = [
            Content.assemble((action.name.ljust(width), PLAIN), (one_line(action.described(spoken())), MUTED))
            for action in found
        ]
        if typed and typed not in self._actions:
            self._choices.append(Chosen(*in_own_words(typed)))
            lines.append(Content.assemble(("+ ", ACCENT), (typed, PLAIN)))
        return lines

    def _offer_values(self, action: Action, typed: str) -> list[Content]:
        name, wanted = asked_variable(action), typed.casefold()
        values = [pair for pair in offered_values(action, spoken()) if any(wanted in each.casefold() for each in pair)]
        self._choices = [Chosen(action, {name: value}) for value, _words in values]
        lines = [Content.styled(words, PLAIN) for _value, words in values]
        if typed and not values:
            self._choices.append(Chosen(action, {name: typed}))
            lines.append(Content.assemble(("+ ", ACCENT), (typed, PLAIN)))
        return lines

    def action_move(self, step: int) -> None:
        options = self.query_one(OptionList)
        options.action_cursor_down() if step > 0 else options.action_cursor_up()

    def action_next_scope(self) -> None:
        self._scope = (self._scope + 1) % len(self._scopes)
        self._show_scope()

    def action_back(self) -> None:
        if self._action is not None:
            self._ask(None)
        else:
            self.dismiss(None)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        highlighted = self.query_one(OptionList).highlighted
        if highlighted is not None:
            self._take(self._choices[highlighted])

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self._take(self._choices[event.option_index])

    def _take(self, choice: Chosen | Action) -> None:
        if isinstance(choice, Chosen):
            self.dismiss((choice, self._scope))
        elif asked_variable(choice):
            self._ask(choice)
        else:
            self.dismiss((Chosen(choice, {}), self._scope))
