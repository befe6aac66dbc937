"""How the screens of settings look, in both languages. See `test_snapshots` for how to take new pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from localchat.config import Config
from localchat.history.store import HistoryStore
from localchat.ui.app import LocalChatApp
from localchat.ui.app_looks import speak
from localchat.ui.session import ChatSession
from tests.ui.conftest import NOW, TINY, FakeShelf
from tests.ui.fake_engine import FakeEngine
from tests.ui.test_snapshots import Compare, after, settle


@pytest.fixture
def app(store: HistoryStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Config], LocalChatApp]]:
    """Makes an app on an empty history."""
    monkeypatch.setattr("localchat.ui.screens.settings.config_file", lambda: Path("/home/you/config.toml"))

    def make(config: Config) -> LocalChatApp:
        engine = FakeEngine()
        session = ChatSession(engine, store, now=lambda: NOW)
        return LocalChatApp(engine, store, config, shelf=FakeShelf(TINY), session=session)

    yield make
    speak("en")


def test_settings_in_chinese(snap_compare: Compare, app: Callable[[Config], LocalChatApp]) -> None:
    config = Config(theme="light", language="zh", system_prompt="请用中文回答。", max_tokens=500)
    assert snap_compare(app(config), terminal_size=(100, 40), run_before=after("f3"))


def test_settings_of_a_chat(snap_compare: Compare, app: Callable[[Config], LocalChatApp]) -> None:
    config = Config(theme="dark", language="en", sampling={"temperature": 0.3})
    assert snap_compare(app(config), terminal_size=(80, 24), run_before=after("f5", "tab", "tab"))


def test_keys_in_chinese(snap_compare: Compare, app: Callable[[Config], LocalChatApp]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await after()(pilot)
        pilot.app.show_keys()  # type: ignore[attr-defined]
        await settle(pilot, lambda: bool(pilot.app.screen.query("#key-list")))

    config = Config(theme="dark", language="zh", keys={"chat.new": "ctrl+t"})
    assert snap_compare(app(config), terminal_size=(80, 24), run_before=before)
