"""Conversations from elsewhere: our own JSON, and the exports of ChatGPT, loose or in their zip."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localchat.errors import UnreadableImport
from localchat.history.exporting import FORMAT
from localchat.history.importing_kinds import kind_name
from localchat.history.records import Conversation, StoredMessage
from localchat.history.store import HistoryStore
from localchat.translation import _, plural

_IN_ZIP = re.compile(r"(?:.*/)?conversations(?:-\d+)?\.json")
_LARGEST = 2 * 1024**3
"""Bytes of one JSON file; a zip that claims more is no export."""


@dataclass(frozen=True, slots=True)
class Import:
    """One conversation as it was read. `named` counts parts of other kinds, of which only a name could be kept."""

    conversation: Conversation
    messages: Sequence[StoredMessage]
    named: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Imported:
    """What came of an import: how many conversations and messages, and what could only be named."""

    added: int = 0
    extended: int = 0
    known: int = 0
    messages: int = 0
    named: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        parts = [
            plural("{count} conversation was added", "{count} conversations were added", self.added).format(
                count=self.added
            )
        ]
        if self.extended:
            parts.append(_("{count} were continued").format(count=self.extended))
        if self.known:
            parts.append(_("{count} were here already").format(count=self.known))
        line = _("; ").join(parts) + _(".")
        if self.named:
            named = _(", ").join(f"{kind_name(kind)} ({count})" for kind, count in self.named.most_common())
            line += " " + _("Of parts that are no text only the names were kept: {named}.").format(named=named)
        return line


def import_file(store: HistoryStore, path: Path) -> Imported:
    """Add what is new in a file or folder to the history. Every conversation is added whole or not at all.

    Raises:
        UnreadableImport: the file is none that is understood; says where. Conversations before that place are added.
        HistoryUnavailable: the history cannot be written.
    """
    result = Imported()
    for found in read_import(path):
        if not found.messages:
            continue
        added = store.adopt(found.conversation, found.messages)
        if added is None:
            result.added += 1
            result.messages += len(found.messages)
            result.named += found.named
        elif added:
            result.extended += 1
            result.messages += added
        else:
            result.known += 1
    return result


def read_import(path: Path) -> Iterator[Import]:
    """The conversations of a file or folder, of whichever kind it is.

    Raises:
        UnreadableImport: it is none that is understood.
    """
    try:
        if path.is_dir():
            documents = _in_folder(path)
        elif zipfile.is_zipfile(path):
            documents = _in_zip(path)
        else:
            documents = iter([(str(path), _parsed(str(path), path.read_bytes()))])
        for name, document in documents:
            yield from _conversations(name, document)
    except OSError as error:
        raise UnreadableImport(
            _("{path} cannot be read ({reason}).").format(path=path, reason=error.strerror or error)
        ) from error


def _in_folder(folder: Path) -> Iterator[tuple[str, Any]]:
    """What was in a zip, or JSON files of ours."""
    found = sorted(folder.glob("*.json"))
    exported = [
        path for path in found if _IN_ZIP.fullmatch(path.name)
    ]  # beside them, ChatGPT puts files of other kinds
    if not found:
        raise UnreadableImport(_("The folder {folder} holds no JSON files.").format(folder=folder))
    for path in exported or found:
        yield str(path), _parsed(str(path), path.read_bytes())


def _in_zip(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted((i for i in archive.infolist() if _IN_ZIP.fullmatch(i.filename)), key=lambda i: i.filename)
            if not members:
                raise UnreadableImport(
                    _("{path} holds no conversations.json.").format(path=path),
                    _("Give the zip that ChatGPT sends, or a JSON file from `localchat history export`."),
                )
            for member in members:
                if member.file_size > _LARGEST:
                    raise UnreadableImport(_("{name} in {path} is too large.").format(name=member.filename, path=path))
                yield f"{path}, {member.filename}", _parsed(f"{path}, {member.filename}", archive.read(member))
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        raise UnreadableImport(
            _("The zip {path} cannot be read ({reason}).").format(path=path, reason=error)
        ) from error


def _parsed(name: str, data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UnreadableImport(
            _("{name} is not JSON ({reason}).").format(name=name, reason=error),
            _("Give a JSON file from `localchat history export`, or what ChatGPT exports."),
        ) from error


def _conversations(name: str, document: Any) -> Iterator[Import]:
    from localchat.history.importing_chatgpt import chatgpt_conversation, is_chatgpt
    from localchat.history.importing_own import own_conversations

    if isinstance(document, dict) and document.get("format") == FORMAT:
        yield from own_conversations(name, document)
        return
    # One conversation as other programs save it, a list of them, or a list inside of an object.
    if isinstance(document, dict) and isinstance(document.get("conversations"), list):
        document = document["conversations"]
    entries = document if isinstance(document, list) else [document]
    if not entries or not any(is_chatgpt(entry) for entry in entries):
        raise UnreadableImport(
            _("{name} holds no conversations that localchat knows.").format(name=name),
            _("Give a JSON file from `localchat history export`, or what ChatGPT exports."),
        )
    for number, entry in enumerate(entries):
        try:
            if is_chatgpt(entry):
                yield chatgpt_conversation(entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UnreadableImport(
                _("{name}: conversation {number} is not as ChatGPT writes them ({reason}).").format(
                    name=name, number=number + 1, reason=error
                )
            ) from error
