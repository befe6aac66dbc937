"""What the model of the open chat would see if the draft were sent now: asked of the engine, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from localchat.errors import HistoryUnavailable, LocalChatError
from localchat.messages import ReplyOptions
from localchat.ui.answering import Answering
from localchat.ui.context_parts import PromptPart, prompt_parts, with_draft
from localchat.ui.context_rows import LedgerView, ends_of, ledger_view
from localchat.ui.session_events import ContextChanged
from localchat.ui.summing import Summing

if TYPE_CHECKING:
    from localchat.ui.session import ChatSession

BESIDE = 24
"""Tokens that a template writes around a message, at most; about five is usual."""


class ChatContext:
    """The context of the open chat, its pinned messages and its summaries.

    Args:
        system_prompt: of a chat, by its id.
    """

    def __init__(self, session: ChatSession, answering: Answering, system_prompt: Callable[[str], str]) -> None:
        self._session = session
        self._answering = answering
        self._system_prompt = system_prompt
        self.summing = Summing(session, answering, system_prompt)

    # ---- the ledger

    @property
    def can_ask(self) -> bool:
        """Whether the engine has nothing better to do."""
        return self._session.engine_state.phase == "ready"

    def parts(self, draft: str) -> tuple[list[PromptPart], ReplyOptions]:
        """What the prompt would be made of, and the options of the reply.

        Raises:
            HistoryUnavailable: the chat cannot be read.
        """
        session, chat_id = self._session, self._session.chat_id
        if chat_id is None:
            options = session.reply_options("")
            return with_draft(prompt_parts([], session.preferences.system_prompt), draft, []), options
        system, options = self._system_prompt(chat_id), session.reply_options(chat_id)
        purpose = session.purpose.current
        if purpose is not None and purpose.kind == "begin":
            options = replace(options, prefill=draft.rstrip(" "))
            if purpose.message_id:
                return prompt_parts(session.store.line_to(purpose.message_id), system), options
            draft = purpose.parked
        edits = purpose is not None and purpose.kind == "edit"
        line = session.store.line_to(purpose.message_id)[:-1] if edits and purpose else session.store.branch(chat_id)
        return with_draft(prompt_parts(line, system), draft, session.files.documents), options

    async def ledger(self, draft: str) -> LedgerView | None:
        """What would be sent; None while the engine is busy or there is none.

        Raises:
            LocalChatError: the template refuses the conversation, or the history cannot be read.
        """
        if not self.can_ask:
            return None
        parts, options = self.parts(draft)
        messages = [part.message for part in parts]
        answer = await self._answering.engine.ledger(messages, options, ends_of(parts))
        return ledger_view(answer, parts)

    def surely_fits(self, draft: str) -> bool:
        """Whether the draft fits whatever its tokens are: a token is at least a byte."""
        model = self._session.engine_state.model
        if model is None:
            return False
        try:
            parts, options = self.parts(draft)
        except LocalChatError:
            return False
        size = sum(len(f"{part.message.thinking}{part.message.content}".encode("utf-8", "replace")) for part in parts)
        room = model.context_length - min(options.max_tokens or model.context_length, model.context_length // 4)
        return size + BESIDE * (len(parts) + 1) + len(options.prefill.encode("utf-8", "replace")) <= room

    def left_out_before(self) -> int:
        """How many messages the last reply lacked: the user was told then."""
        if self._session.chat_id is None:
            return 0
        try:
            branch = self._session.store.branch(self._session.chat_id)
        except HistoryUnavailable:
            return 0
        return next((int(m.stats.get("left_out", 0)) for m in reversed(branch) if m.role == "assistant"), 0)

    # ---- what stays

    def toggle_pin(self, message_id: str) -> bool:
        """Pin a message of the open chat, or unpin it; whether it is pinned now."""
        store = self._session.store
        pinned = not store.message(message_id).pinned
        store.set_message_pinned(message_id, pinned)
        assert self._session.chat_id is not None
        self._session.tell(ContextChanged(self._session.chat_id, message_id))
        return pinned

    def latest_summary(self) -> str | None:
        """The message of the branch on show that holds the latest summary."""
        chat_id = self._session.chat_id
        branch = self._session.store.branch(chat_id) if chat_id is not None else []
        return next((message.id for message in reversed(branch) if message.summary), None)
