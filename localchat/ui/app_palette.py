"""The part of the app that finds actions by name: the palette, and the help."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from textual import work
from textual.app import App, SystemCommand
from textual.command import CommandList, CommandPalette
from textual.content import Content
from textual.screen import Screen
from textual.theme import ThemeProvider
from textual.widgets.option_list import Option

from localchat.translation import _
from localchat.ui.actions import ACTIONS, key_names
from localchat.ui.ink import MUTED
from localchat.ui.screens.dialog import ClosesOnce

if TYPE_CHECKING:
    from localchat.ui.screens.chat import ChatScreen


class Palette(CommandPalette, ClosesOnce[None]):
    """Textual's, in the language of the interface, and without its race: closed by a quick hand, it looks for its list
    once more when that is gone, and would take the app with it."""

    _gather_commands = work(exclusive=True, group=CommandPalette._GATHER_COMMANDS_GROUP, exit_on_error=False)(
        CommandPalette._gather_commands.__wrapped__  # type: ignore[attr-defined]
    )

    def _start_no_matches_countdown(self, search_value: str) -> None:
        self._stop_no_matches_countdown()
        if search_value:
            self._no_matches_timer = self.set_timer(self._NO_MATCHES_COUNTDOWN, self._show_no_matches)

    def _show_no_matches(self) -> None:
        words = Content.styled(_("There is no such action"), MUTED)
        self.query_one(CommandList).add_option(Option(words, disabled=True, id=self._NO_MATCHES))
        self._list_visible = True


class PalettePart(App[None]):
    """What the user does with actions by their names."""

    chat_screen: ChatScreen

    @work
    async def show_help(self) -> None:
        from localchat.ui.screens.help import HelpScreen

        await self.push_screen_wait(HelpScreen())

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        if screen is self.chat_screen:
            for action in ACTIONS:
                keys = key_names(self._keymap.get(action.id, action.keys))
                explained = " · ".join(part for part in (keys, _(action.explanation)) if part)
                yield SystemCommand(_(action.title), explained, self._command(action.name))
        yield SystemCommand(_("Theme"), _("Change the colours."), self.action_change_theme)
        yield SystemCommand(_("Quit"), _("Everything is saved."), self.action_quit)

    def _command(self, action: str) -> Any:
        async def run() -> None:
            await self.run_action(action, self.chat_screen)

        return run

    def action_command_palette(self) -> None:
        if not any(isinstance(screen, CommandPalette) for screen in self.screen_stack):
            self.push_screen(Palette(placeholder=_("Find an action"), id="--command-palette"))

    def search_themes(self) -> None:
        self.push_screen(Palette([ThemeProvider], placeholder=_("Find a theme")))
