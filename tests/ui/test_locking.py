"""An encrypted history in the app: asked for at the start, locked by hand and when nobody is there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from textual.widgets import Input, OptionList, Static

from localchat.config import Config
from localchat.history.recrypt import recrypt
from localchat.history.store import HistoryStore
from localchat.ui.app import open_history
from localchat.ui.screens.unlock import UnlockScreen
from tests.ui.conftest import NOW, Desk, Opener
from tests.ui.fake_engine import FakeEngine, Script

pytest.importorskip("sqlcipher3")

PASSPHRASE = "correct 马 battery"


@pytest.fixture
def locked(store: HistoryStore) -> Iterator[HistoryStore]:
    """The history with one chat in it, encrypted and locked."""
    chat = store.create_conversation(title="Reading notes")
    store.add_message(chat.id, None, "user", "A hidden question")
    path = store.path
    assert path is not None
    store.close()
    recrypt(path, None, PASSPHRASE)
    history = HistoryStore.locked(path, now=lambda: NOW)
    yield history
    history.close()


async def unlock(desk: Desk, passphrase: str = PASSPHRASE) -> None:
    desk.app.screen.query_one(Input).value = passphrase
    await desk.pilot.press("enter")


def everything_shown(desk: Desk) -> str:
    widgets = [widget for screen in desk.app.screen_stack for widget in screen.query("*")]
    lists = [widget for widget in widgets if isinstance(widget, OptionList)]
    parts = [str(widget.render()) for widget in widgets if widget not in lists]
    return " ".join([*parts, *(str(option.prompt) for entries in lists for option in entries.options)])


async def test_the_passphrase_is_asked_for_at_the_start_and_a_wrong_one_gets_one_sentence(
    open_desk: Opener, locked: HistoryStore
) -> None:
    async with open_desk(store=locked, size=(120, 40)) as desk:
        assert isinstance(desk.app.screen, UnlockScreen)
        await unlock(desk, "wrong")
        answer = desk.app.screen.query_one("#answer", Static)
        await desk.until(lambda: "not the passphrase" in str(answer.render()))
        assert locked.is_locked
        await unlock(desk)
        await desk.until(lambda: desk.app.screen is desk.screen)
        await desk.until(lambda: [chat.title for chat in locked.everything()] == ["Reading notes"])
        await desk.until(lambda: "Reading notes" in everything_shown(desk))


async def test_alt_l_covers_everything_and_forgets_the_key(open_desk: Opener, locked: HistoryStore) -> None:
    async with open_desk(store=locked, size=(120, 40)) as desk:
        await unlock(desk)
        await desk.until(lambda: desk.app.screen is desk.screen)
        await desk.pilot.press("alt+down")
        await desk.until(lambda: "hidden question" in everything_shown(desk))
        assert "Reading notes" in everything_shown(desk)
        await desk.write("half a thought")
        await desk.pilot.press("alt+l")
        await desk.until(lambda: locked.is_locked and not desk.screen.transcript.shown)
        assert isinstance(desk.app.screen, UnlockScreen)
        assert "hidden" not in everything_shown(desk)
        assert "Reading notes" not in everything_shown(desk)
        assert "half a thought" not in desk.screen.composer.text
        await unlock(desk)
        await desk.until(lambda: [m.text for m in desk.screen.transcript.shown] == ["A hidden question"])
        assert desk.screen.composer.text == "half a thought"


async def test_the_answer_in_progress_is_finished_before_the_history_closes(
    open_desk: Opener, locked: HistoryStore
) -> None:
    gate = asyncio.Event()
    engine = FakeEngine(Script(["One", " and two."], hold={1: gate}))
    async with open_desk(engine, store=locked, size=(120, 40)) as desk:
        await unlock(desk)
        await desk.until(lambda: desk.app.screen is desk.screen)
        await desk.write("Hi")
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.session.engine_state.phase == "writing")
        chat_id = desk.session.chat_id
        await desk.pilot.press("alt+l")
        await desk.until(lambda: isinstance(desk.app.screen, UnlockScreen))
        assert not locked.is_locked
        gate.set()
        await desk.until(lambda: locked.is_locked)
        locked.unlock(PASSPHRASE)
        assert chat_id is not None
        assert (locked.branch(chat_id)[-1].content, locked.branch(chat_id)[-1].status) == ("One and two.", "complete")


async def test_unlocking_before_the_history_closed_needs_the_passphrase_too(
    open_desk: Opener, locked: HistoryStore
) -> None:
    gate = asyncio.Event()
    async with open_desk(FakeEngine(Script(["One"], hold={0: gate})), store=locked, size=(120, 40)) as desk:
        await unlock(desk)
        await desk.until(lambda: desk.app.screen is desk.screen)
        await desk.write("Hi")
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.session.engine_state.phase == "reading")
        await desk.pilot.press("alt+l")
        await desk.until(lambda: isinstance(desk.app.screen, UnlockScreen))
        await unlock(desk, "wrong")
        answer = desk.app.screen.query_one("#answer", Static)
        await desk.until(lambda: "not the passphrase" in str(answer.render()))
        await unlock(desk)
        await desk.until(lambda: desk.app.screen is desk.screen)
        gate.set()
        await desk.until(lambda: desk.idle)
        assert not locked.is_locked


async def test_it_locks_by_itself_when_nobody_touches_anything(
    open_desk: Opener, locked: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(store=locked, size=(120, 40), config=Config(lock_after=10)) as desk:
        await unlock(desk)
        await desk.until(lambda: desk.app.screen is desk.screen)
        began = monotonic()
        monkeypatch.setattr("localchat.ui.app_locking.monotonic", lambda: began + 9 * 60)
        desk.app.lock_if_idle()
        assert not desk.app.is_covered
        await desk.pilot.press("a")
        monkeypatch.setattr("localchat.ui.app_locking.monotonic", lambda: began + 18 * 60)
        desk.app.lock_if_idle()
        assert not desk.app.is_covered
        monkeypatch.setattr("localchat.ui.app_locking.monotonic", lambda: began + 20 * 60)
        desk.app.lock_if_idle()
        await desk.until(lambda: locked.is_locked)
        assert isinstance(desk.app.screen, UnlockScreen)


async def test_one_can_leave_while_it_is_locked(open_desk: Opener, locked: HistoryStore) -> None:
    async with open_desk(store=locked) as desk:
        await desk.pilot.press("ctrl+q")
        await desk.until(lambda: not desk.app.is_running)


async def test_a_plain_history_says_how_to_encrypt_it(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.pilot.press("alt+l")
        await desk.until(lambda: any("history encrypt" in notice for notice in desk.notices()))
        assert not desk.app.is_covered


def test_a_history_that_cannot_be_read_for_want_of_the_package_says_so(
    locked: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sqlcipher3", None)
    monkeypatch.delitem(__import__("sys").modules, "sqlcipher3.dbapi2", raising=False)
    history, trouble = open_history(Path(str(locked.path)))
    assert not history.is_saved
    assert "localchat[encryption]" in trouble
