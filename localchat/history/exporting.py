"""Taking conversations along: as Markdown or a web page to read, as JSON to keep everything."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localchat import paths
from localchat.errors import StorageFailed
from localchat.history.file_names import file_name
from localchat.history.records import Conversation, StoredMessage
from localchat.history.store import HistoryStore
from localchat.translation import _, mark

FORMAT = "localchat-history"
VERSION = 1
"""Of the JSON. A reader refuses a higher one; fields that are added need no new version."""

_CONVERSATION = (
    "id", "title", "renamed", "titled", "created_at", "updated_at", "model", "system_prompt", "sampling", "options",
    "pinned", "folder", "archived_at", "leaf_id",
)  # fmt: skip
_MESSAGE = (
    "id", "parent_id", "role", "content", "thinking", "status", "created_at", "finished_at", "model", "error", "stats",
    "attachments", "pinned", "summary",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """A kind of file. `label` and `explanation` are `mark`ed."""

    name: str
    suffix: str
    label: str
    explanation: str


FORMATS: Mapping[str, ExportFormat] = {
    kind.name: kind
    for kind in (
        ExportFormat("markdown", ".md", mark("Markdown"), mark("The conversation on show, as text for any editor.")),
        ExportFormat("html", ".html", mark("Web page"), mark("One file for any browser, with coloured code.")),
        ExportFormat("json", ".json", mark("JSON"), mark("Everything, every version too; localchat reads it back.")),
    )
}


def format_of(path: Path) -> ExportFormat | None:
    """The format that the end of a file's name asks for."""
    endings = {"markdown": "markdown", "md": "markdown", "html": "html", "htm": "html", "json": "json"}
    name = endings.get(path.suffix.lower().removeprefix("."))
    return FORMATS[name] if name is not None else None


def free_path(title: str, kind: ExportFormat, folder: Path | None = None) -> Path:
    """A path of no file yet in `folder` (the working one, when None), with a name made of `title`."""
    folder = folder or Path.cwd()
    try:
        taken = {entry.name.lower() for entry in folder.iterdir()}
    except OSError:  # writing will say what is wrong with it
        taken = set()
    return folder / file_name(title, kind.suffix, taken)


def rendered(store: HistoryStore, conversation: Conversation, kind: ExportFormat) -> str:
    """One conversation as the text of a file. A draft is not part of it."""
    if kind.name == "json":
        return as_json(store, [conversation])
    branch = store.branch(conversation.id)
    renderer: Callable[[Conversation, Sequence[StoredMessage]], str]
    if kind.name == "html":
        from localchat.history.exporting_html import as_html as renderer
    else:
        from localchat.history.exporting_markdown import as_markdown as renderer
    return renderer(conversation, branch)


def as_json(store: HistoryStore, conversations: Iterable[Conversation], now: float | None = None) -> str:
    """Conversations with every message of every branch, in the order in which they were written."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "exported_at": time.time() if now is None else now,
        "conversations": [_conversation(store, conversation) for conversation in conversations],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _conversation(store: HistoryStore, conversation: Conversation) -> dict[str, Any]:
    facts: dict[str, Any] = {name: getattr(conversation, name) for name in _CONVERSATION}
    facts["options"] = {name: value for name, value in conversation.options.items() if name != "composing"}
    messages = [{name: getattr(m, name) for name in _MESSAGE} for m in store.all_messages(conversation.id)]
    return facts | {"messages": messages}


def write_each(
    store: HistoryStore, conversations: Iterable[Conversation], folder: Path, kind: ExportFormat
) -> list[Path]:
    """One file for each conversation, named after its title; files that are there already are kept.

    Raises:
        StorageFailed: the folder or a file cannot be written.
    """
    paths.ensure(folder)
    taken = {entry.name.lower() for entry in folder.iterdir()}
    written = []
    for conversation in conversations:
        name = file_name(conversation.title, kind.suffix, taken)
        taken.add(name.lower())
        written.append(folder / name)
        write_text(written[-1], rendered(store, conversation, kind))
    return written


def write_text(path: Path, text: str) -> None:
    """Write a file in one step; an existing one is replaced.

    Raises:
        StorageFailed: it cannot be written.
    """
    beside = path.with_name(f".{path.name[:40]}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise StorageFailed(
            _("{path} cannot be written ({reason}).").format(path=path, reason=error.strerror or error),
            _("Choose another folder, or free some space."),
        ) from error
