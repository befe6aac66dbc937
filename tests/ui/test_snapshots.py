"""How it looks. After a change that is meant: `pytest tests/ui/test_snapshots.py --snapshot-update`, and look at it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from localchat.config import Config
from localchat.history.store import HistoryStore
from localchat.hub.pull_events import PullProgress
from localchat.ui.app import LocalChatApp
from localchat.ui.session import ChatSession
from tests.ui.conftest import NOW, TINY, FakeShelf
from tests.ui.fake_engine import FakeEngine
from tests.ui.sample_chats import fill

Compare = Callable[..., bool]
Before = Callable[[Pilot[Any]], Awaitable[None]]


@pytest.fixture
def app(store: HistoryStore) -> Callable[..., LocalChatApp]:
    """Makes an app on a history that has something to show."""

    def make(theme: str, shelf: FakeShelf | None = None) -> LocalChatApp:
        fill(store, NOW)
        engine = FakeEngine()
        session = ChatSession(engine, store, now=lambda: NOW)
        config = Config(theme=theme)
        return LocalChatApp(engine, store, config, shelf=shelf or FakeShelf(TINY), session=session)

    return make


async def settle(pilot: Pilot[Any], condition: Callable[[], bool] = lambda: True) -> None:
    """Wait until `condition` holds and the screen no longer changes, however slow the machine is."""
    before = ""
    for _ in range(100):
        await pilot.pause(0.15)
        now = pilot.app.export_screenshot()
        if condition() and now == before:
            return
        before = now
    raise AssertionError("the screen did not come to rest")


def after(*keys: str) -> Before:
    """Press these once the model is loaded, and let everything be laid out."""

    async def before(pilot: Pilot[Any]) -> None:
        session = pilot.app.session  # type: ignore[attr-defined]
        await settle(pilot, lambda: session.engine_state.phase == "ready")
        await pilot.press(*keys)
        await settle(pilot)

    return before


def test_english_dark_80x24(snap_compare: Compare, app: Callable[..., LocalChatApp]) -> None:
    assert snap_compare(app("dark"), terminal_size=(80, 24), run_before=after("alt+down"))


def test_chinese_light_80x24(snap_compare: Compare, app: Callable[..., LocalChatApp]) -> None:
    assert snap_compare(app("light"), terminal_size=(80, 24), run_before=after("alt+down", "alt+down"))


def test_chinese_dark_200x60(snap_compare: Compare, app: Callable[..., LocalChatApp]) -> None:
    assert snap_compare(app("dark"), terminal_size=(200, 60), run_before=after("alt+down", "alt+down"))


def test_english_light_200x60(snap_compare: Compare, app: Callable[..., LocalChatApp]) -> None:
    assert snap_compare(app("light"), terminal_size=(200, 60), run_before=after("alt+down"))


def test_settings_with_a_value_that_is_not_allowed(
    snap_compare: Compare, app: Callable[..., LocalChatApp], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localchat.ui.screens.settings.config_file", lambda: Path("/home/you/config.toml"))

    async def before(pilot: Pilot[Any]) -> None:
        await after("f3", *"daring")(pilot)
        await settle(pilot, lambda: bool(pilot.app.screen.query("#temperature")))
        pilot.app.screen.query_one("#temperature", Input).value = "9"
        await settle(pilot, lambda: bool(pilot.app.screen.query(".-wrong")))

    assert snap_compare(app("dark"), terminal_size=(80, 24), run_before=before)


def test_the_first_start(
    snap_compare: Compare, app: Callable[..., LocalChatApp], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localchat.ui.screens.fetch.models_dir", lambda: Path("/home/you/models"))
    shelf = FakeShelf()

    async def before(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot, lambda: bool(shelf.jobs))
        shelf.jobs[0].steps.put_nowait(PullProgress("download", 350_000_000, 700_000_000, 5_000_000.0, 70.0))
        await settle(pilot, lambda: "350" in str(pilot.app.screen.query_one("#figures").render()))

    assert snap_compare(app("dark", shelf), terminal_size=(80, 24), run_before=before)


def test_editing_a_question(snap_compare: Compare, app: Callable[..., LocalChatApp]) -> None:
    before = after("alt+down", "alt+down", "alt+e")
    assert snap_compare(app("dark"), terminal_size=(80, 24), run_before=before)


def test_two_replies_side_by_side(snap_compare: Compare, app: Callable[..., LocalChatApp]) -> None:
    assert snap_compare(app("dark"), terminal_size=(120, 32), run_before=after("alt+down", "alt+v"))


def test_two_replies_one_over_the_other(snap_compare: Compare, app: Callable[..., LocalChatApp]) -> None:
    assert snap_compare(app("light"), terminal_size=(80, 24), run_before=after("alt+down", "alt+v"))
