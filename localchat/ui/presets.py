"""Presets: named sets of settings for a chat, in `presets.toml` beside the settings.

    ["Translator"]
    system_prompt = "Translate what I write into Chinese."
    temperature = 0.2

The file is the user's: saving one keeps every comment and every other line.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from localchat import toml_lines
from localchat.config import replace_file
from localchat.errors import InvalidSetting
from localchat.known_settings import SETTINGS
from localchat.paths import config_dir
from localchat.translation import _
from localchat.ui.own_settings import OWN_KEYS, OwnSettings


def presets_file() -> Path:
    return config_dir() / "presets.toml"


def read_presets(path: Path | None = None) -> dict[str, OwnSettings]:
    """All presets, in the order of the file.

    Raises:
        InvalidSetting: names the preset, the key, what was found and what is allowed.
    """
    path = path or presets_file()
    presets: dict[str, OwnSettings] = {}
    for name, table in _tree(path).items():
        if not isinstance(table, dict):
            sentence = _("{key} in {path} belongs to no preset.").format(key=name, path=path)
            raise InvalidSetting(sentence, _("Write it below a line with a name in brackets, such as [Translator]."))
        for key, value in table.items():
            _check(path, name, key, value)
        presets[name] = OwnSettings.from_values(table, name)
    return presets


def save_preset(name: str, settings: OwnSettings, path: Path | None = None) -> None:
    """Keep these under the name; a preset that had it is replaced.

    Raises:
        InvalidSetting: the file is not TOML as it stands (it is then left alone). StorageFailed: it cannot be written.
    """
    path = path or presets_file()
    old = _tree(path).get(name, {})
    text = _text(path)
    values = settings.values()
    for key in OWN_KEYS:
        comment = _(SETTINGS[key].comment)
        if key in values:
            text = toml_lines.set_value(text, (name, key), values[key], comment)
        elif key in old:
            text = toml_lines.remove_value(text, (name, key), (comment, SETTINGS[key].comment))
    if not values and not old:
        text = f"{text.rstrip()}\n\n{toml_lines.header(name)}\n".lstrip()
    replace_file(path, text)


def forget_preset(name: str, path: Path | None = None) -> None:
    """Take a preset out of the file, with the lines that belong to it."""
    path = path or presets_file()
    replace_file(path, toml_lines.remove_table(_text(path), name))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(_("{path} cannot be read: {reason}.").format(path=path, reason=error)) from error


def _tree(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InvalidSetting(_("{path} cannot be read: {reason}.").format(path=path, reason=error)) from error


def _check(path: Path, name: str, key: str, value: Any) -> None:
    if key not in OWN_KEYS:
        sentence = _("{key} in {path} is not a setting that a chat can have.").format(key=f"{name}.{key}", path=path)
        raise InvalidSetting(sentence, _("There are {names}.").format(names=", ".join(OWN_KEYS)))
    if not SETTINGS[key].allows(value):
        sentence = _("{key} is {found} in {path}, but must be {allowed}.")
        raise InvalidSetting(
            sentence.format(key=f"{name}.{key}", found=repr(value), path=path, allowed=SETTINGS[key].allowed)
        )
