"""Titles that the model makes: when they are asked for, when not, and what counts as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from localchat.history.store import HistoryStore
from localchat.messages import Message
from localchat.ui import titling
from localchat.ui.preferences import Preferences
from localchat.ui.session import ChatSession
from localchat.ui.titling import CHINESE, ENGLISH, clean_title, is_chinese
from tests.ui.fake_engine import INFO, FakeEngine, Script

QUESTIONS = (CHINESE[0], ENGLISH[0])


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(titling, "PAUSE_S", 0.0)


def asked_for_title(messages: Sequence[Message]) -> bool:
    return messages[-1].content in QUESTIONS


class Titler(FakeEngine):
    """Answers questions with "About bread." and title questions with what it is given."""

    def __init__(self, title: Script, *, parameters: int = 494_000_000) -> None:
        super().__init__()
        self.info = replace(INFO, parameters=parameters)
        self.answer = lambda messages: title if asked_for_title(messages) else Script(["About ", "bread."])

    @property
    def title_questions(self) -> list[tuple[Message, ...]]:
        return [messages for messages in self.asked if asked_for_title(messages)]


async def until(condition: Callable[[], object]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("never came true")


async def rest(session: ChatSession) -> None:
    """Wait until everything is answered, titles too."""
    await until(lambda: session.engine_state.phase == "ready" and not session.answering_here)
    for _ in range(10):
        await asyncio.sleep(0.002)


def begin(engine: FakeEngine, store: HistoryStore, *, titles: bool = True) -> ChatSession:
    session = ChatSession(engine, store, Preferences(titles=titles))
    session.load_model("/nowhere/tiny", "tiny")
    return session


async def test_the_first_reply_is_followed_by_a_title_asked_for_as_one_more_question(store: HistoryStore) -> None:
    engine = Titler(Script([' "Baking ', 'Bread"']))
    session = begin(engine, store)
    session.send("How is bread made?")
    await until(lambda: session.title == "Baking Bread")
    (messages,) = engine.title_questions
    assert [m.content for m in messages] == ["How is bread made?", "About bread.", ENGLISH[0]]
    assert engine.options[-1].prefill == ENGLISH[1]
    assert [m.content for m in store.branch(session.chat_id or "")] == ["How is bread made?", "About bread."]
    chat = store.conversations()[0]
    assert chat.titled and not chat.renamed
    session.send("And rye bread?")
    await rest(session)
    assert len(engine.title_questions) == 1  # it has one now
    await session.close()


async def test_a_chinese_chat_is_asked_in_chinese(store: HistoryStore) -> None:
    engine = Titler(Script(["面包的做法"]))
    session = begin(engine, store)
    session.send("面包怎么做？")
    await until(lambda: session.title == "面包的做法")
    assert engine.title_questions[0][-1].content == CHINESE[0]
    await session.close()


async def test_a_question_ends_the_asking_and_does_not_wait_for_it(store: HistoryStore) -> None:
    engine = Titler(Script(["Bread"], hold={0: asyncio.Event()}))  # never comes
    session = begin(engine, store)
    session.send("How is bread made?")
    await until(lambda: engine.title_questions)
    session.send("And rye bread?")
    await until(lambda: len(session.messages()) == 4 and session.messages()[-1].status == "complete")
    assert session.messages()[-1].text == "About bread."
    assert session.title == "How is bread made?"
    await until(lambda: len(engine.title_questions) == 2)  # tried once more
    session.send("And corn bread?")
    await until(lambda: len(session.messages()) == 6 and session.messages()[-1].status == "complete")
    await rest(session)
    assert len(engine.title_questions) == 2
    await session.close()


@pytest.mark.parametrize("answer", ["Hello, how can I help you?", "", "Quantum physics", "bread " * 30])
async def test_an_answer_that_is_no_title_leaves_the_plain_one(store: HistoryStore, answer: str) -> None:
    engine = Titler(Script([answer]))
    session = begin(engine, store)
    session.send("How is bread made?")
    await until(lambda: engine.title_questions)
    await rest(session)
    assert session.title == "How is bread made?"
    await session.close()


@pytest.mark.parametrize("reason", ["off", "small model", "renamed", "private", "empty reply"])
async def test_it_is_not_asked_for(store: HistoryStore, reason: str) -> None:
    engine = Titler(Script(["Bread"]), parameters=135_000_000 if reason == "small model" else 494_000_000)
    session = begin(engine, store, titles=reason != "off")
    if reason == "private":
        session.begin_private_chat()
    if reason == "empty reply":
        engine.answer = lambda messages: Script(["Bread"]) if asked_for_title(messages) else Script([])
    if reason == "renamed":
        session.save_draft("x")
        session.rename(session.chat_id or "", "Mine")
    session.send("How is bread made?")
    await rest(session)
    assert engine.title_questions == []
    await session.close()


async def test_a_title_of_the_users_own_stays(store: HistoryStore) -> None:
    gate = asyncio.Event()
    engine = Titler(Script(["Bread"], hold={0: gate}))
    session = begin(engine, store)
    session.send("How is bread made?")
    await until(lambda: engine.title_questions)
    session.rename(session.chat_id or "", "Mine")
    gate.set()
    await rest(session)
    assert session.title == "Mine"
    await session.close()


@pytest.mark.parametrize(
    ("answer", "conversation", "title"),
    [
        (' "Understanding Monads"', "What is a monad?", "Understanding Monads"),
        ("**Title: Autumn Rain**", "a poem about autumn", "Autumn Rain"),
        ("标题：《暖气坏了三天》", "暖气坏了", "暖气坏了三天"),
        ("《静夜思》赏析", "静夜思是什么意思", "《静夜思》赏析"),
        ("Tea and Coffee: A Guide to Their Uses and Benefits", "tea or coffee", "Tea and Coffee"),
        ("明天之前，我将报告给你。", "把报告在明天之前发给我", ""),
        ("Sure! Here is a title:", "a title please", ""),
        ("How to Get the Best in Business", "hi", ""),
        ("Bread\x1b[31m", "bread", "Bread[31m"),
    ],
)
def test_what_counts_as_a_title(answer: str, conversation: str, title: str) -> None:
    assert clean_title(answer, [conversation]) == title


@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        ("红烧肉怎么做？", True),
        ("用Python写", True),
        ("请解释一下 quick sort", True),
        ("what is 红烧肉", False),
        ("これは何ですか", False),
        ("Hello", False),
        ("", False),
    ],
)
def test_whether_a_chat_is_chinese(text: str, chinese: bool) -> None:
    assert is_chinese(text) == chinese
