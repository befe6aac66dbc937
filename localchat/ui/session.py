"""The bridge between the screen, the history and the engine: what the user can ask of a conversation.

No widgets and no tensors here. The screen calls methods and shows what comes back; what happens later is told to the
listener (`session_events`). Whatever the user writes is in the history before anything else is tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from localchat.engine.client import EngineLink
from localchat.errors import HistoryUnavailable
from localchat.history.records import Conversation, StoredMessage
from localchat.history.store import HistoryStore
from localchat.messages import ReplyOptions
from localchat.reply_language import told
from localchat.ui.answering import Answering
from localchat.ui.branching import Branching
from localchat.ui.composing import ComposerPurpose
from localchat.ui.context import ChatContext
from localchat.ui.document import ChatDocument
from localchat.ui.engine_state import EngineState
from localchat.ui.idling import Idling
from localchat.ui.inside import Inside
from localchat.ui.listing import Listing
from localchat.ui.own_settings import OwnSettings
from localchat.ui.preferences import Preferences
from localchat.ui.private import PrivateChats
from localchat.ui.session_events import ChatsChanged, Listener, SessionEvent
from localchat.ui.showing import shown_message
from localchat.ui.shown import ShownMessage
from localchat.ui.titling import Titling
from localchat.ui.token_costs import TokenCosts
from localchat.ui.turn import ModelSource
from localchat.ui.waiting_files import WaitingFiles


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
        self.saved = store
        self.private = PrivateChats(now)
        self.listing = Listing(store, self.private, now)
        self.preferences = preferences or Preferences()
        self.chat_id: str | None = None
        self.deleted: list[str] = []
        self._listeners: list[Listener] = []
        self._now = now
        self._version = 0
        self._answering = Answering(
            engine, self.store_of, self.tell, system_prompt=self._system_prompt, options=self.reply_options
        )
        self.branching = Branching(self, self._answering)
        self.inside = Inside(self, self._answering)
        self.titling = Titling(self, self._answering, self._system_prompt)
        self.listen(self.titling.watch)
        self.idling = Idling(self, self._answering)
        self.listen(self.idling.watch)
        self.context = ChatContext(self, self._answering, self._system_prompt)
        self.listen(self.context.summing.watch)
        self.purpose = ComposerPurpose(self)
        self.files = WaitingFiles(self)
        self.document = ChatDocument(self, self._answering)
        self.costs = TokenCosts(engine, lambda: self.engine_state)
        self.model_for: Callable[[str], ModelSource | None] = lambda _chat_id: None
        self.model_title: Callable[[str], str] = lambda name: name

    def store_of(self, chat_id: str | None) -> HistoryStore:
        """The history that holds this chat: the one on disk, or the private one in memory."""
        return self.private.store if chat_id in self.private else self.saved

    @property
    def store(self) -> HistoryStore:
        """The history of the open chat."""
        return self.store_of(self.chat_id)

    @property
    def is_private(self) -> bool:
        """Whether the open chat leaves nothing behind."""
        return self.chat_id in self.private

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell this listener what happens from now on, until what this returns is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self, event: SessionEvent) -> None:
        """Tell every listener."""
        for listener in list(self._listeners):
            listener(event)

    # ---- the engine

    @property
    def engine_state(self) -> EngineState:
        return self._answering.state

    def load_model(self, model: str, name: str, context_length: int | None = None, draft: str | None = None) -> None:
        """Load the model in the folder or file `model`; questions that wait are answered by it."""
        self._answering.load(ModelSource(model, name, context_length, draft))

    def bring_model(self, chat_id: str | None = None) -> None:
        """Load the model that is to answer in this chat (the open one, when None), unless it is there."""
        source = self.model_for(chat_id or self.entered())
        if source is not None and source != self._answering.chosen:
            self._answering.load(source)

    def stop(self) -> bool:
        """End the reply that is written in this chat, or the load; False when there is nothing to end."""
        return self._answering.stop(self.chat_id)

    @property
    def answering_here(self) -> bool:
        """Whether a reply of the open chat is being written or waited for."""
        return any(message.status in ("waiting", "writing") for message in self.messages()[-1:])

    @property
    def is_answering(self) -> bool:
        """Whether a reply of any chat is being written or waited for."""
        return self._answering.busy

    async def close(self) -> None:
        """Save what is being written and end the engine."""
        self.idling.close()
        self._leave()
        await self._answering.close()
        self.titling.close()
        self.context.summing.close()
        self.private.close()

    # ---- chats

    @property
    def chat(self) -> Conversation | None:
        """The record of the open chat."""
        return self.store.conversation(self.chat_id) if self.chat_id is not None else None

    @property
    def title(self) -> str:
        """Of the open chat; empty on an empty page."""
        return self.title_of(self.chat_id) if self.chat_id is not None else ""

    def title_of(self, chat_id: str) -> str:
        """Empty when nothing was written in it yet."""
        if chat_id in self.private:
            return self.private.title(chat_id)
        chat = self.saved.conversation(chat_id)
        return chat.title if chat.leaf_id is not None or chat.renamed else ""

    @property
    def own(self) -> OwnSettings:
        """What the open chat has of its own instead of the settings."""
        return OwnSettings.of(self.chat)

    def set_own(self, own: OwnSettings) -> None:
        own.keep(self.store, self.entered())

    def open_chat(self, chat_id: str) -> None:
        """Show this one."""
        if chat_id != self.chat_id:
            self._leave()
            self.chat_id = self.store_of(chat_id).conversation(chat_id).id
        self.show_context()

    def new_chat(self) -> None:
        """An empty page. It enters the history with its first word."""
        self._leave()
        self.chat_id = None
        self._answering.show_context(0)

    def begin_private_chat(self) -> None:
        """An empty page whose words stay in this window's memory."""
        self._leave()
        self.chat_id = self.private.begin()
        self._answering.show_context(0)
        self.tell(ChatsChanged())

    def _leave(self) -> None:
        chat_id, self.chat_id = self.chat_id, None
        if chat_id is not None and chat_id not in self.private and self.saved.discard_if_empty(chat_id):
            self.tell(ChatsChanged())

    def neighbour(self, step: int) -> str | None:
        """The chat `step` places below the open one in the list (above, when negative)."""
        ids = self.listing.ids()
        if self.chat_id not in ids:
            return ids[0] if ids else None
        index = ids.index(self.chat_id) + step
        return ids[index] if 0 <= index < len(ids) else None

    def rename(self, chat_id: str, title: str) -> None:
        """Give a chat the user's own title; an empty one goes back to the one made of the first message."""
        self.store_of(chat_id).rename(chat_id, title)
        self.tell(ChatsChanged())

    def delete(self, chat_id: str) -> Conversation:
        """Take a chat out of the list; `undelete` brings the last one back."""
        chat = self.store_of(chat_id).conversation(chat_id)
        self._answering.stop_chat(chat_id)
        if chat_id in self.private:
            self.private.forget(chat_id)
        else:
            self.saved.delete(chat_id)
            self._answering.engine.forget(chat_id)
            self.deleted.append(chat_id)
        if chat_id == self.chat_id:
            self.chat_id = None
            self._answering.show_context(0)
        self.tell(ChatsChanged())
        return chat

    def undelete(self) -> str | None:
        """Bring back the chat that was deleted last, and open it; None when there is none."""
        if not self.deleted:
            return None
        chat_id = self.deleted.pop()
        self.saved.undelete(chat_id)
        self.open_chat(chat_id)
        self.tell(ChatsChanged())
        return chat_id

    def changed_elsewhere(self) -> bool:
        """Whether the history changed since the last time that this was asked; cheap enough for every second."""
        version = self.saved.version()
        changed, self._version = version != self._version, version
        return changed

    def entered(self) -> str:
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
        self.store.set_draft(self.entered(), text)
        if fresh:
            self.tell(ChatsChanged())

    # ---- messages

    def messages(self) -> list[ShownMessage]:
        """The branch on show, from the first message to the last."""
        return [self._shown(m) for m in self.store.branch(self.chat_id)] if self.chat_id is not None else []

    def message(self, message_id: str) -> ShownMessage:
        return self._shown(self.store.message(message_id))

    def send(self, text: str, *, prefill: str = "") -> tuple[ShownMessage, ShownMessage]:
        """Save a question and ask for its reply, which begins with `prefill`. Returns both as they are now."""
        chat_id = self.entered()
        branch = self.store.branch(chat_id)
        parent_id = branch[-1].id if branch else None
        files = self.store.draft_files(chat_id)
        question = self.store.add_message(chat_id, parent_id, "user", text, clears_draft=True, attachments=files)
        reply = self.branching.ask(question, prefill=prefill)
        self.tell(ChatsChanged())
        return self._shown(question), reply

    def prompts(self) -> list[str]:
        """What the user asked, the latest first: in this chat, then in all that are in the history."""
        here = self.store.prompts(self.chat_id) if self.chat_id is not None else []
        return list(dict.fromkeys([*here, *self.saved.prompts()]))

    def _shown(self, stored: StoredMessage) -> ShownMessage:
        return shown_message(stored, self.store_of(stored.conversation_id), self._answering, self.model_title)

    def show_context(self) -> None:
        """Let the engine's state say how full the context of the branch on show is."""
        used = 0
        for stored in reversed(self.store.branch(self.chat_id) if self.chat_id is not None else []):
            if stored.stats.get("context_used"):
                used = int(stored.stats["context_used"])
                break
        self._answering.show_context(used)

    def _system_prompt(self, chat_id: str) -> str:
        own, usual = OwnSettings.of(self.store_of(chat_id).conversation(chat_id)), self.preferences
        prompt = usual.system_prompt if own.system_prompt is None else own.system_prompt
        return told(self.document.told_to_model(chat_id, prompt), own.language(usual.reply_language))

    def reply_options(self, chat_id: str) -> ReplyOptions:
        """Those of the next reply in a chat, as far as the model that is loaded can follow them."""
        try:
            own = OwnSettings.of(self.store_of(chat_id).conversation(chat_id))
        except HistoryUnavailable:
            own = OwnSettings()
        options = self.preferences.reply_options(own, self.engine_state.model)
        return replace(options, chat=chat_id) if self.store_of(chat_id).is_plain else options
