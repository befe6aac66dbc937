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
from localchat.known_settings import KEYS_TABLE, SETTINGS, Setting, Value, key_setting
from localchat.messages import CacheChoice, Overflow
from localchat.translation import _, mark

_HEADER = mark("Settings of localchat. An environment variable such as LOCALCHAT_THEME goes before this file.")
_TABLES = (*dict.fromkeys(setting.table for setting in SETTINGS.values() if setting.table), KEYS_TABLE)


@dataclass(frozen=True, slots=True)
class Config:
    """The settings in force.

    Attributes:
        model: None: whatever model is installed, or the catalogue's default.
        max_tokens: None leaves the length of a reply to the model and the context.
        context_length: tokens; None leaves it to the model and the memory.
        cache: how keys and values are held; "auto" leaves it to the memory.
        overflow: what happens to a conversation that no longer fits.
        titles: the model gives conversations their titles.
        thinking: "on" or "off" for models that can be told whether to think; "" leaves it to them.
        reply_language: "zh" or "en"; "" and "any" leave it to the model.
        language: of the interface; "" is the system's.
        theme: None is the app's own.
        linear: plain lines instead of a screen.
        keep_edits: "on" keeps what was decided about a model's changes, "" asks once.
        loop_guard: a reply that goes round in circles is ended.
        speculation: tokens that may come next are guessed, and read with the last one.
        draft_model: what guesses them besides; "" is none.
        unload_after: minutes until a model that nobody asks is unloaded; 0 is never.
        cache_memory: megabytes; see `localchat.engine.prefix_cache`. None leaves it to what is free, ...
        cache_disk: ... and this to the disk.
        lock_after: minutes until an encrypted history is locked; 0 is never.
        keys: keys by the name of the action that they are for; which names there are, the app judges.
        sampling: only what was set; the model's recommendation fills the rest.
        sources: where each setting that is not a default comes from: "LOCALCHAT_THEME" or "/…/config.toml, line 3".
    """

    model: str | None = None
    system_prompt: str = ""
    max_tokens: int | None = None
    context_length: int | None = None
    cache: CacheChoice = "auto"
    overflow: Overflow = "oldest"
    titles: bool = True
    thinking: str = ""
    loop_guard: bool = True
    speculation: bool = True
    draft_model: str = ""
    unload_after: int = 15
    reply_language: str = ""
    language: str = ""
    theme: str | None = None
    sidebar: bool = True
    linear: bool = False
    keep_edits: str = ""
    enter_sends: bool = True
    cache_memory: int | None = None
    cache_disk: int | None = None
    lock_after: int = 10
    keys: Mapping[str, str] = field(default_factory=dict)
    sampling: Mapping[str, float] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def invalid(self, key: str, found: object, allowed: str) -> InvalidSetting:
        """The error for a value that only its user can judge, such as the name of a theme; says where it was set."""
        return _invalid(key, found, self.sources.get(key, ""), allowed)

    def changed(self, values: Mapping[str, Value | None]) -> Config:
        """The settings with these changed, by key; None goes back to the default."""
        sampling = dict(self.sampling)
        plain: dict[str, Any] = {}
        for key, value in values.items():
            if SETTINGS[key].table != "sampling":
                plain[key] = getattr(Config(), key) if value is None else value
            elif value is None:
                sampling.pop(key, None)
            else:
                assert isinstance(value, (int, float))
                sampling[key] = value
        return replace(self, sampling=sampling, **plain)


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
    found = {setting.key: (setting, value, source) for setting, value, source in _from_file(path)}
    found |= {setting.key: (setting, value, source) for setting, value, source in _from_environment(env)}
    tables: dict[str, Any] = {"": {}, "sampling": {}, KEYS_TABLE: {}}
    for key, (setting, value, _source) in found.items():
        tables[setting.table][key] = value
    sources = {key: source for key, (_setting, _value, source) in found.items()}
    values: dict[str, Any] = {**tables.pop(""), **tables}
    return replace(Config(), **values, sources=sources)


def save_setting(key: str, value: Value | None, path: Path | None = None, *, setting: Setting | None = None) -> None:
    """Write one setting into the file, which is made if need be; None takes it out again.

    Everything else in the file stays as it is. It is replaced in one step, so that it is never half written.

    Args:
        key: one of `SETTINGS`, such as "theme" or "temperature".
        setting: what `key` means, when it is not one of `SETTINGS`.
        path: default `paths.config_file()`.

    Raises:
        InvalidSetting: the value is not allowed, or the file is not TOML as it stands (it is then left alone).
        StorageFailed: the file cannot be written.
    """
    setting = setting or SETTINGS[key]
    if value is not None and not setting.allows(value):
        raise _invalid(key, value, "", setting.allowed)
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode("utf-8")
    path = path or paths.config_file()
    text = _read(path)
    _parse(text, path)
    place = _place(setting, text)
    if value is None:
        new = toml_lines.remove_value(text, place, (setting.comment, _(setting.comment)))
    else:
        new = toml_lines.set_value(text or f"# {_(_HEADER)}\n", place, value, _(setting.comment))
    if new != text:
        replace_file(path, new)


def _place(setting: Setting, text: str) -> toml_lines.Path:
    """Where the file has or gets it. A user may have written `chat.new` without quotes, which means a table in one."""
    dotted = (*setting.path[:-1], *setting.path[-1].split("."))
    has_dotted = any(dotted in statement.values for statement in toml_lines.statements(text))
    return dotted if has_dotted else setting.path


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
    tables = {(table,) for table in _TABLES}
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
            setting = key_setting(".".join(place[1:])) if place[0] == KEYS_TABLE else by_path.get(place)
            if setting is None:
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
            _("The settings in {path} cannot be read ({reason}).").format(path=path, reason=error.strerror or error),
            _("Make it a file that you can read."),
        ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidSetting(
            _("{path}, line {line} is not UTF-8 text.").format(path=path, line=line), _("Save the file as UTF-8.")
        ) from error


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = at[1] if at else str(text.count("\n") + 1)  # "at end of document" is the other thing it says
        why = str(error).partition(" (at ")[0]
        sentence = _("{path}, line {line} cannot be read: {reason}.")
        raise InvalidSetting(
            sentence.format(path=path, line=line, reason=f"{why[:1].lower()}{why[1:]}"),
            _('A line is a key, = and a value: theme = "dark".'),
        ) from error


def _invalid(key: str, found: object, source: str, allowed: str) -> InvalidSetting:
    shown = repr(found).lower() if isinstance(found, bool) else repr(found)
    shown = shown if len(shown) <= 60 else f"{shown[:59]}…"
    if not source:
        sentence = _("{key} is {found}, but must be {allowed}.")
        return InvalidSetting(sentence.format(key=key, found=shown, allowed=allowed))
    sentence = _("{key} is {found} in {path}, but must be {allowed}.")
    return InvalidSetting(
        sentence.format(key=key, found=shown, path=source, allowed=allowed), _("Correct it or take it out.")
    )


def _no_table(place: toml_lines.Path, source: str) -> InvalidSetting:
    return InvalidSetting(
        _("{key} in {path} must be a table.").format(key=place[0], path=source),
        _("Write [{table}], and its keys on lines below.").format(table=place[0]),
    )


def _unknown(place: toml_lines.Path, source: str) -> InvalidSetting:
    """The error for a key that is none of ours, with the place or the spelling that was probably meant."""
    import difflib  # only here: starting must stay quick

    key = place[-1]
    candidates = [*SETTINGS, *_TABLES]
    close = difflib.get_close_matches(key.lower().replace("-", "_"), candidates, n=1, cutoff=0.6)
    meant = SETTINGS.get(close[0]) if close else None
    if not close:
        hint = _("Known settings are {names}.").format(names=", ".join(SETTINGS))
    elif meant is None:
        hint = _("Did you mean {name}?").format(name=f"[{close[0]}]")
    elif close[0] != key:
        sentence = _("Did you mean {name} in [{table}]?") if meant.table else _("Did you mean {name}?")
        hint = sentence.format(name=close[0], table=meant.table)
    elif meant.table:
        hint = _("Write it below a line [{table}].").format(table=meant.table)
    else:
        hint = _("Write it above the first line in brackets, such as [{table}].").format(table=place[0])
    return InvalidSetting(_("{key} in {path} is not a setting.").format(key=".".join(place), path=source), hint)


def replace_file(path: Path, text: str) -> None:
    """Write a file of the user's settings in one step, so that it is never half written.

    Raises:
        StorageFailed: it cannot be written.
    """
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
            _("The settings cannot be saved in {path} ({reason}).").format(path=path, reason=error.strerror or error),
            _("Make the file and its folder writable, or free some space."),
        ) from error
