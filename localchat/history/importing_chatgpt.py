"""Reading what ChatGPT exports: each conversation a tree of nodes under "mapping" (a plain list in the first exports).

The format is documented nowhere; this follows the files that it produced from 2023 to 2026. Empty nodes and those that
the program hid from its user go, and what stood under them moves up. Parts that are no text leave their names.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from localchat.history.importing import Import
from localchat.history.importing_chatgpt_parts import MessageText, message_text
from localchat.history.importing_own import LATEST
from localchat.history.records import Conversation, StoredMessage
from localchat.history.titles import title_from
from localchat.messages import Role


def is_chatgpt(entry: object) -> bool:
    """Whether this looks like a conversation of ChatGPT."""
    return isinstance(entry, dict) and (
        isinstance(entry.get("mapping"), dict) or isinstance(entry.get("messages"), list)
    )


def chatgpt_conversation(entry: Mapping[str, Any]) -> Import:
    """One conversation with all of its branches.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is not built as ChatGPT builds them.
    """
    created = _moment(entry.get("create_time")) or 0.0
    own = entry.get("conversation_id") or entry.get("id") or f"{entry.get('title')} {created}"
    reading = _Reading(_digest(own), created)
    mapping = entry["mapping"] if isinstance(entry.get("mapping"), dict) else _chain(entry["messages"])
    for node_id, parent_id in _in_order(mapping):
        reading.add(node_id, mapping[node_id].get("message"), parent_id)
    first = next((message.content for message in reading.messages if message.role == "user"), "")
    updated = _moment(entry.get("update_time")) or max([created, *(m.created_at for m in reading.messages)])
    conversation = Conversation(
        id=reading.conversation_id,
        title=title_from(str(entry.get("title") or "") or first, width=200),
        renamed=False,
        titled=True,
        created_at=created,
        updated_at=updated,
        model=None,
        system_prompt="\n\n".join(reading.instructions) or None,
        sampling={},
        options={},
        draft="",
        pinned=bool(entry.get("is_starred") or entry.get("pinned_time")),
        deleted_at=None,
        leaf_id=reading.kept.get(str(entry.get("current_node"))),
        folder="",
        archived_at=updated if entry.get("is_archived") else None,
    )
    return Import(conversation, reading.messages, reading.named)


@dataclass(slots=True)
class _Reading:
    """The messages so far. `kept` maps every node to the message that stands at or above it."""

    conversation_id: str
    created_at: float
    messages: list[StoredMessage] = field(default_factory=list)
    kept: dict[str, str | None] = field(default_factory=dict)
    thinking: dict[str, str] = field(default_factory=dict)
    instructions: list[str] = field(default_factory=list)
    named: Counter[str] = field(default_factory=Counter)

    def add(self, node_id: str, message: Mapping[str, Any] | None, parent_id: str | None) -> None:
        above = self.kept.get(parent_id) if parent_id is not None else None
        thought = self.thinking.get(parent_id, "") if parent_id is not None else ""
        text = message_text(message) if message is not None else MessageText()
        self.named += text.named
        if text.instructions and text.instructions not in self.instructions:
            self.instructions.append(text.instructions)
        thought = "\n\n".join(part for part in (thought, text.thinking) if part)
        if message is None or text.role is None or not text.text.strip():
            self.kept[node_id], self.thinking[node_id] = above, thought
            return
        self.messages.append(self._stored(node_id, message, text, text.role, above, thought))
        self.kept[node_id] = self.messages[-1].id

    def _stored(
        self, node_id: str, message: Mapping[str, Any], text: MessageText, role: Role, above: str | None, thought: str
    ) -> StoredMessage:
        metadata = message.get("metadata") or {}
        before = self.messages[-1].created_at if self.messages else self.created_at
        created = _moment(message.get("create_time")) or before
        whole = message.get("status") in (None, "finished_successfully")
        return StoredMessage(
            id=_digest(self.conversation_id, node_id),
            conversation_id=self.conversation_id,
            parent_id=above,
            role=role,
            content=text.text,
            thinking=thought if role == "assistant" else "",
            status="complete" if whole else "stopped",
            created_at=created,
            finished_at=created,
            model=str(metadata["model_slug"]) if role == "assistant" and metadata.get("model_slug") else None,
            error="",
            stats={},
            attachments=[],
        )


def _in_order(mapping: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Nodes with their parents: parents before their children, and the oldest first."""
    children: dict[str | None, list[str]] = {}
    for node_id, node in mapping.items():
        parent_id = node.get("parent")
        children.setdefault(parent_id if parent_id in mapping else None, []).append(node_id)
    places = {node_id: place for place, node_id in enumerate(_as_listed(mapping))}
    waiting: list[tuple[float, int, str, str | None]] = []

    def let_in(parent_id: str | None, earliest: float) -> None:
        for node_id in children.get(parent_id, []):
            moment = _moment((mapping[node_id].get("message") or {}).get("create_time")) or earliest
            heapq.heappush(waiting, (max(moment, earliest), places[node_id], node_id, parent_id))

    let_in(None, 0.0)
    while waiting:
        moment, _place, node_id, parent_id = heapq.heappop(waiting)
        yield node_id, parent_id
        let_in(node_id, moment)


def _as_listed(mapping: Mapping[str, Any]) -> list[str]:
    """Nodes in the order of their parents' lists of children, which tells apart those of the same second."""
    listed = (str(child) for node in mapping.values() for child in node.get("children") or [])
    return list(dict.fromkeys([*(child for child in listed if child in mapping), *mapping]))


def _chain(messages: Sequence[Any]) -> dict[str, Any]:
    """The list of the first exports as a tree without branches."""
    mapping: dict[str, Any] = {}
    parent = None
    for number, message in enumerate(messages):
        node_id = str(message.get("id") or number)
        mapping[node_id] = {"message": message, "parent": parent}
        parent = node_id
    return mapping


def _moment(value: object) -> float | None:
    """Seconds since 1970; the exports have numbers, and at times texts."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value).timestamp()
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LATEST:
        return None
    return float(value)


def _digest(*parts: object) -> str:
    """An id that the same conversation gets at every import."""
    return hashlib.sha256(" ".join(["chatgpt", *map(str, parts)]).encode("utf-8", "replace")).hexdigest()[:32]
