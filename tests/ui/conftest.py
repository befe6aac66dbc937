"""An app on a history of its own, with an engine that answers from a script."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from localchat.config import Config
from localchat.history.store import HistoryStore
from localchat.hub.pull_events import PullDone, PullProgress
from localchat.ui.app import LocalChatApp
from localchat.ui.model_shelf import Fetching, MachineMemory, ModelChoice, ModelShelf
from localchat.ui.screens.chat import ChatScreen
from localchat.ui.session import ChatSession
from localchat.ui.widgets.message_view import ReplyView
from tests.ui.fake_engine import FakeEngine

NOW = 1_763_800_000.0  # a Saturday in November 2025, 08:26 UTC

TINY = ModelChoice(
    name="tiny",
    title="SmolLM2 135M",
    precision="int4",
    size=98_000_000,
    parameters=135_000_000,
    memory=500_000_000,
    licence="Apache-2.0",
    path=Path("/nowhere/tiny"),
)
LARGER = ModelChoice(
    name="larger",
    title="Larger 1B",
    precision="int4",
    size=700_000_000,
    parameters=1_000_000_000,
    memory=1_700_000_000,
    publisher="Somebody",
    licence="MIT",
)


class FakeJob:
    """A download in steps that the test lets happen."""

    def __init__(self, shelf: FakeShelf, name: str) -> None:
        self.shelf = shelf
        self.name = name
        self.steps: asyncio.Queue[PullProgress | PullDone | Exception | None] = asyncio.Queue()
        self.cancelled = False

    async def events(self) -> AsyncIterator[PullProgress | PullDone]:
        while (step := await self.steps.get()) is not None:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, PullDone):
                self.shelf.here.append(
                    ModelChoice(step.name, "Larger 1B", "int4", 1, 1, path=Path("/nowhere") / step.name)
                )
            yield step

    async def cancel(self) -> None:
        self.cancelled = True
        self.steps.put_nowait(None)


class FakeShelf(ModelShelf):
    """Models without folders."""

    def __init__(self, *here: ModelChoice, offers: tuple[ModelChoice, ...] = (LARGER,)) -> None:
        super().__init__()
        self.here = list(here)
        self.offers = offers
        self.jobs: list[FakeJob] = []

    def is_empty(self) -> bool:
        return not self.here

    def installed(self) -> list[ModelChoice]:
        return list(self.here)

    def fetchable(self) -> list[ModelChoice]:
        names = {model.name for model in self.here}
        return [offer for offer in self.offers if offer.name not in names]

    def machine_memory(self) -> MachineMemory:
        return MachineMemory(total=8_000_000_000, free=4_000_000_000)

    def offer(self, name: str | None) -> ModelChoice:  # noqa: ARG002
        return self.offers[0]

    def fetch(self, name: str) -> Fetching:
        self.jobs.append(FakeJob(self, name))
        return self.jobs[-1]


@dataclass
class Desk:
    """The app under test and everything around it."""

    app: LocalChatApp
    pilot: Pilot[None]
    engine: FakeEngine
    store: HistoryStore
    shelf: FakeShelf

    @property
    def screen(self) -> ChatScreen:
        return self.app.chat_screen

    @property
    def session(self) -> ChatSession:
        return self.app.session

    @property
    def replies(self) -> list[ReplyView]:
        return list(self.screen.query(ReplyView))

    def body(self) -> str:
        """The Markdown of the first reply, as far as it is laid out."""
        body = self.replies[0].body if self.replies else None
        return body.source if body is not None else ""

    def shown_text(self) -> str:
        """All that is on the screen now."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip) for strip in strips)

    async def until(self, condition: Callable[[], Any], what: str = "") -> None:
        """Let the app run until this holds."""
        for _ in range(1000):
            if condition():
                return
            await asyncio.sleep(0.01)  # not pilot.pause: it waits for the processor to rest, which takes up to a second
        raise AssertionError(f"never came true: {what or condition}")

    async def write(self, text: str) -> None:
        self.screen.composer.insert(text)
        await self.pilot.pause()

    async def ask(self, text: str) -> None:
        """Write, send, and wait for the whole reply."""
        before = len(self.session.messages())
        await self.write(text)
        await self.pilot.press("enter")
        await self.until(lambda: len(self.session.messages()) == before + 2 and self.idle, "the reply ended")

    @property
    def idle(self) -> bool:
        shown = self.screen.transcript.shown
        return (
            bool(shown)
            and not self.session.answering_here
            and shown[-1].status not in ("waiting", "writing")
            and self.session.engine_state.phase == "ready"
        )

    def notices(self) -> list[str]:
        """What toasts say."""
        return [notification.message for notification in self.app._notifications]


OpenDesk = Callable[..., AbstractAsyncContextManager[Desk]]


@dataclass
class Opener:
    """Opens desks; each on the same history unless told otherwise."""

    store: HistoryStore
    desks: list[Desk] = field(default_factory=list)

    @asynccontextmanager
    async def __call__(
        self,
        engine: FakeEngine | None = None,
        *,
        size: tuple[int, int] = (80, 24),
        config: Config | None = None,
        shelf: FakeShelf | None = None,
        store: HistoryStore | None = None,
        troubles: tuple[str, ...] = (),
    ) -> AsyncIterator[Desk]:
        engine = engine or FakeEngine()
        shelf = shelf or FakeShelf(TINY)
        store = store or self.store
        session = ChatSession(engine, store, now=lambda: NOW)
        app = LocalChatApp(engine, store, config or Config(), shelf=shelf, session=session, troubles=troubles)
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.pause()
            yield Desk(app, pilot, engine, store, shelf)


@pytest.fixture
def store(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HistoryStore]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr("textual.constants.TEXTUAL_ANIMATIONS", "none")
    history = HistoryStore(home / "data" / "history.db", now=lambda: NOW)
    yield history
    history.close()
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def open_desk(store: HistoryStore) -> Opener:
    return Opener(store)
