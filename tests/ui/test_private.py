"""Private chats: marked, in memory only, and gone when they should be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.ui.conftest import Opener
from tests.ui.fake_engine import FakeEngine, Script

SECRET = "a pineapple called Hortensia"
ANSWER = "Hortensia ripens in silence."


def files_with(home: Path, text: str) -> list[Path]:
    """Every file under the home in which this text stands, in any of the encodings that SQLite and JSON use."""
    needles = [text.encode(), text.encode("utf-16-le"), text.encode("utf-16-be")]
    return [
        path for path in home.rglob("*") if path.is_file() and any(needle in path.read_bytes() for needle in needles)
    ]


async def test_nothing_of_a_private_chat_is_in_any_file_while_it_runs_nor_after(open_desk: Opener, home: Path) -> None:
    engine = FakeEngine(Script(["Sure."]), Script(["Hortensia", " ripens", " in silence."]))
    async with open_desk(engine, size=(120, 40)) as desk:
        await desk.ask("In the open")
        await desk.pilot.press("alt+n")
        await desk.ask(SECRET)
        await desk.write("Hortensia, a draft that is never sent")
        await desk.pilot.press("ctrl+n")  # saves drafts
        await desk.pilot.press("alt+up")
        await desk.until(lambda: desk.session.messages() and desk.session.messages()[-1].text == ANSWER)
        assert files_with(home, "In the open")
        assert not files_with(home, "Hortensia")
    open_desk.store.close()
    assert not files_with(home, "Hortensia")


async def test_a_private_chat_says_what_it_is_and_names_nothing(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40)) as desk:
        await desk.pilot.press("alt+n")
        await desk.ask(SECRET)
        assert desk.screen.has_class("-private")
        assert "Private chat" in str(desk.screen.title_bar.render())
        groups = desk.session.listing.groups()
        assert [(group.heading, [chat.title for chat in group.chats]) for group in groups] == [
            ("Private, not saved", ["Private chat"])
        ]
        assert desk.store.everything() == []
        await desk.pilot.press("ctrl+n")
        assert not desk.screen.has_class("-private")


async def test_one_can_go_and_come_back_while_the_program_runs(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["One."]), Script(["Two."])), size=(120, 40)) as desk:
        await desk.pilot.press("alt+n")
        await desk.ask("First")
        private = desk.session.chat_id
        await desk.pilot.press("ctrl+n")
        await desk.ask("Second")
        await desk.screen.open_chat(private)
        assert [message.text for message in desk.session.messages()] == ["First", "One."]
        await desk.pilot.press("alt+n")
        assert desk.session.chat_id != private
        assert desk.session.messages() == []


async def test_searching_does_not_find_private_chats(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40)) as desk:
        await desk.pilot.press("alt+n")
        await desk.ask(SECRET)
        assert desk.session.listing.found("pineapple") == []


async def test_a_deleted_private_chat_is_gone_for_good_even_while_it_is_answered(open_desk: Opener) -> None:
    gate = asyncio.Event()
    async with open_desk(FakeEngine(Script(["One.", "Two."], hold={1: gate})), size=(120, 40)) as desk:
        await desk.pilot.press("alt+n")
        await desk.write(SECRET)
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.session.messages()[-1].text == "One.")
        await desk.pilot.press("f8")
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        assert desk.session.listing.groups() == []
        assert desk.session.undelete() is None
        assert not any(SECRET in notice for notice in desk.notices())


async def test_the_questions_of_a_private_chat_are_not_offered_elsewhere(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40)) as desk:
        await desk.pilot.press("alt+n")
        await desk.ask(SECRET)
        assert desk.session.prompts() == [SECRET]
        await desk.pilot.press("ctrl+n")
        assert desk.session.prompts() == []


async def test_the_editor_is_not_opened_for_a_private_chat(open_desk: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("localchat.ui.editor.edit_outside", lambda _app, text: opened.append(text))
    async with open_desk(size=(120, 40)) as desk:
        await desk.pilot.press("alt+n")
        await desk.write(SECRET)
        await desk.pilot.press("f4")
        await desk.until(lambda: any("another program" in notice for notice in desk.notices()))
        assert opened == []
