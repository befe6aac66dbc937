"""One reply that is wanted, from the moment its question is saved until it is finished."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from localchat.history.records import StoredMessage
from localchat.history.store import HistoryStore
from localchat.messages import Message, PromptFitted, ReplyDone

CHECKPOINT_S = 0.4
"""A reply on disk is never older than this: the promise is half a second."""


@dataclass(slots=True)
class Turn:
    """A reply in the making. `text` is everything that the user has seen of it."""

    chat_id: str
    question_id: str
    reply_id: str
    text: str = ""
    stopped: bool = False
    fitted: PromptFitted | None = None
    done: ReplyDone | None = None
    began: float = field(default_factory=time.monotonic)
    _saved_at: float = field(default_factory=time.monotonic)
    _saved_length: int = 0

    def checkpoint(self, store: HistoryStore) -> None:
        """Save the text when the last time is long enough ago."""
        now = time.monotonic()
        if now - self._saved_at >= CHECKPOINT_S and len(self.text) != self._saved_length:
            store.checkpoint(self.reply_id, self.text)
            self._saved_at, self._saved_length = now, len(self.text)

    def stats(self) -> dict[str, Any]:
        """What is kept beside the reply: the engine's own figures, and the seconds that the user waited."""
        seconds = round(time.monotonic() - self.began, 3)
        if self.done is not None:
            return {**asdict(self.done), "seconds": seconds}
        if self.fitted is not None:
            return {"prompt_tokens": self.fitted.prompt_tokens, "left_out": self.fitted.left_out, "seconds": seconds}
        return {}


def line_to(store: HistoryStore, chat_id: str, message_id: str) -> list[StoredMessage]:
    """The messages from the first down to `message_id`, whichever branch is on show."""
    branch = store.branch(chat_id)
    for index, message in enumerate(branch):
        if message.id == message_id:
            return branch[: index + 1]
    line = [store.message(message_id)]
    while (parent := line[-1].parent_id) is not None:
        line.append(store.message(parent))
    return line[::-1]


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
