"""The bridge between the screen, the history and the engine: what the user can ask of a conversation.

No widgets and no tensors here. The screen calls methods and shows what comes back; what happens later is told to the
listener (`session_events`). Whatever the user writes is in the history before anything else is tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localchat.engine.client import EngineLink
from localchat.errors import HistoryUnavailable
from localchat.history.records import Conversation, StoredMessage
from localchat.history.store import HistoryStore
from localchat.messages import ReplyOptions
from localchat.ui.answering import Answering
from localchat.ui.days import day_heading
from localchat.ui.engine_state import EngineState
from localchat.ui.session_events import ChatsChanged, Listener, SessionEvent
from localchat.ui.shown import ReplyFigures, ReplyStatus, ShownChat, ShownMessage
from localchat.ui.turn import Turn

PINNED = "Pinned"


@dataclass(slots=True)
class Preferences:
    """The settings that reach a reply. The app changes them when the user does; the next reply follows."""

    system_prompt: str = ""
    sampling: Mapping[str, float] = field(default_factory=dict)
    max_tokens: int | None = None


class ChatSession:
    """One window's work. `chat_id` is the conversation that is open; None is an empty page, not yet in the history.

    Args:
        now: the clock of the headings, seconds since 1970.
    """

    def __init__(
        self,
        engine: EngineLink,
        store: HistoryStore,
        preferences: Preferences | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.preferences = preferences or Preferences()
        self.chat_id: str | None = None
        self.deleted: list[str] = []
        self._listeners: list[Listener] = []
        self._now = now
        self._version = store.version()
        self._answering = Answering(
            engine, store, self._tell, system_prompt=self._system_prompt, options=self._reply_options
        )

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def _tell(self, event: SessionEvent) -> None:
        for listener in self._listeners:
            listener(event)

    # ---- the engine

    @property
    def engine_state(self) -> EngineState:
        return self._answering.state

    def load_model(self, model: str, name: str, context_length: int | None = None) -> None:
        """Load the model in the folder or file `model`; questions that wait are answered by it."""
        self._answering.load(model, name, context_length)

    def stop(self) -> bool:
        """End the reply that is written in this chat, or the load; False when there is nothing to end."""
        return self._answering.stop(self.chat_id)

    @property
    def answering_here(self) -> bool:
        """Whether a reply of the open chat is being written or waited for."""
        return any(message.status in ("waiting", "writing") for message in self.messages()[-1:])

    async def close(self) -> None:
        """Save what is being written and end the engine."""
        self._leave()
        await self._answering.close()

    # ---- chats

    def chats(self, search: str = "") -> list[ShownChat]:
        """The list, as the sidebar shows it: pinned ones first, then by day."""
        now = self._now()
        found = self.store.conversations(search)
        found.sort(key=lambda chat: not chat.pinned)
        return [
            ShownChat(chat.id, chat.title, PINNED if chat.pinned else day_heading(chat.updated_at, now))
            for chat in found
        ]

    @property
    def chat(self) -> Conversation | None:
        """The record of the open chat."""
        return self.store.conversation(self.chat_id) if self.chat_id is not None else None

    @property
    def title(self) -> str:
        """Of the open chat; empty on an empty page."""
        chat = self.chat
        return chat.title if chat is not None and (chat.leaf_id is not None or chat.renamed) else ""

    def open_chat(self, chat_id: str) -> None:
        """Show this one."""
        if chat_id != self.chat_id:
            self._leave()
            self.chat_id = self.store.conversation(chat_id).id
        self._show_context()

    def new_chat(self) -> None:
        """An empty page. It enters the history with its first word."""
        self._leave()
        self.chat_id = None
        self._answering.show_context(0)

    def _leave(self) -> None:
        chat_id, self.chat_id = self.chat_id, None
        if chat_id is not None and self.store.discard_if_empty(chat_id):
            self._tell(ChatsChanged())

    def neighbour(self, step: int) -> str | None:
        """The chat `step` places below the open one in the list (above, when negative)."""
        ids = [chat.id for chat in self.chats()]
        if self.chat_id not in ids:
            return ids[0] if ids else None
        index = ids.index(self.chat_id) + step
        return ids[index] if 0 <= index < len(ids) else None

    def rename(self, title: str) -> None:
        """Give the open chat a title; an empty one goes back to the one made of the first message."""
        self.store.rename(self._entered(), title)
        self._tell(ChatsChanged())

    def delete(self, chat_id: str) -> Conversation:
        """Take a chat out of the list; `undelete` brings the last one back."""
        chat = self.store.conversation(chat_id)
        self._answering.stop_chat(chat_id)
        self.store.delete(chat_id)
        self.deleted.append(chat_id)
        if chat_id == self.chat_id:
            self.chat_id = None
            self._answering.show_context(0)
        self._tell(ChatsChanged())
        return chat

    def undelete(self) -> str | None:
        """Bring back the chat that was deleted last, and open it; None when there is none."""
        if not self.deleted:
            return None
        chat_id = self.deleted.pop()
        self.store.undelete(chat_id)
        self.open_chat(chat_id)
        self._tell(ChatsChanged())
        return chat_id

    def changed_elsewhere(self) -> bool:
        """Whether the history changed since the last time that this was asked; cheap enough for every second."""
        version = self.store.version()
        changed, self._version = version != self._version, version
        return changed

    def _entered(self) -> str:
        """The id of the open chat; an empty page enters the history now."""
        if self.chat_id is None:
            self.chat_id = self.store.create_conversation().id
        return self.chat_id

    # ---- the draft

    @property
    def draft(self) -> str:
        chat = self.chat
        return chat.draft if chat is not None else ""

    def save_draft(self, text: str) -> None:
        if self.chat_id is None and not text.strip():
            return
        fresh = self.chat_id is None
        self.store.set_draft(self._entered(), text)
        if fresh:
            self._tell(ChatsChanged())

    # ---- messages

    def messages(self) -> list[ShownMessage]:
        """The branch on show, from the first message to the last."""
        return [self._shown(m) for m in self.store.branch(self.chat_id)] if self.chat_id is not None else []

    def message(self, message_id: str) -> ShownMessage:
        return self._shown(self.store.message(message_id))

    def send(self, text: str) -> tuple[ShownMessage, ShownMessage]:
        """Save a question and ask for its reply. Returns both as they are now."""
        chat_id = self._entered()
        branch = self.store.branch(chat_id)
        question = self.store.add_message(chat_id, branch[-1].id if branch else None, "user", text, clears_draft=True)
        reply = self._ask(question)
        self._tell(ChatsChanged())
        return self._shown(question), reply

    def regenerate(self, reply_id: str | None = None) -> ShownMessage | None:
        """Another reply beside `reply_id` (the last one, when None); None when there is no question to answer."""
        branch = self.store.branch(self.chat_id) if self.chat_id is not None else []
        if reply_id is not None:
            ids = [message.id for message in branch]
            branch = branch[: ids.index(reply_id) + 1] if reply_id in ids else []
        while branch and branch[-1].role != "user":
            last = branch.pop()
            if self._answering.turn_of(last.id) is not None:
                return None  # it is being written; stop it first
        return self._ask(branch[-1]) if branch else None

    def _ask(self, question: StoredMessage) -> ShownMessage:
        model = self.engine_state.model_name or None
        reply_id = self.store.begin_reply(question.conversation_id, question.id, model)
        self._answering.answer(Turn(question.conversation_id, question.id, reply_id))
        return self.message(reply_id)

    def show_version(self, message_id: str, step: int) -> bool:
        """Show the alternative `step` places after this message; False when there is none."""
        siblings = self.store.siblings(message_id)
        index = siblings.index + step
        if not 0 <= index < len(siblings.ids):
            return False
        self.store.select_sibling(siblings.ids[index])
        self._show_context()
        return True

    def last_question(self) -> str:
        """What the user wrote last in this chat."""
        branch = self.store.branch(self.chat_id) if self.chat_id is not None else []
        return next((message.content for message in reversed(branch) if message.role == "user"), "")

    def _shown(self, stored: StoredMessage) -> ShownMessage:
        siblings = self.store.siblings(stored.id)
        turn = self._answering.turn_of(stored.id)
        status: ReplyStatus
        if stored.status == "error":
            status = "failed"
        elif stored.status == "writing":
            status = "elsewhere" if turn is None else "writing" if turn is self._answering.writing else "waiting"
        else:
            status = stored.status
        return ShownMessage(
            id=stored.id,
            role="user" if stored.role == "user" else "assistant",
            text=turn.text if turn is not None else stored.content,
            status=status,
            error=stored.error,
            figures=_figures(stored.stats),
            version=siblings.index + 1,
            versions=len(siblings.ids),
        )

    def _show_context(self) -> None:
        used = 0
        for stored in reversed(self.store.branch(self.chat_id) if self.chat_id is not None else []):
            if stored.stats.get("context_used"):
                used = int(stored.stats["context_used"])
                break
        self._answering.show_context(used)

    def _system_prompt(self, chat_id: str) -> str:
        own = self.store.conversation(chat_id).system_prompt
        return self.preferences.system_prompt if own is None else own

    def _reply_options(self, chat_id: str) -> ReplyOptions:
        try:
            own = self.store.conversation(chat_id).sampling
        except HistoryUnavailable:
            own = {}
        return ReplyOptions(sampling={**self.preferences.sampling, **own}, max_tokens=self.preferences.max_tokens)


def _figures(stats: Mapping[str, Any]) -> ReplyFigures | None:
    if not stats:
        return None
    return ReplyFigures(
        tokens=int(stats.get("completion_tokens", 0)),
        seconds=float(stats.get("seconds", 0.0)),
        tokens_per_second=float(stats.get("decode_tokens_per_second", 0.0)),
        left_out=int(stats.get("left_out", 0)),
        finish_reason=str(stats.get("finish_reason", "")),
    )
