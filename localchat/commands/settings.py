"""The settings for a program that goes on when they are wrong."""

from __future__ import annotations

from localchat import translation
from localchat.config import Config, load_config
from localchat.errors import InvalidSetting
from localchat.paths import assets_dir


def lenient_config() -> tuple[Config, list[str]]:
    """The settings, or the defaults with the sentence that says what is wrong with the settings.

    From here on everything is said in the language of the settings, and what is wrong with them in the system's.
    """
    _speak("")
    try:
        config = load_config()
    except InvalidSetting as error:
        return Config(), [str(error)]
    _speak(config.language)
    return config, []


def _speak(setting: str) -> None:
    translation.use(translation.wanted(setting), assets_dir() / "locale")
