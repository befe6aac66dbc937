"""The session keeps what makes a reply again, that of every part when a reply goes on."""

from __future__ import annotations

from localchat.history.store import HistoryStore
from localchat.recording import Recording
from localchat.ui.session import ChatSession
from tests.ui.fake_engine import FakeEngine, Script
from tests.ui.test_session import settled

FIRST = Recording([1, 2], [3, 4], True, {"seed": 1}, {"kernel": "reference"})
SECOND = Recording([1, 2, 3, 4], [5], True, {"seed": 2}, {"kernel": "reference"}, begun=2)


async def asked(store: HistoryStore, engine: FakeEngine) -> ChatSession:
    """A session in which one question was answered."""
    engine.recording = FIRST
    session = ChatSession(engine, store)
    session.load_model("/nowhere/tiny", "tiny")
    session.send("Hi")
    await settled(session)
    return session


def kept(session: ChatSession) -> Recording | None:
    return session.store.recording(session.messages()[-1].id)


async def test_a_reply_in_the_app_can_be_made_again(store: HistoryStore) -> None:
    session = await asked(store, FakeEngine(Script(["a", "b"])))
    assert kept(session) == FIRST
    await session.close()


async def test_a_reply_that_went_on_in_its_place_keeps_both_parts(store: HistoryStore) -> None:
    engine = FakeEngine(Script(["a", "b"]), Script(["c"]))
    session = await asked(store, engine)
    engine.recording = SECOND
    session.branching.go_on()
    await settled(session)
    recording = kept(session)
    assert recording is not None and recording.parts[0] == FIRST and recording.tokens == 3
    assert recording.reply == [5] and session.messages()[-1].text == "abc"
    assert engine.options[-1].known == FIRST.line
    await session.close()


async def test_a_longer_version_of_a_reply_keeps_both_parts_and_the_old_one_its_own(store: HistoryStore) -> None:
    engine = FakeEngine(Script(["a", "b"]), Script(["x"]), Script(["c"]))
    session = await asked(store, engine)
    first = session.messages()[-1].id
    session.send("And then?")
    await settled(session)
    engine.recording = SECOND
    session.branching.go_on(first)
    await settled(session)
    recording = kept(session)
    assert session.messages()[-1].text == "abc" and recording is not None and recording.parts[0] == FIRST
    assert store.recording(first) == FIRST
    await session.close()


async def test_a_part_that_was_not_kept_leaves_nothing_to_make_again(store: HistoryStore) -> None:
    """Half of what makes a reply would make another one."""
    engine = FakeEngine(Script(["a", "b"]), Script(["c", "never"], dies_after=1))
    session = await asked(store, engine)
    session.branching.go_on()
    await settled(session)
    assert session.messages()[-1].text == "abc" and kept(session) is None
    await session.close()
