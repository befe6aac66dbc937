"""Summaries of what will soon be left out, made by the model while nobody waits.

The model is asked for one as one more question of the conversation, after a reply, so that only the question has to be
read, and the keys and values of the conversation stay as they are. A real question does not wait: it ends this, and
what has to go for it goes without a summary, which the user is told as always.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from localchat.errors import LocalChatError
from localchat.ledger import ContextLedger
from localchat.messages import Message, ReplyOptions
from localchat.ui.answering import Answering
from localchat.ui.context_parts import PromptPart, prompt_parts, with_draft
from localchat.ui.session_events import ContextChanged, ReplyEnded, SessionEvent
from localchat.ui.titling import PAUSE_S, is_chinese

if TYPE_CHECKING:
    from localchat.ui.session import ChatSession

MOST_TOKENS = 240
SHORTEST = 12
"""Characters below which an answer is no summary."""

ENGLISH = (
    "Summarise our conversation so far in one paragraph of at most 120 words, so that it can go on when the beginning "
    "is forgotten: names, numbers, facts, decisions, and what is still open. Write only the summary."
)
CHINESE = "请把上面的对话写成一段简短的笔记，保留所有的人名、地点、数字和决定。只写笔记。"

SAMPLING = {"temperature": 0.0, "repetition_penalty": 1.1}
"""The likeliest words, but not in circles: a model of 0.5B wrote Chinese that went round without the penalty. What
forbids repeating whole stretches forbids names and numbers too, and makes others of them."""

_SENTENCE = re.compile(r".*?(?:[.!?…][\"'”’)]*(?=\s|$)|[。！？][”’」』）]*)\s*", re.DOTALL)


class Summing:
    """Watches replies end, and has a summary made of what the next questions will push out.

    Args:
        system_prompt: of a chat, by its id.
    """

    def __init__(self, session: ChatSession, answering: Answering, system_prompt: Callable[[str], str]) -> None:
        self._session = session
        self._answering = answering
        self._system_prompt = system_prompt
        self._task: asyncio.Task[None] | None = None
        self.chat_id: str | None = None

    def watch(self, event: SessionEvent) -> None:
        """To be told what happens in the session."""
        if isinstance(event, ReplyEnded):
            self.close()
            self._task = asyncio.create_task(self._sum_up(event.chat_id, event.reply_id))

    async def rest(self) -> None:
        """Wait until what is under way is over."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def close(self) -> None:
        if self._task is not None and self.chat_id is None:
            self._task.cancel()
        elif self._task is not None:
            self._answering.aside.cancel()

    async def _sum_up(self, chat_id: str, reply_id: str) -> None:
        await asyncio.sleep(PAUSE_S)
        while self._answering.aside.busy:
            await asyncio.sleep(PAUSE_S)
        try:
            await self._make(chat_id, reply_id)
        except LocalChatError:
            return  # nobody asked for it; what goes without a summary is said when it goes
        finally:
            if self.chat_id is not None:
                self.chat_id = None
                self._session.tell(ContextChanged(chat_id))

    async def _make(self, chat_id: str, reply_id: str) -> None:
        state, options = self._answering.state, self._session.reply_options(chat_id)
        if options.overflow != "summary" or self._answering.busy or state.phase != "ready" or state.model is None:
            return
        store = self._session.store_of(chat_id)
        parts = prompt_parts(store.line_to(reply_id), self._system_prompt(chat_id))
        if not parts or parts[-1].message.role != "assistant":
            return
        goes = await self._going(parts, options, state.model.context_length // 4)
        if not goes.gone or any(part.message.summary for part in parts[goes.gone[-1] :]):
            return
        text = ENGLISH
        if is_chinese(next(part.message.content for part in parts if part.message.role == "user")):
            text = CHINESE
        most = min(MOST_TOKENS, state.model.context_length // 8)
        think = False if state.model.thinking_switch else None
        asked = ReplyOptions(SAMPLING, most, think=think, overflow="summary")
        messages, until = await self._question(parts, goes, text, asked)
        if self._answering.busy:
            return
        self.chat_id = chat_id
        self._session.tell(ContextChanged(chat_id))
        answer = await self._answering.aside.ask(messages, asked, whole=False)
        if answer is not None and len(summary := whole_sentences(answer)) >= SHORTEST:
            source = until.segments[-1].source
            assert source is not None
            store.set_summary(source, summary)
            self._session.tell(ContextChanged(chat_id, source))

    async def _going(self, parts: Sequence[PromptPart], options: ReplyOptions, ahead: int) -> ContextLedger:
        """What will be left out once the conversation is longer by `ahead` tokens."""
        messages = [part.message for part in with_draft(parts, "", [])]
        return await self._answering.engine.ledger(messages, replace(options, overflow="oldest"), ahead=ahead)

    async def _question(
        self, parts: Sequence[PromptPart], goes: ContextLedger, text: str, options: ReplyOptions
    ) -> tuple[list[Message], PromptPart]:
        """What the model is asked, and the part down to which the answer sums up: all of them where the question still
        fits behind what it knows; else only what will go, which it reads once more."""
        question = Message("user", text)
        messages = [*(part.message for part in parts), question]
        now = await self._answering.engine.ledger(messages, options)
        covered = max((place for place, part in enumerate(parts) if part.message.summary), default=-1)
        if not now.refusal and all(place <= covered for place in now.gone):
            return messages, parts[-1]
        last = goes.gone[-1]
        return [*(part.message for part in parts[: last + 1]), question], parts[last]


def whole_sentences(answer: str) -> str:
    """The answer without a sentence that was cut off, and each sentence once: small models go round in circles."""
    once: dict[str, str] = {}
    for sentence in _SENTENCE.findall(answer.strip()):
        once.setdefault(sentence.strip(), sentence)
    return "".join(once.values()).strip()
