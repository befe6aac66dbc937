"""The branches of the open chat: other replies, edited questions, replies that go on, and copies of the chat.

Nothing is ever replaced: what is new stands beside what was there, and both can be shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from localchat.history.records import Conversation, StoredMessage
from localchat.history.store import HistoryStore
from localchat.recording import Recording
from localchat.ui.session_events import ChatsChanged
from localchat.ui.shown import ShownMessage
from localchat.ui.turn import ModelSource, Turn

if TYPE_CHECKING:
    from localchat.ui.answering import Answering
    from localchat.ui.session import ChatSession

AFTER_A_LOOP: Mapping[str, float] = {"dry_multiplier": 0.8, "dry_breakers": 0}
"""Options with which a reply that went round in circles goes on: DRY as strong as its author recommends, and reaching
across the ends of lines, as loops do."""


class Branching:
    """What the user can ask of the messages of the chat that is open in `session`."""

    def __init__(self, session: ChatSession, answering: Answering) -> None:
        self._session = session
        self._answering = answering
        self._last_seen: dict[str, str] = {}  # leaf that was on show when a message was left

    @property
    def _store(self) -> HistoryStore:
        return self._session.store

    def _branch(self) -> list[StoredMessage]:
        chat_id = self._session.chat_id
        return self._store.branch(chat_id) if chat_id is not None else []

    def _line(self, message_id: str | None) -> list[StoredMessage]:
        """The branch on show down to this message, or to its end; empty when the message is not on it."""
        branch = self._branch()
        if message_id is None:
            return branch
        ids = [message.id for message in branch]
        return branch[: ids.index(message_id) + 1] if message_id in ids else []

    def question_of(self, message_id: str | None = None) -> StoredMessage | None:
        """The question itself, the one that this reply answers, or the last one (None)."""
        return next((message for message in reversed(self._line(message_id)) if message.role == "user"), None)

    def reply_at(self, message_id: str | None = None) -> StoredMessage | None:
        """The reply itself, the one on show to this question, or the last one (None)."""
        branch = self._branch()
        line = self._line(message_id)
        if line and line[-1].role == "user":
            line = branch[: len(line) + 1]
        return line[-1] if line and line[-1].role == "assistant" else None

    def question_above(self, reply_id: str) -> str:
        """Text of the question that this reply answers."""
        return self._store.line_to(reply_id)[-2].content

    def is_being_written(self, message_id: str) -> bool:
        return self._answering.turn_of(message_id) is not None

    # ---- replies

    def ask(
        self,
        question: StoredMessage,
        *,
        prefill: str = "",
        thinking: str = "",
        model: ModelSource | None = None,
        before: Recording | None = None,
        sampling: Mapping[str, float] | None = None,
    ) -> ShownMessage:
        """Begin a reply to this question.

        Args:
            prefill: how it begins.
            thinking: what was thought before that.
            model: who writes it; None is the model that is chosen.
            before: what makes its beginning again.
            sampling: options that only it is written with.
        """
        store, chat_id = self._session.store_of(question.conversation_id), question.conversation_id
        name = model.name if model is not None else self._model_of(chat_id)
        reply_id = store.begin_reply(chat_id, question.id, name)
        if prefill or thinking:
            store.checkpoint(reply_id, prefill, thinking)
        turn = Turn(chat_id, question.id, reply_id, prefill, thinking, prefill=prefill, model=model, before=before)
        turn.sampling = sampling or {}
        self._answering.answer(turn)
        return self._session.message(reply_id)

    def _model_of(self, chat_id: str) -> str | None:
        """Name of the model that answers in this chat, which is loaded if need be; None before the first start."""
        self._session.bring_model(chat_id)
        chosen = self._answering.chosen
        return chosen.name if chosen is not None else None

    def regenerate(
        self,
        message_id: str | None = None,
        *,
        prefill: str = "",
        thinking: str = "",
        before: Recording | None = None,
        sampling: Mapping[str, float] | None = None,
    ) -> ShownMessage | None:
        """Another reply beside this one (the last one, when None); None when there is no question to answer, or when
        the present reply is still being written."""
        line = self._line(message_id)
        while line and line[-1].role != "user":
            if self.is_being_written(line.pop().id):
                return None  # stop it first
        if not line:
            return None
        self._remember()
        return self.ask(line[-1], prefill=prefill, thinking=thinking, before=before, sampling=sampling)

    def go_on_from(
        self, reply_id: str, recording: Recording, before: int, token: int, model: ModelSource | None
    ) -> ShownMessage:
        """Another reply beside this one: the same tokens up to a place, this one there, and what the model makes of it.

        Args:
            recording: the part of the reply that the place is in.
            before: how many tokens of its line stand before the place.
            model: who writes it; None is the model that is chosen.
        """
        self._remember()
        reply = self._store.message(reply_id)
        assert reply.parent_id is not None
        line = [*recording.line[:before], token]
        begun = len(line) - len(recording.prompt) + recording.begun
        new_id = self._store.begin_reply(reply.conversation_id, reply.parent_id, reply.model)
        earlier = {"left_out": reply.stats.get("left_out", 0)}
        turn = Turn(reply.conversation_id, reply.parent_id, new_id, earlier=earlier, model=model)
        turn.line, turn.begun, turn.before = line, begun, recording.cut(before)
        self._answering.answer(turn)
        return self._session.message(new_id)

    def answer(self, question_id: str, *, prefill: str = "") -> ShownMessage:
        """Another reply to this question, whether it is on show or not."""
        self._remember()
        return self.ask(self._store.message(question_id), prefill=prefill)

    def ask_model(self, reply_id: str, model: ModelSource) -> ShownMessage:
        """Let another model answer the question of this reply, once; the chosen one is loaded again after that."""
        self._remember()
        return self.ask(self._store.line_to(reply_id)[-2], model=model)

    def go_on(self, message_id: str | None = None) -> ShownMessage | None:
        """Let a reply (the last one, when None) go on where it ended; None when there is none that can.

        At the end of the chat it grows in place. One that was answered already, or that another model wrote, stays as
        it is, and a longer version is written beside it. One that went round in circles goes on with DRY.
        """
        branch, line = self._branch(), self._line(message_id)
        reply = line[-1] if line else None
        if reply is None or reply.role != "assistant" or reply.status == "writing" or reply.parent_id is None:
            return None
        is_ours = reply.model == self._model_of(reply.conversation_id)
        has_words = bool(reply.content or reply.thinking)
        before = self._store.recording(reply.id) if is_ours and has_words else None
        sampling = AFTER_A_LOOP if reply.stats.get("finish_reason") == "loop" else {}
        if not has_words or reply.id != branch[-1].id or not is_ours:
            begun = {"prefill": reply.content, "thinking": reply.thinking}
            return self.regenerate(reply.id, **begun, before=before, sampling=sampling)
        self._store.resume_reply(reply.id)
        self._answering.answer(
            Turn(
                reply.conversation_id,
                reply.parent_id,
                reply.id,
                reply.content,
                reply.thinking,
                prefill=reply.content,
                earlier=reply.stats,
                before=before,
                sampling=sampling,
            )
        )
        return self._session.message(reply.id)

    # ---- questions

    def edit(self, message_id: str, text: str) -> None:
        """Ask a question differently; the old one stays with everything that follows it."""
        self._answering.stop_chat(self._session.chat_id)
        files = self._session.files.taken_for(message_id)
        old = self._store.message(message_id)
        if text == old.content and files == list(old.attachments):
            self.answer(message_id)
            return
        self._remember()
        self.ask(self._store.edit(message_id, text, attachments=files))
        self._session.tell(ChatsChanged())

    # ---- versions

    def versions(self, message_id: str) -> list[ShownMessage]:
        """The message and its alternatives, oldest first."""
        return [self._session.message(each) for each in self._store.siblings(message_id).ids]

    def show_version(self, message_id: str, step: int) -> bool:
        """Show the alternative `step` places after this message; False when there is none."""
        siblings = self._store.siblings(message_id)
        index = siblings.index + step
        if not 0 <= index < len(siblings.ids):
            return False
        self.choose(siblings.ids[index])
        return True

    def choose(self, message_id: str) -> None:
        """Show the branch through this message, down to where it was left, or to its newest end."""
        self._remember()
        self._store.select_sibling(self._last_seen.get(message_id, message_id))
        self._session.show_context()

    def _remember(self) -> None:
        """Another branch is about to be shown: whoever comes back to this one finds it as it is now."""
        branch = self._branch()
        self._last_seen |= {message.id: branch[-1].id for message in branch}

    # ---- copies

    def fork(self, message_id: str | None = None) -> Conversation | None:
        """Open a copy of the chat down to this message (to its end, when None); None when there is nothing to copy."""
        line = self._line(message_id)
        if not line:
            return None
        fork = self._store.fork(line[-1].id)
        if self._session.is_private:
            self._session.private.adopt(fork.id)
        self._session.open_chat(fork.id)
        self._session.tell(ChatsChanged())
        return fork
