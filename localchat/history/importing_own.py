"""Reading the JSON that `exporting` writes. Whatever is not as it should be is refused with its place in the file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, get_args

from localchat.errors import UnreadableImport
from localchat.events import ReplyDone
from localchat.history.exporting import VERSION
from localchat.history.importing import Import
from localchat.history.records import Conversation, Status, StoredMessage
from localchat.messages import SAMPLING_LIMITS, Role
from localchat.translation import _

LATEST = 253_402_300_799.0
"""The last second of the year 9999; no calendar goes further."""

_FIGURES = {field.name for field in fields(ReplyDone) if field.type in ("int", "float")} | {"seconds"}
_LONGEST_ID = 100


def own_conversations(name: str, document: Mapping[str, Any]) -> Iterator[Import]:
    """The conversations of a document.

    Args:
        name: of the file, for errors.

    Raises:
        UnreadableImport: it was written by a newer localchat, or is damaged.
    """
    top = _Table(document, name)
    version = top.value("version", int)
    if version > VERSION:
        raise UnreadableImport(
            _("{name} was written by a newer localchat (version {found}; this one reads {known}).").format(
                name=name, found=version, known=VERSION
            ),
            _("Update localchat, then import it again."),
        )
    for number, entry in enumerate(top.value("conversations", list)):
        yield _conversation(_Table(entry, f"{name}: conversations[{number}]"))


class _Table:
    """A JSON object, and where it stands."""

    def __init__(self, values: object, place: str) -> None:
        self.place = place
        if not isinstance(values, dict):
            raise UnreadableImport(_("{place} must be an object in braces.").format(place=place))
        self._values: dict[str, Any] = values

    def value(self, key: str, kind: type, default: Any = ...) -> Any:
        """The value of `key`, which must be of this kind; `default` when it is not there or null."""
        found = self._values.get(key)
        if found is None and default is not ...:
            return default
        if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
            raise self.wrong(key, found)
        return found

    def moment(self, key: str, default: Any = ...) -> Any:
        found = self._values.get(key)
        if found is None and default is not ...:
            return default
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 <= found <= LATEST:
            raise self.wrong(key, found)
        return float(found)

    def id(self, key: str, default: Any = ...) -> Any:
        found = self.value(key, str, default)
        if isinstance(found, str) and not 0 < len(found) <= _LONGEST_ID:
            raise self.wrong(key, found)
        return found

    def one_of(self, key: str, allowed: tuple[str, ...]) -> Any:
        found = self._values.get(key)
        if found not in allowed:
            raise self.wrong(key, found)
        return found

    def wrong(self, key: str, found: object) -> UnreadableImport:
        shown = repr(found)
        shown = shown if len(shown) <= 60 else f"{shown[:59]}…"
        return UnreadableImport(
            _("{place}.{key} is {found}, which cannot be.").format(place=self.place, key=key, found=shown),
            _("Export the conversations again."),
        )


def _conversation(table: _Table) -> Import:
    conversation_id = table.id("id")
    seen: set[str] = set()
    messages = []
    for number, entry in enumerate(table.value("messages", list)):
        row = _Table(entry, f"{table.place}.messages[{number}]")
        message = _message(row, conversation_id)
        if message.id in seen or (message.parent_id is not None and message.parent_id not in seen):
            raise row.wrong("id" if message.id in seen else "parent_id", entry.get("parent_id"))
        seen.add(message.id)
        messages.append(message)
    leaf = table.id("leaf_id", None)
    created = table.moment("created_at")
    conversation = Conversation(
        id=conversation_id,
        title=table.value("title", str),
        renamed=table.value("renamed", bool, False),
        titled=table.value("titled", bool, False),
        created_at=created,
        updated_at=table.moment("updated_at", created),
        model=table.value("model", str, None),
        system_prompt=table.value("system_prompt", str, None),
        sampling=_sampling(table),
        options=_options(table),
        draft="",
        pinned=table.value("pinned", bool, False),
        deleted_at=None,
        leaf_id=leaf if leaf in seen else None,
        folder=table.value("folder", str, ""),
        archived_at=table.moment("archived_at", None),
    )
    return Import(conversation, messages)


def _message(table: _Table, conversation_id: str) -> StoredMessage:
    status = table.one_of("status", get_args(Status))
    created = table.moment("created_at")
    return StoredMessage(
        id=table.id("id"),
        conversation_id=conversation_id,
        parent_id=table.id("parent_id", None),
        role=table.one_of("role", get_args(Role)),
        content=table.value("content", str),
        thinking=table.value("thinking", str, ""),
        status="interrupted" if status == "writing" else status,
        created_at=created,
        finished_at=table.moment("finished_at", created),
        model=table.value("model", str, None),
        error=table.value("error", str, ""),
        stats=_stats(table),
        attachments=_attachments(table),
        pinned=table.value("pinned", bool, False),
        summary=table.value("summary", str, ""),
    )


def _sampling(table: _Table) -> dict[str, float]:
    """Options that this version does not know are left out: it could not follow them."""
    found = {key: value for key, value in table.value("sampling", dict, {}).items() if key in SAMPLING_LIMITS}
    for key, value in found.items():
        if not SAMPLING_LIMITS[key].allows(value):
            raise table.wrong(f"sampling.{key}", value)
    return found


def _options(table: _Table) -> dict[str, Any]:
    options: dict[str, Any] = table.value("options", dict, {})
    length = options.get("context_length")
    if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 1):
        raise table.wrong("options.context_length", length)
    if (thinking := options.get("thinking")) not in (None, "on", "off"):
        raise table.wrong("options.thinking", thinking)
    return options


def _stats(table: _Table) -> dict[str, Any]:
    stats: dict[str, Any] = table.value("stats", dict, {})
    for key, value in stats.items():
        if key in _FIGURES and (not isinstance(value, (int, float)) or not math.isfinite(value)):
            raise table.wrong(f"stats.{key}", value)
    return stats


def _attachments(table: _Table) -> list[dict[str, str]]:
    attachments: list[dict[str, str]] = table.value("attachments", list, [])
    for number, attachment in enumerate(attachments):
        row = _Table(attachment, f"{table.place}.attachments[{number}]")
        for key in ("name", "kind", "text"):
            row.value(key, str)
    return attachments
