"""A model that nobody asks is unloaded, and comes back: by the clock, on request, with the first key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from localchat.config import Config
from localchat.engine.client import EngineClient
from localchat.history.store import HistoryStore
from localchat.ui import idling
from localchat.ui.preferences import Preferences
from localchat.ui.session import ChatSession
from tests.ui.conftest import Desk, Opener
from tests.ui.fake_engine import FakeEngine, Script


@pytest.fixture
def short_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idling, "MINUTE_S", 0.05)


def title(desk: Desk) -> str:
    return str(desk.screen.title_bar.render())


def phase(desk: Desk) -> str:
    return desk.session.engine_state.phase


async def unload(desk: Desk) -> None:
    await desk.write("/unload")
    await desk.pilot.press("enter")
    await desk.until(lambda: desk.notices())


async def test_unload_ends_the_engine_and_the_next_question_brings_it_back(open_desk: Opener) -> None:
    async with open_desk(size=(120, 30)) as desk:
        await desk.ask("Hi")
        assert len(desk.engine.loads) == 1
        await unload(desk)
        await desk.until(lambda: desk.engine.closed)
        assert phase(desk) == "resting"
        assert "unloaded" in title(desk)
        assert "comes back when you write" in desk.notices()[-1]
        await desk.pilot.press("ctrl+r")
        await desk.until(lambda: len(desk.engine.asked) == 2 and desk.idle)
        assert len(desk.engine.loads) == 2
        assert "unloaded" not in title(desk)
        assert desk.session.messages()[-1].text == "Hello there."


async def test_the_first_key_loads_the_model_before_anything_is_sent(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.until(lambda: phase(desk) == "ready")
        await unload(desk)
        await desk.pilot.press("H")
        await desk.until(lambda: phase(desk) == "ready")
        assert len(desk.engine.loads) == 2
        assert desk.engine.asked == []


@pytest.mark.usefixtures("short_minutes")
async def test_after_the_set_time_the_model_is_unloaded(open_desk: Opener) -> None:
    async with open_desk(config=Config(unload_after=1)) as desk:
        await desk.until(lambda: phase(desk) == "resting")
        await desk.until(lambda: desk.engine.closed)
        await desk.write("Hi")
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.engine.asked)


@pytest.mark.usefixtures("short_minutes")
async def test_a_reply_that_takes_long_is_not_idle(open_desk: Opener) -> None:
    gate = asyncio.Event()
    async with open_desk(FakeEngine(Script(hold={1: gate})), config=Config(unload_after=1)) as desk:
        await desk.write("Hi")
        await desk.pilot.press("enter")
        await desk.until(lambda: phase(desk) == "writing")
        await asyncio.sleep(0.15)  # three of these minutes
        assert phase(desk) == "writing"
        gate.set()
        await desk.until(lambda: phase(desk) == "resting")
        assert desk.session.messages()[-1].text == "Hello there."


@pytest.mark.usefixtures("short_minutes")
async def test_without_a_time_it_stays(open_desk: Opener) -> None:
    async with open_desk(config=Config(unload_after=0)) as desk:
        await desk.until(lambda: phase(desk) == "ready")
        await asyncio.sleep(0.15)
        assert phase(desk) == "ready"


async def test_what_answers_is_not_unloaded_on_request(open_desk: Opener) -> None:
    gate = asyncio.Event()
    async with open_desk(FakeEngine(Script(hold={1: gate}))) as desk:
        await desk.write("Hi")
        await desk.pilot.press("enter")
        await desk.until(lambda: phase(desk) == "writing")
        await unload(desk)
        assert "at work" in desk.notices()[-1]
        assert phase(desk) == "writing"
        gate.set()
        await desk.until(lambda: desk.idle)


async def test_another_model_chosen_while_it_rests_is_loaded(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.until(lambda: phase(desk) == "ready")
        await unload(desk)
        desk.session.load_model("/nowhere/other", "other")
        await desk.until(lambda: phase(desk) == "ready")
        assert desk.engine.loads[-1] == "/nowhere/other"


@pytest.fixture
async def real(smollm2_folder: Path, tmp_path: Path) -> AsyncIterator[tuple[ChatSession, EngineClient]]:
    engine, store = EngineClient(log=tmp_path / "engine.log"), HistoryStore.in_memory()
    session = ChatSession(engine, store, Preferences(sampling={"temperature": 0.0}, max_tokens=4))
    session.load_model(str(smollm2_folder), "smollm2-135m", 512)
    yield session, engine
    await session.close()
    store.close()


async def test_the_real_process_ends_and_its_memory_with_it(real: tuple[ChatSession, EngineClient]) -> None:
    session, engine = real
    async with asyncio.timeout(120):

        async def until_ready() -> int:
            while session.engine_state.phase != "ready":
                await asyncio.sleep(0.02)
            assert engine.pid is not None
            return engine.pid

        first = await until_ready()
        assert psutil.Process(first).memory_info().rss > 100e6
        assert session.idling.unload()
        while psutil.pid_exists(first):
            await asyncio.sleep(0.02)
        assert engine.pid is None
        session.send("Hello")
        assert await until_ready() != first
        while session.answering_here:
            await asyncio.sleep(0.02)
        assert session.messages()[-1].text
