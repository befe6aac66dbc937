"""Who the model is to be in this chat: the library of personas, which can be looked at, changed and added to."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, OptionList, Select, Static, TextArea
from textual.widgets.option_list import Option

from localchat.errors import LocalChatError
from localchat.translation import _, spoken
from localchat.ui.ink import ACCENT, FAINT, MUTED, PLAIN
from localchat.ui.screens.dialog import Dialog
from localchat.ui.visible_text import one_line, visible_text
from localchat.writing.personas import Persona, all_personas, forget_persona, new_name, save_persona

_WIDEST_TITLE = 24


class PersonasScreen(Dialog[Persona | None]):
    """Returns the persona that the chat is to take; None when the user gave up.

    Args:
        current: name of the one that the chat has; "" is none.
    """

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Close", id="personas.close", show=False),
        Binding("e", "edit", "Edit", id="personas.edit", show=False),
        Binding("n", "add", "New", id="personas.new", show=False),
        Binding("d,delete", "forget", "Delete", id="personas.delete", show=False),
    ]

    def __init__(self, current: str = "") -> None:
        super().__init__()
        self._current = current
        self._personas: dict[str, Persona] = {}

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="personas"):
            yield Static(_("Personas"), classes="heading", markup=False)
            yield OptionList(markup=False, compact=True)
            with VerticalScroll(can_focus=False):
                yield Static(id="told", markup=False)
            hint = _("Enter takes it for this chat. e edits, n writes a new one, d deletes one of yours, Esc closes.")
            yield Static(hint, classes="hint", markup=False)

    def on_mount(self) -> None:
        self._list(self._current)
        self.query_one(OptionList).focus()

    def _list(self, chosen: str) -> None:
        try:
            self._personas = all_personas()
        except LocalChatError as error:
            self.query_one(".hint", Static).update(Content(str(error)))
        options = self.query_one(OptionList)
        width = max((cell_len(one_line(p.title(spoken()))) for p in self._personas.values()), default=0)
        rows = [Option(self._row(p, min(width, _WIDEST_TITLE)), id=p.name) for p in self._personas.values()]
        options.set_options(rows)
        if chosen in self._personas:
            options.highlighted = options.get_option_index(chosen)
        else:
            options.action_first()

    def _row(self, persona: Persona, width: int) -> Content:
        sign = "● " if persona.name == self._current else "  "
        own = "  " + _("yours") if persona.is_own else ""
        return Content.assemble(
            (sign, ACCENT),
            (set_cell_size(one_line(persona.title(spoken())), width), PLAIN),
            ("  " + one_line(persona.description(spoken())), MUTED),
            (own, FAINT),
        )

    @property
    def _highlighted(self) -> Persona | None:
        index = self.query_one(OptionList).highlighted
        return None if index is None else list(self._personas.values())[index]

    @on(OptionList.OptionHighlighted)
    def _show(self) -> None:
        persona = self._highlighted
        told = visible_text(persona.prompt(spoken())) if persona is not None else ""
        self.query_one("#told", Static).update(Content.styled(told, MUTED))

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._personas[event.option_id or ""])

    @work
    async def action_edit(self) -> None:
        if (persona := self._highlighted) is not None:
            await self.app.push_screen_wait(PersonaScreen(persona))
            self._list(persona.name)

    @work
    async def action_add(self) -> None:
        name = await self.app.push_screen_wait(PersonaScreen(None))
        if name:
            self._list(name)

    def action_forget(self) -> None:
        persona = self._highlighted
        if persona is None:
            return
        if not persona.is_own:
            self.notify(_("It comes with the program. With e you make one of yours in its place."), timeout=5)
            return
        try:
            forget_persona(persona.name)
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
        self._list("")


class PersonaScreen(Dialog[str | None]):
    """One persona of the user's: a title, and what the model is told or a sample that it is to write like. Returns its
    name once it is saved.

    Args:
        persona: that is changed; None for a new one.
    """

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Give up", id="persona.cancel", show=False, priority=True),
        Binding("ctrl+s", "save", "Save", id="persona.save", show=False, priority=True),
    ]

    def __init__(self, persona: Persona | None) -> None:
        super().__init__()
        self._persona = persona

    def compose(self) -> ComposeResult:
        persona = self._persona
        kinds = [(_("What the model is told"), "prompt"), (_("A sample that it writes like"), "sample")]
        kind = "sample" if persona is not None and persona.sample else "prompt"
        text = (persona.sample or persona.prompt(spoken())) if persona is not None else ""
        with Vertical(classes="dialog", id="persona"):
            yield Static(_("Persona"), classes="heading", markup=False)
            title = persona.title(spoken()) if persona is not None else ""
            yield Input(title, placeholder=_("Title"), compact=True, id="title")
            if persona is None:
                yield Select(kinds, value=kind, allow_blank=False, compact=True, id="kind")
            yield TextArea(text, compact=True, soft_wrap=True, id="text")
            yield Static(_("Ctrl+S saves, Esc gives up."), classes="hint", markup=False)

    @property
    def _kind(self) -> str:
        if self._persona is not None:
            return "sample" if self._persona.sample else "prompt"
        return str(self.query_one("#kind", Select).value)

    def action_save(self) -> None:
        title = one_line(self.query_one("#title", Input).value).strip()
        text = self.query_one("#text", TextArea).text.strip()
        if not title or not text:
            self.notify(_("A persona needs a title and a text."), severity="warning", timeout=4)
            return
        name = self._persona.name if self._persona is not None else new_name(title)
        try:
            save_persona(name, title=title, **{self._kind: text})
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.dismiss(name)
