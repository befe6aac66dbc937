"""The user's settings: `config.toml`, the environment, and what holds when neither says anything.

A flag of a command goes before the environment, the environment before the file, the file before the default. The
file belongs to the user: saving one setting keeps every comment and every other line.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from localchat import paths, toml_lines
from localchat.errors import InvalidSetting, StorageFailed
from localchat.messages import SAMPLING_LIMITS, Limits

Value = str | bool | int | float


@dataclass(frozen=True, slots=True)
class Setting:
    """One key: what it may be, and the line of comment that the file gets with it.

    Attributes:
        table: "" or "sampling".
        kind: str, bool, or the limits of a number.
    """

    key: str
    table: str
    kind: type[str] | type[bool] | Limits
    comment: str

    @property
    def path(self) -> toml_lines.Path:
        return (self.table, self.key) if self.table else (self.key,)

    @property
    def variable(self) -> str:
        return f"LOCALCHAT_{self.key.upper()}"

    @property
    def allowed(self) -> str:
        if isinstance(self.kind, Limits):
            return str(self.kind)
        return "true or false" if self.kind is bool else "a text in quotes"

    def allows(self, value: object) -> bool:
        if isinstance(self.kind, Limits):
            return self.kind.allows(value)
        return isinstance(value, self.kind)


_SAMPLING_COMMENTS: Mapping[str, str] = {
    "temperature": "How daring the choice of words is; 0 always takes the likeliest.",
    "top_k": "Choose among the k likeliest tokens; 0 is all of them.",
    "top_p": "Choose among the likeliest tokens that together have this probability; 1 is all of them.",
    "min_p": "Leave out tokens less likely than this share of the likeliest; 0 leaves out none.",
    "repetition_penalty": "Above 1, what was said before becomes less likely.",
    "frequency_penalty": "Above 0, a token becomes less likely each time the reply uses it.",
    "presence_penalty": "Above 0, a token that the reply used once becomes less likely.",
    "seed": "The same seed gives the same reply; without it every reply is fresh.",
}

SETTINGS: Mapping[str, Setting] = {
    setting.key: setting
    for setting in (
        Setting("model", "", str, "Name or path of the model for new conversations."),
        Setting("system_prompt", "", str, "Told to the model before every conversation."),
        Setting("max_tokens", "", Limits(1, 10_000_000, whole=True), "A reply has at most this many tokens."),
        Setting("context_length", "", Limits(64, 10_000_000, whole=True), "Tokens of a conversation kept in view."),
        Setting("theme", "", str, "Colours of the app."),
        Setting("enter_sends", "", bool, "Enter sends; if false, Enter breaks the line and Ctrl+J sends."),
        Setting("sidebar", "", bool, "Show the list of conversations."),
        *(Setting(key, "sampling", limits, _SAMPLING_COMMENTS[key]) for key, limits in SAMPLING_LIMITS.items()),
    )
}

_HEADER = "# Settings of localchat. An environment variable such as LOCALCHAT_THEME goes before this file.\n"


@dataclass(frozen=True, slots=True)
class Config:
    """The settings in force.

    Attributes:
        model: None: whatever model is installed, or the catalogue's default.
        max_tokens: None leaves the length of a reply to the model and the context.
        context_length: tokens; None leaves it to the model and the memory.
        theme: None is the app's own.
        sampling: only what was set; the model's recommendation fills the rest.
        sources: where each setting that is not a default comes from: "LOCALCHAT_THEME" or "/…/config.toml, line 3".
    """

    model: str | None = None
    system_prompt: str = ""
    max_tokens: int | None = None
    context_length: int | None = None
    theme: str | None = None
    enter_sends: bool = True
    sidebar: bool = True
    sampling: Mapping[str, float] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def invalid(self, key: str, found: object, allowed: str) -> InvalidSetting:
        """The error for a value that only its user can judge, such as the name of a theme; says where it was set."""
        return _invalid(key, found, self.sources.get(key, ""), allowed)


def load_config(path: Path | None = None, env: Mapping[str, str] | None = None) -> Config:
    """The settings of the environment, then of the file, then the defaults.

    Args:
        path: default `paths.config_file()`; it need not exist.
        env: default `os.environ`. An empty variable is none.

    Raises:
        InvalidSetting: names the key, where it was set, what was found and what is allowed. `Config()` is what a
            program can go on with.
    """
    path = path or paths.config_file()
    found = {setting.key: (value, source) for setting, value, source in _from_file(path)}
    found |= {setting.key: (value, source) for setting, value, source in _from_environment(env)}
    plain = {key: value for key, (value, _) in found.items() if not SETTINGS[key].table}
    sampling: dict[str, Any] = {key: value for key, (value, _) in found.items() if SETTINGS[key].table}
    values: dict[str, Any] = {**plain, "sampling": sampling}
    return replace(Config(), **values, sources={key: source for key, (_, source) in found.items()})


def save_setting(key: str, value: Value | None, path: Path | None = None) -> None:
    """Write one setting into the file, which is made if need be; None takes it out again.

    Everything else in the file stays as it is. It is replaced in one step, so that it is never half written.

    Args:
        key: one of `SETTINGS`, such as "theme" or "temperature".
        path: default `paths.config_file()`.

    Raises:
        InvalidSetting: the value is not allowed, or the file is not TOML as it stands (it is then left alone).
        StorageFailed: the file cannot be written.
    """
    setting = SETTINGS[key]
    if value is not None and not setting.allows(value):
        raise _invalid(key, value, "", setting.allowed)
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode("utf-8")
    path = path or paths.config_file()
    text = _read(path)
    _parse(text, path)
    if value is None:
        new = toml_lines.remove_value(text, setting.path, setting.comment)
    else:
        new = toml_lines.set_value(text or _HEADER, setting.path, value, setting.comment)
    if new != text:
        _replace_file(path, new)


def _from_environment(env: Mapping[str, str] | None) -> Iterator[tuple[Setting, Value, str]]:
    env = os.environ if env is None else env
    for setting in SETTINGS.values():
        if not (given := env.get(setting.variable)):
            continue
        value = _value_of_variable(setting, given)
        if not setting.allows(value):
            raise _invalid(setting.key, given, setting.variable, setting.allowed)
        yield setting, value, setting.variable


def _value_of_variable(setting: Setting, given: str) -> Value:
    if setting.kind is str:
        return given
    if setting.kind is bool:
        words = {
            "true": True,
            "1": True,
            "yes": True,
            "on": True,
            "false": False,
            "0": False,
            "no": False,
            "off": False,
        }
        return words.get(given.strip().lower(), given)
    for number in (int, float):
        try:
            return number(given)
        except ValueError:
            continue
    return given


def _from_file(path: Path) -> Iterator[tuple[Setting, Value, str]]:
    """The settings of the file in its order, so that the first mistake is the one reported."""
    text = _read(path)
    tree = _parse(text, path)
    by_path = {setting.path: setting for setting in SETTINGS.values()}
    tables = {(setting.table,) for setting in SETTINGS.values() if setting.table}
    for statement in toml_lines.statements(text):
        source = f"{path}, line {statement.first}"
        if statement.is_header:
            if statement.table not in tables:
                raise _unknown(statement.table, source)
            if not isinstance(tree[statement.table[0]], dict):
                raise _no_table(statement.table, source)
        for place, value in statement.values.items():
            if place in tables:
                if value != {}:
                    raise _no_table(place, source)
                continue
            if (setting := by_path.get(place)) is None:
                raise _unknown(place, source)
            if not setting.allows(value):
                raise _invalid(setting.key, value, source, setting.allowed)
            yield setting, value, source


def _read(path: Path) -> str:
    """The text of the file, "" if there is none; line ends as they are."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise InvalidSetting(
            f"The settings in {path} cannot be read ({error.strerror or error}).", "Make it a file that you can read."
        ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidSetting(f"{path}, line {line} is not UTF-8 text.", "Save the file as UTF-8.") from error


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = at[1] if at else str(text.count("\n") + 1)  # "at end of document" is the other thing it says
        why = str(error).partition(" (at ")[0]
        raise InvalidSetting(
            f"{path}, line {line} cannot be read: {why[:1].lower()}{why[1:]}.",
            'A line is a key, = and a value: theme = "dark".',
        ) from error


def _invalid(key: str, found: object, source: str, allowed: str) -> InvalidSetting:
    shown = repr(found).lower() if isinstance(found, bool) else repr(found)
    shown = shown if len(shown) <= 60 else f"{shown[:59]}…"
    if not source:
        return InvalidSetting(f"{key} is {shown}, but must be {allowed}.")
    return InvalidSetting(f"{key} is {shown} in {source}, but must be {allowed}.", "Correct it or take it out.")


def _no_table(place: toml_lines.Path, source: str) -> InvalidSetting:
    return InvalidSetting(
        f"{place[0]} in {source} must be a table.", f"Write [{place[0]}], and its keys on lines below."
    )


def _unknown(place: toml_lines.Path, source: str) -> InvalidSetting:
    """The error for a key that is none of ours, with the place or the spelling that was probably meant."""
    import difflib  # only here: starting must stay quick

    key = place[-1]
    candidates = [*SETTINGS, *(setting.table for setting in SETTINGS.values() if setting.table)]
    close = difflib.get_close_matches(key.lower().replace("-", "_"), candidates, n=1, cutoff=0.6)
    meant = SETTINGS.get(close[0]) if close else None
    if not close:
        hint = f"Known settings are {', '.join(SETTINGS)}."
    elif meant is None:
        hint = f"Did you mean [{close[0]}]?"
    elif close[0] != key:
        hint = f"Did you mean {close[0]}{f' in [{meant.table}]' if meant.table else ''}?"
    elif meant.table:
        hint = f"Write it below a line [{meant.table}]."
    else:
        hint = f"Write it above the first line in brackets, such as [{place[0]}]."
    return InvalidSetting(f"{'.'.join(place)} in {source} is not a setting.", hint)


def _replace_file(path: Path, text: str) -> None:
    path = path.resolve()  # a link, as in many people's dotfiles, stays one
    paths.ensure(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageFailed(
            f"The settings cannot be saved in {path} ({error.strerror or error}).",
            "Make the file and its folder writable, or free some space.",
        ) from error
