"""How a text beside its conversation looks. After a change that is meant: `pytest FILE --snapshot-update`, and look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from localchat.config import Config
from localchat.history.store import HistoryStore
from localchat.ui.app import LocalChatApp
from localchat.ui.session import ChatSession
from localchat.ui.widgets.review_panel import ReviewPanel
from tests.ui.conftest import NOW, TINY, FakeShelf
from tests.ui.corrector import WRONG, correcting
from tests.ui.test_snapshots import Compare, settle


@pytest.mark.parametrize(("theme", "size"), [("dark", (120, 28)), ("light", (80, 24))])
def test_deciding_about_changes(
    snap_compare: Compare, store: HistoryStore, tmp_path: Path, theme: str, size: tuple[int, int]
) -> None:
    path = tmp_path / "garden.md"
    path.write_text(WRONG, encoding="utf-8")
    engine = correcting()
    session = ChatSession(engine, store, now=lambda: NOW)
    config = Config(theme=theme, keep_edits="off")
    app = LocalChatApp(engine, store, config, shelf=FakeShelf(TINY), session=session, document=path)

    def is_asked() -> bool:
        panels = list(app.screen.query(ReviewPanel))
        return bool(panels) and panels[0].writing.is_over

    async def before(pilot: Pilot[Any]) -> None:
        await settle(pilot, lambda: session.engine_state.phase == "ready" and app.chat_screen.pane is not None)
        app.chat_screen.action_work_on("proofread")
        await settle(pilot, is_asked)
        await pilot.press("a", "n")
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=before)
