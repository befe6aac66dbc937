"""The session without a screen, and the small parts that need none."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from datetime import datetime

import pytest

from localchat.history.store import HistoryStore
from localchat.messages import Message
from localchat.ui.days import day_heading
from localchat.ui.engine_state import EngineState, describe
from localchat.ui.figures import duration, short_count, size, speed
from localchat.ui.session import ChatSession
from localchat.ui.session_events import EngineChanged, ReplyEnded, ReplyGrew, SessionEvent
from localchat.ui.turn import ModelSource
from localchat.ui.visible_text import one_line, visible_text
from tests.ui.fake_engine import FakeEngine, Script


async def settled(session: ChatSession) -> None:
    for _ in range(500):
        await asyncio.sleep(0.005)
        if session.engine_state.phase == "ready" and not session.answering_here:
            return
    raise AssertionError("the session never came to rest")


async def test_the_question_is_in_the_history_before_the_engine_is_asked(store: HistoryStore) -> None:
    session = ChatSession(FakeEngine(), store)
    session.send("Hi")
    assert [m.content for m in store.branch(session.chat_id or "")] == ["Hi", ""]
    await session.close()
    assert store.branch(session.chat_id or "") == []  # closing leaves the chat
    assert [m.title for m in store.conversations()] == ["Hi"]


async def test_a_session_tells_what_happens_in_order(store: HistoryStore) -> None:
    session = ChatSession(FakeEngine(Script(["a", "b"])), store)
    told: list[SessionEvent] = []
    session.listen(told.append)
    session.load_model("/nowhere/tiny", "tiny")
    session.send("Hi")
    await settled(session)
    await session.close()
    phases = [event.state.phase for event in told if isinstance(event, EngineChanged)]
    assert list(dict.fromkeys(phases)) == ["starting", "loading", "ready", "reading", "writing"]
    assert "".join(event.text for event in told if isinstance(event, ReplyGrew)) == "ab"
    assert sum(isinstance(event, ReplyEnded) for event in told) == 1


async def test_a_growing_reply_is_checkpointed(store: HistoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localchat.ui.turn.CHECKPOINT_S", 0.0)
    gate = asyncio.Event()
    session = ChatSession(FakeEngine(Script(["saved", " later"], hold={1: gate})), store)
    session.load_model("/nowhere/tiny", "tiny")
    session.send("Hi")
    for _ in range(200):
        await asyncio.sleep(0.005)
        if store.branch(session.chat_id or "")[-1].content == "saved":
            break
    assert store.branch(session.chat_id or "")[-1].content == "saved"
    assert store.branch(session.chat_id or "")[-1].status == "writing"
    gate.set()
    await settled(session)
    await session.close()


async def test_empty_replies_are_not_given_to_the_model_and_turns_alternate(store: HistoryStore) -> None:
    engine = FakeEngine()
    session = ChatSession(engine, store)
    session.send("First")
    session.stop()
    session.load_model("/nowhere/tiny", "tiny")
    session.send("Second")
    await settled(session)
    await session.close()
    assert engine.asked == [(Message("user", "First\n\nSecond"),)]


async def test_questions_that_are_sent_while_a_reply_is_written_wait_in_line(store: HistoryStore) -> None:
    gate = asyncio.Event()
    engine = FakeEngine(Script(["One."], hold={0: gate}), Script(["Two."]))
    session = ChatSession(engine, store)
    session.load_model("/nowhere/tiny", "tiny")
    session.send("1")
    await asyncio.sleep(0.05)
    session.send("2")
    gate.set()
    await settled(session)
    assert [m.text for m in session.messages()] == ["1", "One.", "2", "Two."]
    assert [m.content for m in engine.asked[1]] == ["1", "One.", "2"]
    await session.close()


async def test_choosing_another_model_while_one_loads_gives_the_first_up(store: HistoryStore) -> None:
    engine = FakeEngine()
    engine.may_load.clear()
    session = ChatSession(engine, store)
    session.load_model("/nowhere/one", "one")
    await asyncio.sleep(0.02)
    session.load_model("/nowhere/two", "two")
    await asyncio.sleep(0.02)
    engine.may_load.set()
    await settled(session)
    assert engine.loads == ["/nowhere/one", "/nowhere/two"]
    assert session.engine_state.model_name == "two"
    await session.close()


def test_the_interface_imports_no_tensors() -> None:
    program = (
        "import sys, localchat.ui.app\n"
        "print([m for m in ('torch', 'numpy', 'transformers', 'tokenizers', 'gguf') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_first_frame_does_not_wait_for_markdown_and_colours_of_code() -> None:
    program = "import sys, localchat.ui.app\nprint([m for m in ('markdown_it', 'pygments.lexers') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_visible_text_keeps_words_and_drops_what_steers_terminals() -> None:
    assert visible_text("a\r\nb\rc\u2028d\te") == "a\nb\nc\nd\te"
    assert visible_text("\x1b[31mred\x07\x9b\x7f\u202e") == "[31mred"
    assert visible_text("👩‍👩‍👧 你好 \ud83d") == "👩‍👩‍👧 你好 \ufffd"
    assert one_line(" two\n words\x1b ") == "two words"


def test_figures_read_as_people_write_them() -> None:
    assert [size(n) for n in (812, 93_400_000, 5_210_000, 1_120_000_000)] == ["812 B", "93 MB", "5.2 MB", "1.1 GB"]
    assert [short_count(n) for n in (812, 1234, 8192, 131072)] == ["812", "1.2k", "8k", "128k"]
    assert [duration(s) for s in (0.43, 12.2, 65, 3700)] == ["0.4 s", "12 s", "1 min 05 s", "1 h 01 min"]
    assert [speed(v) for v in (84.2, 4.26, 0.0, float("nan"))] == ["84 tok/s", "4.3 tok/s", "", ""]


@pytest.mark.parametrize(
    ("then", "heading"),
    [
        ("2025-11-22T00:01", "Today"),
        ("2025-11-21T23:59", "Yesterday"),
        ("2025-11-16T12:00", "Sunday"),
        ("2025-11-02T12:00", "November"),
        ("2024-12-31T12:00", "December 2024"),
    ],
)
def test_a_chat_stands_under_the_day_of_the_users_clock(then: str, heading: str) -> None:
    now = datetime.fromisoformat("2025-11-22T08:26").timestamp()
    assert day_heading(datetime.fromisoformat(then).timestamp(), now) == heading


async def test_a_model_that_is_chosen_while_another_writes_one_reply_is_loaded_after_it(store: HistoryStore) -> None:
    gate = asyncio.Event()
    engine = FakeEngine(Script(["One."]), Script(["Second."], hold={0: gate}), Script(["Three."]))
    session = ChatSession(engine, store)
    session.load_model("/nowhere/first", "first")
    _, reply = session.send("Hi")
    await settled(session)
    session.branching.ask_model(reply.id, ModelSource("/nowhere/second", "second"))
    session.send("Then")  # waits behind it, for the model that is chosen then
    await asyncio.sleep(0.05)
    session.load_model("/nowhere/third", "third")
    gate.set()
    await settled(session)
    assert engine.loads == ["/nowhere/first", "/nowhere/second", "/nowhere/third"]
    assert [m.text for m in session.messages()] == ["Hi", "Second.", "Then", "Three."]
    assert session.engine_state.model_name == "third"
    await session.close()


async def test_two_replies_of_the_same_other_model_need_it_once(store: HistoryStore) -> None:
    engine = FakeEngine(Script(["One."]), Script(["Two."]), Script(["Three."]))
    session = ChatSession(engine, store)
    session.load_model("/nowhere/first", "first")
    _, reply = session.send("Hi")
    await settled(session)
    other = ModelSource("/nowhere/second", "second")
    session.branching.ask_model(reply.id, other)
    session.branching.ask_model(reply.id, other)
    await settled(session)
    for _ in range(100):
        await asyncio.sleep(0.01)
        if len(engine.loads) == 3 and session.engine_state.phase == "ready":
            break
    assert engine.loads == ["/nowhere/first", "/nowhere/second", "/nowhere/first"]
    assert [version.text for version in session.branching.versions(reply.id)] == ["One.", "Two.", "Three."]
    await session.close()


async def test_the_status_says_why_another_model_is_loaded() -> None:
    visiting = EngineState("loading", "Reading the weights", 0.4, errand="visit")
    assert describe(visiting) == "For one reply · Reading the weights, 40%"
    assert describe(replace(visiting, errand="return")) == "Back to your model · Reading the weights, 40%"
    assert describe(replace(visiting, phase="writing", tokens_per_second=84.0)) == "Writing, 84 tok/s"
