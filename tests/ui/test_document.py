"""A text beside the conversation about it: opening, writing, saving, and what survives."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from localchat.config import Config
from localchat.history.store import HistoryStore
from localchat.ui.app import LocalChatApp
from tests.ui.conftest import TINY, FakeShelf, Opener
from tests.ui.corrector import WRONG, TextDesk, correcting, open_text
from tests.ui.fake_engine import FakeEngine


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "花园 garden.md"


async def test_a_text_stands_beside_its_conversation(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path) as desk:
        assert desk.area.text == WRONG
        assert desk.screen.transcript.region.x >= desk.pane.region.right
        await desk.until(lambda: "花园 garden.md" in desk.shown_text())
        assert [chat.title for chat in desk.store.conversations()] == ["花园 garden.md"]


async def test_in_a_narrow_window_they_take_turns(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path, size=(80, 24)) as desk:
        assert desk.area.region.width > 70
        assert not desk.screen.composer.region
        await desk.press("f9")
        await desk.until(lambda: desk.screen.composer.region.width > 60)
        assert desk.screen.composer.has_focus
        assert not desk.area.region
        await desk.press("f9")
        await desk.until(lambda: desk.area.has_focus and desk.area.region.width > 70)
        await desk.press("escape")
        await desk.until(lambda: desk.screen.composer.has_focus)


async def test_the_model_is_told_the_text_as_it_is_now(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path) as desk:
        await desk.press("x", "y", "f9")
        await desk.ask("Who minds?")
        assert f"xy{WRONG}" in desk.engine.asked[-1][0].content
        assert desk.engine.asked[-1][0].role == "system"
        await desk.press("f9", "z", "f9")
        await desk.ask("And now?")
        assert f"xyz{WRONG}" in desk.engine.asked[-1][0].content


async def test_a_chat_without_a_text_is_told_of_none(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path) as desk:
        await desk.press("ctrl+n")
        await desk.until(lambda: desk.screen.pane is None)
        await desk.ask("Hi")
        assert [message.content for message in desk.engine.asked[-1]] == ["Hi"]


async def test_unsaved_work_is_there_again_after_a_crash(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path) as desk:
        await desk.press("新", "x")
        chat_id = desk.session.chat_id
        assert chat_id is not None
        await desk.until(lambda: (kept := desk.store.document(chat_id)) and kept.text.startswith("新x"), "it is kept")
        desk.session.document.keep = lambda: None  # type: ignore[method-assign]  # the window ends without a word
    assert path.read_text(encoding="utf-8") == WRONG
    async with open_desk(correcting(), size=(120, 30)) as plain:
        desk = TextDesk(plain.app, plain.pilot, plain.engine, plain.store, plain.shelf)
        await desk.until(lambda: desk.screen.pane is not None and desk.area.text == f"新x{WRONG}")
        await desk.until(lambda: "Work that was not saved is here again." in desk.shown_text())


KINDS = {
    "a mark and mixed line ends": codecs.BOM_UTF8 + WRONG.replace("\n", "\r\n", 2).encode(),
    "gb18030, crlf, no final line end": (WRONG * 3).rstrip("\n").replace("\n", "\r\n").encode("gb18030"),
    "utf-16": codecs.BOM_UTF16_LE + WRONG.encode("utf-16-le"),
    "control characters": WRONG.replace("quiet", "qu\x1b[31miet").encode(),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_file_keeps_its_kind_where_it_was_not_edited(open_desk: Opener, path: Path, kind: str) -> None:
    data = KINDS[kind]
    async with open_text(open_desk, path, data) as desk:
        await desk.press("ctrl+s")
        await desk.until(lambda: any("is as it was" in notice for notice in desk.notices()))
        assert path.read_bytes() == data
        mark = next((mark for mark in (codecs.BOM_UTF8, codecs.BOM_UTF16_LE) if data.startswith(mark)), b"")
        added = "x".encode("utf-16-le") if kind == "utf-16" else b"x"
        await desk.press("x", "ctrl+s")
        await desk.until(lambda: path.read_bytes() != data, "it is saved")
        assert path.read_bytes() == mark + added + data[len(mark) :]
        await desk.until(lambda: "not saved" not in desk.shown_text())


async def test_a_character_that_the_encoding_lacks_is_named_and_the_work_stays(open_desk: Opener, path: Path) -> None:
    data = "The “secnd” line – caf\xe9.\n".encode("cp1252")
    async with open_text(open_desk, path, data) as desk:
        await desk.press("中", "ctrl+s")
        await desk.until(lambda: any("“中”" in notice for notice in desk.notices()))
        assert path.read_bytes() == data
        assert desk.area.text.startswith("中")


async def test_a_text_that_is_not_there_yet_is_made_when_it_is_saved(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path) as desk:
        new = path.with_name("new.txt")
        await desk.run(f"/doc {new}")
        await desk.until(lambda: desk.pane.document is not None and desk.pane.document.path == new)
        await desk.until(lambda: desk.area.has_focus)
        await desk.press("你", "好", "ctrl+s")
        await desk.until(new.exists)
        assert new.read_bytes() == "你好".encode()


async def test_opening_a_file_again_goes_back_to_its_conversation(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path) as desk:
        await desk.press("f9")
        await desk.ask("Who minds?")
        chat_id = desk.session.chat_id
        await desk.press("ctrl+n")
        await desk.until(lambda: desk.screen.pane is None)
        await desk.open(path)
        assert desk.session.chat_id == chat_id
        assert [message.text for message in desk.session.messages()] == ["Who minds?", "Nobody minds."]


async def test_another_chat_has_its_own_text_or_none(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path) as desk:
        other = path.with_name("other.txt")
        other.write_text("Another text.", encoding="utf-8")
        await desk.press("x")
        await desk.run(f"/doc {other}")
        await desk.until(lambda: desk.area.text == "Another text.")
        await desk.press("alt+down")
        await desk.until(lambda: desk.screen.pane is not None and desk.area.text == f"x{WRONG}")


async def test_what_is_no_text_is_not_opened(open_desk: Opener, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(bytes(range(256)) * 40)
    async with open_desk(correcting()) as plain:
        desk = TextDesk(plain.app, plain.pilot, plain.engine, plain.store, plain.shelf)
        for name in ("folder.txt", "photo.png"):
            await desk.run(f"/doc {tmp_path / ('no/such' if name == 'folder.txt' else '.') / name}")
            await desk.until(lambda n=name: any(n in notice for notice in desk.notices()))  # type: ignore[misc]
        assert desk.screen.pane is None
        assert desk.session.chat_id is None


# ---- changed by somebody else


async def asked_whose(desk: TextDesk, path: Path) -> None:
    path.write_text(THEIRS, encoding="utf-8")
    await desk.press("ctrl+s")
    await desk.asked_to_choose()


OURS = "Our first line.\nThe last line.\n"
THEIRS = "Their first line.\nThe last line.\n"


async def test_a_file_that_somebody_else_changed_is_never_written_over_unasked(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path, OURS) as desk:
        await desk.press("x")
        for keys, saved, shown in (
            (["escape"], THEIRS, f"x{OURS}"),
            (["down", "enter"], f"x{OURS}", f"x{OURS}"),
            (["down", "down", "enter"], THEIRS, THEIRS),
        ):
            await asked_whose(desk, path)
            await desk.press(*keys)
            await desk.until(lambda: desk.app.screen is desk.screen)
            await desk.until(lambda s=shown: desk.area.text == s)  # type: ignore[misc]
            await desk.until(lambda s=saved: path.read_text(encoding="utf-8") == s)  # type: ignore[misc]


async def test_the_differences_to_a_changed_file_can_be_taken_one_by_one(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path, OURS) as desk:
        await desk.press("end", "!")
        await asked_whose(desk, path)
        await desk.press("enter")
        await desk.until(desk.is_asked)
        assert [(change.old, change.new) for change in desk.review.review.changes] == [("Our", "Their"), ("!", "")]
        await desk.press("a", "r", "s")
        await desk.until(lambda: path.read_text(encoding="utf-8") == "Their first line.!\nThe last line.\n")


async def test_closing_asks_about_what_is_not_saved(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path) as desk:
        await desk.press("x")
        await desk.run("/close")
        await desk.asked_to_choose()
        await desk.press("escape")
        await desk.until(lambda: desk.app.screen is desk.screen)
        assert desk.area.text == f"x{WRONG}"
        await desk.run("/close")
        await desk.asked_to_choose()
        await desk.press("enter")
        await desk.until(lambda: desk.screen.pane is None)
        assert path.read_text(encoding="utf-8") == f"x{WRONG}"


async def test_a_text_in_a_private_chat_leaves_no_trace(open_desk: Opener, path: Path, home: Path) -> None:
    path.write_text("Nobody may know of the xylophone.", encoding="utf-8")
    async with open_desk(correcting(), size=(120, 30)) as plain:
        desk = TextDesk(plain.app, plain.pilot, plain.engine, plain.store, plain.shelf)
        await desk.press("alt+n")
        await desk.until(lambda: desk.session.is_private)
        await desk.open(path)
        await desk.press("z", "f9")
        await desk.ask("What is it about?")
        assert "xylophone" in desk.engine.asked[-1][0].content
        await desk.press("ctrl+n")
        await desk.until(lambda: desk.screen.pane is None)
    files = [file for file in home.rglob("*") if file.is_file()]
    assert files
    assert not any(b"xylophone" in file.read_bytes() or b"garden.md" in file.read_bytes() for file in files)


async def test_another_language_of_the_interface_leaves_the_text_where_it_is(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path) as desk:
        await desk.press("x")
        await desk.screen.speak_anew()
        await desk.until(lambda: desk.screen.pane is not None and desk.pane.document is not None)
        assert desk.area.text == f"x{WRONG}"
        assert desk.pane.is_attached


async def test_the_app_can_be_started_with_a_text(store: HistoryStore, path: Path) -> None:
    path.write_text(WRONG, encoding="utf-8")
    app = LocalChatApp(correcting(), store, Config(), shelf=FakeShelf(TINY), document=path)
    async with app.run_test(size=(120, 30)) as pilot:
        desk = TextDesk(app, pilot, FakeEngine(), store, FakeShelf())
        await desk.until(lambda: desk.screen.pane is not None and desk.pane.document is not None)
        assert desk.area.text == WRONG
        await desk.until(lambda: desk.area.has_focus)
