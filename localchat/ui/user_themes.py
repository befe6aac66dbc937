"""The user's own themes: `themes/NAME.toml` in the folder of the settings, each a few colours.

dark = true
primary = "#6fc2a8"
background = "#141518"

[variables]
scrollbar = "#33363c"
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import Theme

from localchat.errors import InvalidSetting
from localchat.translation import _

COLOURS = (
    "primary", "secondary", "warning", "error", "success", "accent", "foreground", "background", "surface", "panel",
    "boost",
)  # fmt: skip


def read_themes(folder: Path) -> tuple[list[Theme], list[InvalidSetting]]:
    """The themes of the folder by name, and what was wrong with the files that are none."""
    themes: list[Theme] = []
    troubles: list[InvalidSetting] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            themes.append(read_theme(path))
        except InvalidSetting as error:
            troubles.append(error)
    return themes, troubles


def read_theme(path: Path) -> Theme:
    """The theme in one file; its name is the file's.

    Raises:
        InvalidSetting: names the file, the key, what was found and what is allowed.
    """
    if not re.fullmatch(r"[A-Za-z_-][A-Za-z0-9_-]*", path.stem):
        sentence = _("{path} cannot be the name of a theme.").format(path=path)
        raise InvalidSetting(sentence, _("Use letters from a to z, digits, - and _."))
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidSetting(_("{path} is not a theme: {reason}.").format(path=path, reason=error)) from error
    dark = table.pop("dark", True)
    if not isinstance(dark, bool):
        raise _wrong(path, "dark", dark, _("true or false"))
    variables = table.pop("variables", {})
    if not isinstance(variables, dict):
        raise _wrong(path, "variables", variables, _("a table"))
    for key, value in variables.items():
        if not isinstance(value, str):
            raise _wrong(path, f"variables.{key}", value, _("a text in quotes"))
    colours: dict[str, Any] = {key: _colour(path, key, value) for key, value in table.items()}
    if "primary" not in colours:
        raise InvalidSetting(_("{path} has no {key}.").format(path=path, key="primary"), _("A theme needs that one."))
    return Theme(name=path.stem, dark=dark, variables=variables, **colours)


def _colour(path: Path, key: str, value: Any) -> str:
    if key not in COLOURS:
        allowed = ", ".join(("dark", *COLOURS, "variables"))
        sentence = _("{key} in {path} means nothing in a theme.").format(key=key, path=path)
        raise InvalidSetting(sentence, _("There are {names}.").format(names=allowed))
    try:
        Color.parse(value)
    except (ColorParseError, TypeError, AttributeError) as error:
        raise _wrong(path, key, value, _("a colour such as “#6fc2a8” or “teal”")) from error
    return str(value)


def _wrong(path: Path, key: str, value: object, allowed: str) -> InvalidSetting:
    sentence = _("{key} is {found} in {path}, but must be {allowed}.")
    return InvalidSetting(sentence.format(key=key, found=repr(value), path=path, allowed=allowed))
