"""What a session tells the screen, as it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from localchat.ui.engine_state import EngineState


@dataclass(frozen=True, slots=True)
class EngineChanged:
    """The engine does something else now, or got further."""

    state: EngineState


@dataclass(frozen=True, slots=True)
class ReplyGrew:
    """A reply goes on with `text`, or, when `thinking`, what the model thinks before it does; `tokens` so far."""

    chat_id: str
    reply_id: str
    text: str
    thinking: bool = False
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """A reply is finished, whatever its status, and saved. May come twice: at a stop, and with its figures."""

    chat_id: str
    reply_id: str


@dataclass(frozen=True, slots=True)
class ChatsChanged:
    """The list of chats, or a title in it, is different now."""


@dataclass(frozen=True, slots=True)
class ContextChanged:
    """What the model will see of a chat is different now: a message was pinned or has a summary, or one is being made
    or no longer. `message_id` is the message, where it is about one."""

    chat_id: str
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something went wrong, in one or two sentences. `chat_id` is the chat it belongs to, if any."""

    text: str
    severity: Literal["information", "warning", "error"] = "error"
    chat_id: str | None = None


SessionEvent = EngineChanged | ReplyGrew | ReplyEnded | ChatsChanged | ContextChanged | Trouble
Listener = Callable[[SessionEvent], None]
