"""Conversations with everything in them, and what ChatGPT writes about some."""

from __future__ import annotations

from typing import Any

from localchat.history.records import Conversation
from localchat.history.store import HistoryStore


def fill(store: HistoryStore) -> Conversation:
    """A conversation with two versions of a question, two of a reply, a file, thoughts and a reply that was stopped."""
    chat = store.create_conversation(title="菠萝 & Co.", system_prompt="Be kind.", sampling={"temperature": 0.5})
    first = store.add_message(
        chat.id, None, "user", "Hello?", attachments=[{"name": "notes.txt", "kind": "text", "text": "pineapple"}]
    )
    reply = store.begin_reply(chat.id, first.id, "tiny")
    store.finish(reply, "Hi.", "complete", stats={"completion_tokens": 2, "seconds": 0.5}, thinking="A greeting.")
    again = store.begin_reply(chat.id, first.id, "larger")
    store.finish(again, "Good day, and", "stopped")
    second = store.add_message(chat.id, reply, "user", "床前明月光 😀")
    store.edit(second.id, "疑是地上霜")
    store.set_pinned(chat.id, True)
    store.set_option(chat.id, "context_length", 2048)
    return store.conversation(chat.id)


def node(
    name: str, parent: str | None, role: str = "", text: str | None = None, at: float | None = None, **more: Any
) -> dict[str, Any]:
    """One node of ChatGPT's tree; without a text an empty one."""
    message = None
    if role:
        content = more.pop("content", {"content_type": "text", "parts": [text]})
        message = {"id": name, "author": {"role": role}, "create_time": at, "content": content, "metadata": {}, **more}
    return {"id": name, "message": message, "parent": parent, "children": []}


def chatgpt(*nodes: dict[str, Any], current: str | None = None, **more: Any) -> dict[str, Any]:
    """A conversation as ChatGPT exports it."""
    mapping = {entry["id"]: entry for entry in nodes}
    for entry in nodes:
        if entry["parent"] in mapping:
            mapping[entry["parent"]]["children"].append(entry["id"])
    facts = {"title": "Tea", "create_time": 1_700_000_000.5, "update_time": 1_700_000_900.0, "conversation_id": "abc"}
    return facts | {"mapping": mapping, "current_node": current or nodes[-1]["id"]} | more
