"""How private chats, the export dialog and the locked screen look; see test_snapshots.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from localchat.config import Config
from localchat.history.exporting import ExportFormat
from localchat.history.file_names import file_name
from localchat.history.store import HistoryStore
from localchat.ui.app import LocalChatApp
from localchat.ui.session import ChatSession
from tests.ui.conftest import NOW, TINY, FakeShelf
from tests.ui.fake_engine import FakeEngine
from tests.ui.sample_chats import STATS, fill
from tests.ui.test_snapshots import after, settle

Compare = Callable[..., bool]


def app_on(store: HistoryStore, theme: str, language: str = "en") -> LocalChatApp:
    engine = FakeEngine()
    session = ChatSession(engine, store, now=lambda: NOW)
    return LocalChatApp(engine, store, Config(theme=theme, language=language), shelf=FakeShelf(TINY), session=session)


async def fill_privately(pilot: Pilot[Any]) -> None:
    """A private chat whose figures are always the same."""
    await after("alt+n")(pilot)
    session: ChatSession = pilot.app.session  # type: ignore[attr-defined]
    chat_id = session.entered()
    question = session.store.add_message(chat_id, None, "user", "Keep this to yourself.")
    session.store.finish(
        session.store.begin_reply(chat_id, question.id, "tiny"), "Of course. 没有别人会知道。", stats=STATS
    )
    session.open_chat(chat_id)
    await pilot.app.chat_screen.show_chat()  # type: ignore[attr-defined]
    await settle(pilot)


@pytest.mark.parametrize(("theme", "language", "size"), [("dark", "en", (80, 24)), ("light", "zh", (120, 36))])
def test_a_private_chat(
    snap_compare: Compare, store: HistoryStore, theme: str, language: str, size: tuple[int, int]
) -> None:
    fill(store, NOW)
    assert snap_compare(app_on(store, theme, language), terminal_size=size, run_before=fill_privately)


@pytest.mark.parametrize(("theme", "language", "size"), [("dark", "en", (80, 24)), ("light", "zh", (120, 36))])
def test_the_export_dialog(
    snap_compare: Compare,
    store: HistoryStore,
    monkeypatch: pytest.MonkeyPatch,
    theme: str,
    language: str,
    size: tuple[int, int],
) -> None:
    def free_path(title: str, kind: ExportFormat) -> Path:
        return Path("/home/ada") / file_name(title, kind.suffix)

    monkeypatch.setattr("localchat.ui.screens.export.free_path", free_path)
    fill(store, NOW)
    before = after("alt+down", "alt+x")
    assert snap_compare(app_on(store, theme, language), terminal_size=size, run_before=before)


@pytest.mark.parametrize(("theme", "language", "size"), [("dark", "zh", (80, 24)), ("light", "en", (120, 36))])
def test_the_locked_screen(
    snap_compare: Compare, tmp_path: Path, store: HistoryStore, theme: str, language: str, size: tuple[int, int]
) -> None:
    locked = HistoryStore.locked(tmp_path / "locked.db")
    app = app_on(locked, theme, language)
    assert store.is_saved  # the fixture keeps time zone and animations still
    assert snap_compare(app, terminal_size=size, run_before=settle)
