"""How the app looks, which language it speaks and which keys it has: what is settled before the first frame."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App
from textual.theme import Theme

from localchat import translation
from localchat.config import Config, save_setting
from localchat.errors import LocalChatError
from localchat.known_settings import Setting, Value
from localchat.paths import assets_dir, config_dir
from localchat.translation import _
from localchat.ui import themes
from localchat.ui.keymap import read_keymap
from localchat.ui.user_themes import read_themes


def speak(setting: str) -> None:
    """Let every text be in the language of this setting from now on."""
    translation.use(translation.wanted(setting), assets_dir() / "locale")


class LooksPart(App[None]):
    """Themes, language, keys."""

    PALETTE_THEMES: ClassVar[tuple[Theme, ...]] = themes.THEMES
    config: Config
    troubles: list[str]

    def register_themes(self) -> None:
        """Ours, and the user's own, which may replace them."""
        own, troubles = read_themes(config_dir() / "themes")
        self.troubles += [str(trouble) for trouble in troubles]
        for theme in (*self.PALETTE_THEMES, *own):
            self.register_theme(theme)

    def wanted_theme(self) -> str:
        """The name of the theme to begin with."""
        wanted = self.config.theme
        if wanted is None:
            return themes.DARK
        wanted = {"dark": themes.DARK, "light": themes.LIGHT}.get(wanted, wanted)
        if wanted in self.available_themes:
            return wanted
        allowed = _("one of {names}").format(names=", ".join(sorted(self.available_themes)))
        self.troubles.append(str(self.config.invalid("theme", wanted, allowed)))
        return themes.DARK

    def begin_with_theme(self, name: str) -> None:
        """Set the theme before anything is drawn. Plain assignment would have every style sheet parsed twice."""
        theme = self.available_themes[name]
        if theme.ansi:
            self.theme = name
            return
        self.set_reactive(App.theme, name)
        self.set_class(theme.dark, "-dark-mode")
        self.set_class(not theme.dark, "-light-mode")
        self.add_class(f"-theme-{name}")
        self.stylesheet.set_variables(self.get_css_variables())

    def take_keys(self) -> None:
        """Let the keys be those of the settings."""
        keymap, troubles = read_keymap(self.config)
        self.troubles += [str(trouble) for trouble in troubles]
        self.set_keymap(keymap)

    def keep(self, key: str, value: Value | None, setting: Setting | None = None) -> None:
        """Write a setting into config.toml; what cannot be written is in force for this window all the same."""
        try:
            save_setting(key, value, setting=setting)
        except LocalChatError as error:
            self.notify(str(error), severity="error", markup=False)
