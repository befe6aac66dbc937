"""What the store hands out: a conversation, a message of it, and a message's alternatives. Plain frozen data."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from localchat.documents.document import Document, with_documents
from localchat.messages import Message, Role

EndStatus = Literal["complete", "stopped", "interrupted", "error"]
Status = Literal["writing", EndStatus]
"""writing: a live window is at it; stopped: by the user; interrupted: its process died; error: it failed."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One entry of the list of conversations. Times are seconds since 1970, UTC.

    Attributes:
        title: one line, never empty: the user's own, or made of the first message.
        renamed: the title is the user's own.
        updated_at: when a message was last added or finished; drafts and settings do not count.
        model: name of the model of the next reply; None is the one in the settings.
        system_prompt: None is the one in the settings; "" is none.
        sampling: the sampling options chosen for this conversation.
        draft: what was typed and not sent.
        deleted_at: when it was deleted; it can be brought back until it is purged.
        leaf_id: last message of the branch on show; None while there is no message.
        folder: of the list that it stands in; "" is none.
        archived_at: when it was put out of the list; it is still found by searching.
        titled: the title was made by the model.
        options: what it has of its own besides model, system prompt and sampling, such as "context_length".
    """

    id: str
    title: str
    renamed: bool
    created_at: float
    updated_at: float
    model: str | None
    system_prompt: str | None
    sampling: Mapping[str, float]
    draft: str
    pinned: bool
    deleted_at: float | None
    leaf_id: str | None
    folder: str
    archived_at: float | None
    titled: bool
    options: Mapping[str, Any]

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> Conversation:
        values = {name: row[name] for name in cls.__slots__}
        flags = {name: bool(row[name]) for name in ("renamed", "pinned", "titled")}
        tables = {name: json.loads(row[name]) for name in ("sampling", "options")}
        return cls(**values | flags | tables)


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One node of a conversation's tree. Messages with the same parent are alternatives of each other.

    Attributes:
        parent_id: the message that this one answers or follows; None for the first.
        model: name of the model that wrote it; None for what the user wrote.
        error: one sentence when status is "error", else "".
        stats: what the reply cost (the fields of `messages.ReplyDone`).
        attachments: files given with it, each with "name", "kind" and "text".
        thinking: what a model wrote for itself before this reply, without the marks of its template.
        pinned: the model keeps seeing it when older messages no longer fit.
        summary: of the conversation down to this message; "" is none.
    """

    id: str
    conversation_id: str
    parent_id: str | None
    role: Role
    content: str
    status: Status
    created_at: float
    finished_at: float | None
    model: str | None
    error: str
    stats: Mapping[str, Any]
    attachments: Sequence[Mapping[str, str]]
    thinking: str
    pinned: bool = False
    summary: str = ""

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> StoredMessage:
        values = {name: row[name] for name in cls.__slots__}
        tables = {name: json.loads(row[name]) for name in ("stats", "attachments")}
        return cls(**values | tables | {"pinned": bool(row["pinned"])})

    def as_message(self) -> Message:
        """The turn as the model sees it."""
        content = with_documents(self.content, map(Document.from_record, self.attachments))
        return Message(self.role, content, self.thinking, self.pinned, self.summary)


@dataclass(frozen=True, slots=True)
class Siblings:
    """All alternatives at one place of a conversation, oldest first; `ids[index]` is the one asked about."""

    ids: tuple[str, ...]
    index: int

    @property
    def previous_id(self) -> str | None:
        return self.ids[self.index - 1] if self.index > 0 else None

    @property
    def next_id(self) -> str | None:
        return self.ids[self.index + 1] if self.index + 1 < len(self.ids) else None

    def __str__(self) -> str:
        return f"{self.index + 1}/{len(self.ids)}"
