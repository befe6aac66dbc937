"""What the model read of a saved chat outlives the program; of any other chat, and of a deleted one, nothing does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from localchat.engine.client import EngineClient
from localchat.engine.prefix_store_files import SnapshotName, owner_of, snapshots_dir
from localchat.history.recrypt import recrypt
from localchat.history.store import HistoryStore
from localchat.paths import data_dir, ensure
from localchat.ui.preferences import Preferences
from localchat.ui.session import ChatSession
from tests.ui.fake_engine import FakeEngine

QUESTION = "The people of the village came together to hear the story of the mill. " * 12


@pytest.fixture
def saved(home: Path) -> Iterator[HistoryStore]:  # noqa: ARG001
    store = HistoryStore(ensure(data_dir()) / "history.db")
    yield store
    store.close()


def real_session(saved: HistoryStore, model: Path) -> ChatSession:
    session = ChatSession(EngineClient(), saved, Preferences(titles=False, max_tokens=3))
    session.load_model(str(model), "smollm2", 1024)
    return session


def owners() -> set[str]:
    names = [SnapshotName.parse(path.name) for path in snapshots_dir().rglob("*.safetensors")]
    return {name.owner for name in names if name is not None}


async def cached_tokens(session: ChatSession, question: str) -> int:
    reply = session.send(question)[1]
    while session.is_answering:
        await asyncio.sleep(0.02)
    assert session.store.message(reply.id).status == "complete"
    return int(session.store.message(reply.id).stats["cached_tokens"])


async def test_a_saved_chat_goes_on_after_a_restart_and_a_private_one_leaves_nothing(
    saved: HistoryStore, smollm2_folder: Path, home: Path
) -> None:
    session = real_session(saved, smollm2_folder)
    await cached_tokens(session, QUESTION)
    chat = session.chat_id
    assert chat is not None
    session.begin_private_chat()
    await cached_tokens(session, "A secret. " * 100)
    await session.close()
    assert owners() == {owner_of(chat)}
    private = [path for path in home.rglob("*") if path.is_file() and b"A secret" in path.read_bytes()]
    assert private == []

    session = real_session(saved, smollm2_folder)
    session.open_chat(chat)
    assert await cached_tokens(session, "And then?") >= 128
    session.delete(chat)
    for _ in range(200):
        if not owners():
            break
        await asyncio.sleep(0.02)
    await session.close()
    assert owners() == set()


async def test_only_chats_of_a_plain_history_are_named_to_the_engine(saved: HistoryStore) -> None:
    pytest.importorskip("sqlcipher3")
    session = ChatSession(FakeEngine(), saved)
    open_chat = session.entered()
    assert session.reply_options(open_chat).chat == open_chat
    session.begin_private_chat()
    assert session.reply_options(session.entered()).chat == ""
    await session.close()
    path = saved.path
    assert path is not None
    saved.close()
    recrypt(path, None, "correct horse")
    with HistoryStore(path, "correct horse") as encrypted:
        session = ChatSession(FakeEngine(), encrypted)
        assert session.reply_options(session.entered()).chat == ""
        await session.close()


async def test_deleting_a_chat_tells_the_engine(saved: HistoryStore) -> None:
    engine = FakeEngine()
    session = ChatSession(engine, saved)
    chat = session.entered()
    session.delete(chat)
    assert engine.forgotten == [chat]
    session.begin_private_chat()
    session.delete(session.entered())
    assert engine.forgotten == [chat]
    await session.close()
