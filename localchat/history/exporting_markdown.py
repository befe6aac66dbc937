"""A conversation as Markdown that reads well in any editor."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from localchat.history.records import Conversation, StoredMessage
from localchat.translation import _


def as_markdown(conversation: Conversation, branch: Sequence[StoredMessage]) -> str:
    """The branch on show under headings that say who wrote; replies as the model wrote them."""
    parts = [f"# {_one_line(conversation.title)}"]
    if conversation.system_prompt:
        parts.append(_quoted(conversation.system_prompt))
    for message in branch:
        parts.append(f"## {_one_line(author(message))}")
        parts.append(f"*{moment(message.created_at)}*")
        parts += [f"- {_one_line(attachment['name'])}" for attachment in message.attachments]
        if message.content.strip():
            parts.append(_closed(message.content.strip("\n")))
        if message.status != "complete":
            parts.append(f"*{ending(message)}*")
    return "\n\n".join(parts) + "\n"


def author(message: StoredMessage) -> str:
    """Who wrote it: the user, a model by its name, or the instructions."""
    if message.role == "user":
        return _("You")
    if message.role == "system":
        return _("System prompt")
    return message.model or _("Assistant")


def ending(message: StoredMessage) -> str:
    """Why a reply is not complete; "" when it is."""
    if message.status == "stopped":
        return _("stopped")
    if message.status == "error":
        return message.error or _("no reply")
    return "" if message.status == "complete" else _("interrupted")


def moment(seconds: float) -> str:
    """Day and minute in this machine's time zone."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())


def _closed(text: str) -> str:
    """The text with a fence that was left open closed, so that it does not swallow what follows."""
    fence = ""
    for line in text.splitlines():
        found = re.match(r" {0,3}(`{3,}|~{3,})(.*)", line)
        if found is None:
            continue
        marks, rest = found.groups()
        if not fence:
            fence = marks if marks[0] == "~" or "`" not in rest else ""
        elif marks[0] == fence[0] and len(marks) >= len(fence) and not rest.strip():
            fence = ""
    return f"{text}\n{fence}" if fence else text
