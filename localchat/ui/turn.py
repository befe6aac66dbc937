"""One reply that is wanted, from the moment its question is saved until it is finished."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from localchat.history.records import StoredMessage
from localchat.history.store import HistoryStore
from localchat.messages import Message, PromptFitted, ReplyDone, TextDelta
from localchat.recording import Recording

CHECKPOINT_S = 0.4
"""A reply on disk is never older than this: the promise is half a second."""


_ADDED_UP = ("completion_tokens", "thinking_tokens", "thinking_seconds")
"""Figures of a reply that went on which count the whole of it."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model that can be loaded: its folder or file, and the name that the history knows it by."""

    path: str
    name: str
    context_length: int | None = None


@dataclass(slots=True)
class Turn:
    """A reply in the making.

    Attributes:
        text: everything that the user has seen of it.
        thinking: what the model wrote for itself before.
        prefill: what it began with; the model goes on from there.
        earlier: the figures of the reply that goes on.
        model: who is to write it; None is the model that is chosen.
        recording: what makes it again.
    """

    chat_id: str
    question_id: str
    reply_id: str
    text: str = ""
    thinking: str = ""
    prefill: str = ""
    earlier: Mapping[str, Any] = field(default_factory=dict)
    model: ModelSource | None = None
    stopped: bool = False
    fitted: PromptFitted | None = None
    done: ReplyDone | None = None
    recording: Recording | None = None
    began: float = field(default_factory=time.monotonic)
    _saved_at: float = field(default_factory=time.monotonic)
    _saved_length: int = 0

    def grow(self, delta: TextDelta) -> None:
        """The reply, or the thinking before it, goes on."""
        if delta.thinking:
            self.thinking += delta.text
        else:
            self.text += delta.text

    def checkpoint(self, store: HistoryStore) -> None:
        """Save the text when the last time is long enough ago."""
        now = time.monotonic()
        length = len(self.text) + len(self.thinking)
        if now - self._saved_at >= CHECKPOINT_S and length != self._saved_length:
            store.checkpoint(self.reply_id, self.text, self.thinking)
            self._saved_at, self._saved_length = now, length

    def stats(self) -> dict[str, Any]:
        """What is kept beside the reply: the engine's own figures, and the seconds that the user waited."""
        seconds = round(time.monotonic() - self.began + self.earlier.get("seconds", 0.0), 3)
        if self.done is not None:
            figures = asdict(self.done)
            whole = {name: figures[name] + self.earlier.get(name, 0) for name in _ADDED_UP if name in figures}
            return {**figures, **whole, "seconds": seconds}
        if self.fitted is not None:
            read = {"prompt_tokens": self.fitted.prompt_tokens, "left_out": self.fitted.left_out}
            return {**self.earlier, **read, "seconds": seconds}
        return dict(self.earlier)


def prompt_messages(line: Iterable[StoredMessage], system_prompt: str) -> Sequence[Message]:
    """What the model is given: replies that hold nothing are left out, and what then stands side by side is one turn
    (many chat templates insist that user and assistant alternate)."""
    messages = [Message("system", system_prompt)] if system_prompt.strip() else []
    for stored in line:
        message = stored.as_message()
        if not message.content.strip():
            continue
        if messages and messages[-1].role == message.role:
            message = Message(message.role, f"{messages.pop().content}\n\n{message.content}")
        messages.append(message)
    return messages
