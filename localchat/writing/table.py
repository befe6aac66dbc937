"""Tables of TOML files that people write: what each key must be, said by its name when it is something else."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from localchat.errors import InvalidSetting
from localchat.messages import SAMPLING_LIMITS
from localchat.translation import LANGUAGES, _

T = TypeVar("T")


def tables(path: Path) -> dict[str, Table]:
    """The tables of one file by their names, in its order.

    Raises:
        InvalidSetting: it cannot be read, or holds something else.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidSetting(_("{path} cannot be read: {reason}.").format(path=path, reason=error)) from error
    return {name: Table(table, f"{path.name}, {name}") for name, table in tree.items()}


class Table:
    """A table whose keys are taken one by one with their types; what is left over is unknown."""

    def __init__(self, values: object, where: str) -> None:
        self.where = where
        if not isinstance(values, dict):
            raise InvalidSetting(_("{where} must be a table.").format(where=where))
        self.values: dict[str, Any] = dict(values)
        self._known: list[str] = []

    def wrong(self, key: str, value: object, allowed: str) -> InvalidSetting:
        sentence = _("{where}: {key} is {value}, but must be {allowed}.")
        return InvalidSetting(sentence.format(where=self.where, key=key, value=repr(value), allowed=allowed))

    def take(self, key: str, kind: type[T], default: T | None = None) -> T:
        self._known.append(key)
        value = self.values.pop(key, default)
        if value is None:
            raise InvalidSetting(_("{where}: the key {key} is missing.").format(where=self.where, key=repr(key)))
        if not isinstance(value, kind):
            names = {str: _("some text"), dict: _("a table"), list: _("a list"), bool: "true, false"}
            raise self.wrong(key, value, names[kind])
        return value

    def worded(self, key: str, default: dict[str, str] | None) -> dict[str, str]:
        """Text by language; a plain text is for every language."""
        self._known.append(key)
        value = self.values.pop(key, default)
        if isinstance(value, str):
            value = {"en": value} if value.strip() else None
        if value is None:
            raise InvalidSetting(_("{where}: the key {key} is missing.").format(where=self.where, key=repr(key)))
        if not isinstance(value, dict) or not value or not all(
            language in LANGUAGES and isinstance(text, str) for language, text in value.items()
        ):  # fmt: skip
            raise self.wrong(
                key, value, _("some text, or a text for each of {names}").format(names=", ".join(LANGUAGES))
            )
        return value

    def one_of(self, key: str, allowed: tuple[Any, ...], default: Any) -> Any:
        if (value := self.take(key, str, default)) not in allowed:
            raise self.wrong(key, value, ", ".join(allowed))
        return value

    def sampling(self, default: Mapping[str, float]) -> Mapping[str, float]:
        """The sampling options that are chosen, checked."""
        chosen = self.take("sampling", dict, dict(default))
        for key, value in chosen.items():
            if key not in SAMPLING_LIMITS:
                raise self.wrong("sampling", key, ", ".join(SAMPLING_LIMITS))
            if not SAMPLING_LIMITS[key].allows(value):
                raise self.wrong(key, value, str(SAMPLING_LIMITS[key]))
        return chosen

    def finish(self) -> None:
        if self.values:
            raise InvalidSetting(
                _("{where}: unknown key {key}; allowed are {names}.").format(
                    where=self.where, key=repr(next(iter(self.values))), names=", ".join(self._known)
                )
            )
