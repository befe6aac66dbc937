"""The text of one message of ChatGPT, by the type of its content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localchat.history.importing_kinds import AUDIO, FILE, IMAGE, OTHER, TOOL, VIDEO, kind_name
from localchat.messages import Role


@dataclass(slots=True)
class MessageText:
    """What is kept of a message.

    Attributes:
        role: None for what is not shown.
        thinking: what the model thought before the reply that follows.
        instructions: what the user told the model about every conversation.
        named: parts of which only the name is kept, or nothing: how many of each kind.
    """

    role: Role | None = None
    text: str = ""
    thinking: str = ""
    instructions: str = ""
    named: Counter[str] = field(default_factory=Counter)


def message_text(message: Mapping[str, Any]) -> MessageText:
    """What is kept of one message.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is not built as ChatGPT builds them.
    """
    author = str((message.get("author") or {}).get("role") or message.get("role") or "")
    content = message.get("content")
    if isinstance(content, str) or content is None:  # the first exports
        content = {"content_type": "text", "parts": [content or ""]}
    metadata = message.get("metadata") or {}
    kind = content.get("content_type", "text")
    found = MessageText()
    if kind == "user_editable_context":
        found.instructions = _joined(content.get("user_profile"), content.get("user_instructions"))
    elif kind == "thoughts":
        found.thinking = _joined(*(thought.get("content") for thought in content.get("thoughts") or []))
    elif kind in ("reasoning_recap", "model_editable_context") or metadata.get("is_visually_hidden_from_conversation"):
        pass
    elif author in ("user", "assistant"):
        found.role = "user" if author == "user" else "assistant"
        found.text = _joined(*_files(content, metadata, found.named), _body(content, message, found.named))
    elif author == "tool":
        _add_tool(found, kind, content)
    return found


def _add_tool(found: MessageText, kind: str, content: Mapping[str, Any]) -> None:
    """What a tool printed or drew belongs to the reply; pages that it read do not."""
    if kind == "execution_output":
        found.role, found.text = "assistant", _fenced(str(content.get("text") or ""), "")
    elif kind == "multimodal_text":
        found.role, found.text = "assistant", _joined(*_parts(content, {}, found.named))
    elif kind == "system_error" or _joined(*(p for p in content.get("parts") or [] if isinstance(p, str))):
        found.named[TOOL] += 1


def _body(content: Mapping[str, Any], message: Mapping[str, Any], named: Counter[str]) -> str:
    kind = content.get("content_type", "text")
    if kind in ("text", "multimodal_text"):
        return _joined(*_parts(content, message.get("metadata") or {}, named))
    if kind in ("code", "execution_output"):
        language = str(content.get("language") or "")
        recipient = str(message.get("recipient") or "")
        return _fenced(
            str(content.get("text") or ""),
            recipient if language in ("", "unknown") and recipient == "python" else language,
        )
    if kind == "tether_quote":
        quoted = "\n".join(f"> {line}" for line in str(content.get("text") or "").splitlines())
        return _joined(quoted, content.get("url"))
    named[OTHER] += 1
    return _joined(_name(OTHER, str(kind)), content.get("text"), content.get("result"))


def _parts(content: Mapping[str, Any], metadata: Mapping[str, Any], named: Counter[str]) -> list[str]:
    names = {str(a.get("id")): str(a.get("name") or "") for a in metadata.get("attachments") or []}
    texts = []
    for part in content.get("parts") or []:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            texts.append(_part(part, names, named))
    return texts


def _part(part: Mapping[str, Any], names: Mapping[str, str], named: Counter[str]) -> str:
    kind = str(part.get("content_type") or "")
    if kind == "audio_transcription" or (isinstance(part.get("text"), str) and not part.get("asset_pointer")):
        return str(part.get("text") or "")
    known = {"image": IMAGE, "audio": AUDIO, "video": VIDEO, "real": AUDIO}
    what = known.get(kind.partition("_")[0], OTHER)
    named[what] += 1
    asset = str(part.get("asset_pointer") or kind).rpartition("/")[2]
    size = f", {part['width']} × {part['height']}" if part.get("width") and part.get("height") else ""
    return _name(what, (names.get(asset) or asset) + size)


def _files(content: Mapping[str, Any], metadata: Mapping[str, Any], named: Counter[str]) -> list[str]:
    """Names of files that were given along and do not stand in the text."""
    assets = {
        str(part.get("asset_pointer") or "").rpartition("/")[2]
        for part in content.get("parts") or []
        if isinstance(part, dict)
    }
    texts = []
    for attachment in metadata.get("attachments") or []:
        if str(attachment.get("id")) not in assets:
            named[FILE] += 1
            texts.append(_name(FILE, str(attachment.get("name") or attachment.get("id") or "")))
    return texts


def _name(kind: str, name: str) -> str:
    return f"[{kind_name(kind)}: {' '.join(name.split())}]"


def _joined(*parts: object) -> str:
    return "\n\n".join(str(part).strip("\n") for part in parts if part and str(part).strip())


def _fenced(code: str, language: str) -> str:
    """A code block whose fence is longer than any in the code."""
    if not code.strip():
        return ""
    fence = "```"
    while fence in code:
        fence += "`"
    newline = "\n"
    return f"{fence}{language}\n{code.strip(newline)}\n{fence}"
