"""The part of the app that concerns settings: those of the program, those of one chat, and presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import work

from localchat.errors import LocalChatError
from localchat.known_settings import Value, key_setting
from localchat.translation import _, spoken
from localchat.ui.app_looks import speak
from localchat.ui.app_models import ModelsPart
from localchat.ui.own_settings import OwnSettings
from localchat.ui.preferences import Preferences
from localchat.ui.visible_text import one_line
from localchat.writing.personas import Persona, find_persona

if TYPE_CHECKING:
    from localchat.ui.screens.chat import ChatScreen


class SettingsPart(ModelsPart):
    """What the user does with settings."""

    chat_screen: ChatScreen

    @work
    async def show_settings(self, sought: str = "") -> None:
        """Let the user see and change them all; `sought` narrows them from the start."""
        from localchat.ui.screens.settings import SettingsScreen

        model = self.session.engine_state.model
        recommended = model.sampling if model is not None else {}
        models = [(model.name, model.title) for model in self.shelf.installed() if not model.damage]
        screen = SettingsScreen(self.config, sorted(self.available_themes), self.theme, recommended, models, sought)
        changes = await self.push_screen_wait(screen)
        if not changes:
            return
        if "language" in changes:
            speak(str(changes["language"] or ""))
        for key, value in changes.items():
            self.keep(key, value)
        await self._apply(changes)

    async def _apply(self, values: Mapping[str, Value | None]) -> None:
        """Let them hold from now on."""
        before, self.config = self.config, self.config.changed(values)
        self.session.preferences = Preferences.of(self.config)
        if not values.keys().isdisjoint(("model", "context_length", "draft_model", "cache")):
            self.start_engine()
        if "enter_sends" in values:
            self.take_keys()
        if "sidebar" in values:
            self.chat_screen.set_class(not self.config.sidebar, "-folded")
        if self.config.language != before.language:
            await self.chat_screen.speak_anew()

    def keep_theme(self, theme: object) -> None:
        """A theme was chosen, wherever that was."""
        name = getattr(theme, "name", "")
        if name and name != self.config.theme:
            self.config = replace(self.config, theme=name)
            self.keep("theme", name)

    @work
    async def show_keys(self) -> None:
        """Let the user give actions other keys."""
        from localchat.ui.screens.keys import KeysScreen

        changes = await self.push_screen_wait(KeysScreen(self.config.keys))
        if not changes:
            return
        for action, keys in changes.items():
            self.keep(action, keys, key_setting(action))
        kept = {**self.config.keys, **changes}
        self.config = replace(self.config, keys={action: keys for action, keys in kept.items() if keys is not None})
        self.take_keys()
        self.chat_screen.key_bar.refresh_keys()

    # ---- this chat's own

    @work
    async def show_own_settings(self) -> None:
        """Let the user see and change what the open chat has of its own."""
        from localchat.ui.presets import read_presets
        from localchat.ui.screens.own_settings import OwnSettingsScreen

        try:
            presets = read_presets()
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
            presets = {}
        models = [(model.name, model.title) for model in self.shelf.installed() if not model.damage]
        model = self.session.engine_state.model
        recommended = {**(model.sampling if model is not None else {}), **self.config.sampling}
        usual = self.usual_model.title if self.usual_model is not None else ""
        screen = OwnSettingsScreen(self.session.own, self.config, models, presets, recommended, usual, model)
        own = await self.push_screen_wait(screen)
        if own is not None:
            self._take_own(own)

    def _take_own(self, own: OwnSettings) -> None:
        if own != self.session.own:
            self.session.set_own(own)
            self.session.bring_model()
            self.chat_screen.show_chats()

    def apply_preset(self, name: str) -> None:
        """Give the open chat the settings of this preset."""
        from localchat.ui.presets import read_presets

        try:
            presets = read_presets()
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        found = next((each for each in presets if each.casefold() == name.casefold()), None)
        if found is not None:
            self._take_own(presets[found])
            self.notify(_("This chat follows the preset “{name}” now.").format(name=found), markup=False)
        elif presets:
            sentence = _("There is no preset “{name}”; there are {names}.")
            self.notify(sentence.format(name=name, names=", ".join(presets)), severity="error", markup=False)
        else:
            self.notify(_("There is no preset yet; F5 saves a chat's settings as one."), severity="error", markup=False)

    # ---- personas

    @work
    async def show_personas(self) -> None:
        """Let the user choose who the model is to be in the open chat, and change the library."""
        from localchat.ui.screens.personas import PersonasScreen

        persona = await self.push_screen_wait(PersonasScreen(self.session.own.persona))
        if persona is not None:
            self._take_persona(persona)

    def apply_persona(self, name: str) -> None:
        """Give the open chat this persona."""
        try:
            self._take_persona(find_persona(name))
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)

    def _take_persona(self, persona: Persona) -> None:
        self._take_own(self.session.own.taking(persona))
        title = one_line(persona.title(spoken()))
        self.notify(_("The next reply in this chat is by “{title}”.").format(title=title), markup=False)
