"""Titles by the model: asked for as one more question of the conversation, after its first reply, while nobody waits.

The question stands after everything that the model has read already, so it costs about thirty tokens, and the keys and
values of the conversation stay as they are for the next real question. That one does not wait: it ends this.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from localchat.errors import HistoryUnavailable
from localchat.history.records import Conversation
from localchat.history.search_words import words_of
from localchat.history.titles import TITLE_WIDTH
from localchat.messages import Message, ReplyOptions
from localchat.ui.answering import Answering
from localchat.ui.session_events import ChatsChanged, ReplyEnded, SessionEvent
from localchat.ui.turn import prompt_messages
from localchat.ui.visible_text import one_line

if TYPE_CHECKING:
    from localchat.ui.session import ChatSession

SMALLEST = 300_000_000
"""Parameters below which a model is not asked. Of ten first turns, half of them Chinese, a model of 494 million titled
nine well; one of 135 million two."""

PAUSE_S = 0.3
"""Time after a reply in which the user may already go on."""

MOST_TRIES = 2
"""How often a chat asks for a title in one window, when the user goes on too quickly."""

MOST_TOKENS = 32
ROOM = 200
"""Tokens that the context must still have free, so that nothing of the conversation is left out for a title."""

CHARACTERS_TO_WORDS = 0.6
"""Words in a Chinese character, about."""

LONGEST = 60
"""Characters of a title; what is longer is no title."""

ENGLISH = (
    "Give our conversation a title of two to six words, in its own language. Answer with the title only.",
    "Title:",
)
CHINESE = ("请给我们的对话起一个标题，不超过十二个字。只回答标题。", "标题：")

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_KANA = re.compile("[\u3041-\u30ff]")
_WORD = re.compile(r"[^\W\d_\u2e80-\u9fff]+")
_LABEL = re.compile(r"^\W*(?:title|标题|題目|题目)\s*[:：]\s*", re.IGNORECASE)
_SUBTITLE = re.compile(r":\s|：|\s[-–—|]\s|——")
_AROUND = "\"'`*_# \t"
_PAIRS = ("“”", "‘’", "「」", "『』", "《》", "〈〉", "【】", "[]", "()", "（）")
_ENDS_A_SENTENCE = tuple(".。!！?？:：;；,，…")


class Titling:
    """Watches replies end, and titles chats that have no title of their own.

    Args:
        system_prompt: of a chat, by its id.
    """

    def __init__(self, session: ChatSession, answering: Answering, system_prompt: Callable[[str], str]) -> None:
        self._session = session
        self._answering = answering
        self._system_prompt = system_prompt
        self._tries: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    def watch(self, event: SessionEvent) -> None:
        """To be told what happens in the session."""
        if isinstance(event, ReplyEnded) and event.chat_id not in self._session.private:
            if self._task is not None:
                self._task.cancel()
            self._task = asyncio.create_task(self._title(event.chat_id, event.reply_id))

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _title(self, chat_id: str, reply_id: str) -> None:
        await asyncio.sleep(PAUSE_S)
        try:
            if not self._is_wanted(chat_id, reply_id):
                return
            line = self._session.saved.line_to(reply_id)
            question, beginning = CHINESE if is_chinese(line[0].content) else ENGLISH
            messages = [*prompt_messages(line, self._system_prompt(chat_id)), Message("user", question)]
            think = self._session.reply_options(chat_id).think  # the same prompt up to here, so that it is known
            options = ReplyOptions({"temperature": 0.0}, MOST_TOKENS, ("\n",), prefill=beginning, think=think)
            self._tries[chat_id] = self._tries.get(chat_id, 0) + 1
            answer = await self._answering.aside.ask(messages, options)
            if answer is None:
                return
            self._tries[chat_id] = MOST_TRIES  # it has answered; asking again would give the same
            title = clean_title(answer, [message.content for message in line])
            if title and self._session.saved.set_model_title(chat_id, title):
                self._session.tell(ChatsChanged())
        except HistoryUnavailable:
            return  # the chat keeps the title that it has

    def _is_wanted(self, chat_id: str, reply_id: str) -> bool:
        state, answering = self._answering.state, self._answering
        if not self._session.preferences.titles or answering.busy or state.phase != "ready" or state.model is None:
            return False
        if state.model.parameters < SMALLEST or self._tries.get(chat_id, 0) >= MOST_TRIES:
            return False
        chat, reply = self._session.saved.conversation(chat_id), self._session.saved.message(reply_id)
        fits = int(reply.stats.get("context_used", 0)) + ROOM < state.model.context_length
        return _is_untitled(chat) and reply.status == "complete" and bool(reply.content.strip()) and fits


def _is_untitled(chat: Conversation) -> bool:
    return not chat.renamed and not chat.titled and chat.deleted_at is None


def is_chinese(text: str) -> bool:
    """Whether somebody who writes this reads Chinese: more of it, in words, than of other scripts."""
    return len(_HAN.findall(text)) * CHARACTERS_TO_WORDS > len(_WORD.findall(text)) and not _KANA.search(text)


def clean_title(answer: str, conversation: list[str]) -> str:
    """The title in an answer, without quotes and labels; "" when it is none.

    Small models answer with a greeting, a sentence, or something of their own. A title is short, ends like no sentence,
    and has at least one word in common with the conversation.
    """
    title, before = one_line(answer), None
    while title != before:
        before, title = title, _LABEL.sub("", title.strip(_AROUND))
        title = title[1:-1] if title[:1] + title[-1:] in _PAIRS else title
    if len(title) > TITLE_WIDTH:
        title = _SUBTITLE.split(title)[0]
    if not title or len(title) > LONGEST or title.endswith(_ENDS_A_SENTENCE):
        return ""
    return title if _words(title) & _words(" ".join(conversation)) else ""


def _words(text: str) -> set[str]:
    """Words that mean something: two Chinese characters that follow each other, or the beginning of a longer word."""
    words = words_of(text).split()
    pairs = {first + second for first, second in itertools.pairwise(words) if _HAN.match(first)}
    return {pair for pair in pairs if _HAN.match(pair[-1])} | {word[:4] for word in words if len(word) > 3}
