"""Files given with a question: dropped, pasted, named, shown with their cost, taken out, sent, and kept."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from textual import events

from localchat.history.store import HistoryStore
from localchat.ui.attachments import LONG_PASTE
from localchat.ui.dropped import dropped_paths
from localchat.ui.widgets.file_row import FileRow
from localchat.ui.widgets.message_view import UserMessage
from tests.ui.conftest import Desk, Opener
from tests.ui.fake_engine import FakeEngine, Script


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the program was started in."""
    place = tmp_path / "work"
    (place / "docs").mkdir(parents=True)
    (place / "notes.md").write_text("The sea is blue.")
    (place / "my plan.txt").write_text("Buy paper.")
    (place / "报告.txt").write_bytes("今年很好。".encode("gb18030"))
    (place / "docs" / "deep.py").write_text("print(1)")
    monkeypatch.chdir(place)
    return place


def waiting(desk: Desk) -> list[str]:
    return [file.name for file in desk.screen.query_one(FileRow).files]


def drop(desk: Desk, text: str) -> None:
    desk.screen.composer.post_message(events.Paste(text))


async def attach(desk: Desk, path: Path) -> None:
    before = len(waiting(desk))
    drop(desk, str(path))
    await desk.until(lambda: len(waiting(desk)) == before + 1 and not desk.screen.is_reading)


# ---- what terminals paste


@pytest.mark.parametrize(
    "written",
    [
        "{}/my plan.txt",
        "'{}/my plan.txt' ",
        '"{}/my plan.txt"',
        "{}/my\\ plan.txt",
        "file://{}/my%20plan.txt",
        "file://{}/my%20plan.txt\r\n",
    ],
)
def test_a_dropped_file_is_found_however_the_terminal_writes_it(folder: Path, written: str) -> None:
    assert dropped_paths(written.format(folder)) == [folder / "my plan.txt"]


def test_several_dropped_files_are_found_side_by_side_and_line_by_line(folder: Path) -> None:
    both = [folder / "my plan.txt", folder / "报告.txt"]
    assert dropped_paths(f"'{both[0]}' '{both[1]}'") == both
    assert dropped_paths(f"{both[0]}\n{both[1]}\n") == both


def test_words_and_paths_that_do_not_exist_are_text(folder: Path) -> None:
    for text in ("hello", f"{folder}/gone.txt", f"look at {folder}/notes.md", "notes.md", f"{folder}", "", "'/x"):
        assert dropped_paths(text) == []


# ---- attaching


async def test_a_dropped_file_waits_with_its_cost_and_reaches_the_model_before_the_question(
    open_desk: Opener, folder: Path
) -> None:
    async with open_desk() as desk:
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        await attach(desk, folder / "notes.md")
        assert desk.screen.composer.text == ""
        await desk.until(lambda: desk.screen.query_one(FileRow).files[0].tokens)
        await desk.ask("What colour?")
        assert desk.engine.asked[-1][-1].content == '<file name="notes.md">\nThe sea is blue.\n</file>\n\nWhat colour?'
        assert waiting(desk) == []
        shown = desk.screen.query_one(UserMessage)
        assert shown.message.text == "What colour?"
        assert shown.message.files == ("notes.md",)
        assert "notes.md" in str(shown.query_one(".files").render())


async def test_a_file_without_a_question_waits_for_one(open_desk: Opener, folder: Path) -> None:
    async with open_desk() as desk:
        await attach(desk, folder / "notes.md")
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.notices())
        assert "what is to be done" in desk.notices()[0]
        assert waiting(desk) == ["notes.md"]
        assert desk.session.messages() == []


async def test_the_next_question_does_not_carry_the_file_again_but_the_model_still_sees_it(
    open_desk: Opener, folder: Path
) -> None:
    async with open_desk() as desk:
        await attach(desk, folder / "notes.md")
        await desk.ask("What colour?")
        await desk.ask("And now?")
        assert "blue" in desk.engine.asked[-1][0].content
        assert desk.engine.asked[-1][-1].content == "And now?"


@pytest.mark.usefixtures("folder")
async def test_the_attach_key_lists_files_and_enter_walks_to_one(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.write("See ")
        await desk.pilot.press("f6", "d", "o", "enter")
        await desk.until(lambda: desk.screen.composer.text == "See @docs/")
        await desk.pilot.press("enter")
        await desk.until(lambda: waiting(desk) == ["deep.py"])
        assert desk.screen.composer.text == "See "


@pytest.mark.usefixtures("folder")
async def test_escape_takes_the_attach_sign_away_again(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.pilot.press("f6")
        await desk.until(lambda: desk.screen.composer.text == "@")
        await desk.pilot.press("escape")
        await desk.until(lambda: desk.screen.composer.text == "")


@pytest.mark.usefixtures("folder")
async def test_an_at_sign_inside_a_word_or_without_a_file_is_only_text(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.pilot.press(*"a@notes", "space", "@", *"zzz", "enter")
        await desk.until(lambda: desk.idle)
        assert desk.session.messages()[0].text == "a@notes @zzz"
        assert desk.session.messages()[0].files == ()


@pytest.mark.usefixtures("folder")
async def test_slash_attach_takes_a_path(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.write("/attach my plan.txt")
        await desk.pilot.press("enter")
        await desk.until(lambda: waiting(desk) == ["my plan.txt"])
        assert desk.screen.composer.text == ""


async def test_backspace_before_the_text_goes_to_the_files_and_delete_takes_them_out(
    open_desk: Opener, folder: Path
) -> None:
    async with open_desk() as desk:
        await attach(desk, folder / "notes.md")
        await attach(desk, folder / "报告.txt")
        await desk.pilot.press("backspace", "left", "delete")
        await desk.until(lambda: waiting(desk) == ["报告.txt"])
        await desk.pilot.press("delete")
        await desk.until(lambda: waiting(desk) == [])
        await desk.pilot.press("x")
        await desk.until(lambda: desk.screen.composer.text == "x")


async def test_the_cross_of_a_file_takes_it_out(open_desk: Opener, folder: Path) -> None:
    async with open_desk() as desk:
        await attach(desk, folder / "notes.md")
        row = desk.screen.query_one(FileRow)
        await desk.until(lambda: row.files[0].tokens)
        place = str(row.render()).index("×")
        await desk.pilot.click(row, offset=(row.gutter.left + place, row.gutter.top))
        await desk.until(lambda: waiting(desk) == [])


async def test_a_file_that_cannot_be_read_is_named_and_the_draft_stays(open_desk: Opener, folder: Path) -> None:
    (folder / "picture.png").write_bytes(bytes(range(256)) * 10)
    async with open_desk() as desk:
        await desk.write("half a thou")
        drop(desk, str(folder / "picture.png"))
        await desk.until(lambda: desk.notices())
        assert "picture.png" in desk.notices()[0]
        assert waiting(desk) == []
        assert desk.screen.composer.text == "half a thou"


async def test_a_question_is_not_sent_without_the_file_that_is_still_being_read(
    open_desk: Opener, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from localchat.documents import reading

    gate, read = asyncio.Event(), reading.read_document
    loop = asyncio.get_running_loop()

    def slow(path: Path) -> object:
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
        return read(path)

    monkeypatch.setattr(reading, "read_document", slow)
    async with open_desk() as desk:
        drop(desk, str(folder / "notes.md"))
        await desk.until(lambda: desk.screen.is_reading)
        await desk.write("What colour?")
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.notices())
        assert desk.session.messages() == []
        gate.set()
        await desk.until(lambda: waiting(desk) == ["notes.md"])
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.idle)
        assert desk.session.messages()[0].files == ("notes.md",)


async def test_the_program_ends_at_once_while_a_file_is_still_being_read(
    open_desk: Opener, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from localchat.documents import reading

    endless = threading.Event()
    monkeypatch.setattr(reading, "read_document", lambda _path: endless.wait())
    async with open_desk() as desk:
        drop(desk, str(folder / "notes.md"))
        await desk.until(lambda: desk.screen.is_reading)
    readers = [thread for thread in threading.enumerate() if thread.name == "localchat-background"]
    assert readers
    assert all(thread.daemon for thread in readers)
    endless.set()


# ---- long pastes


async def test_a_long_paste_waits_as_a_file_and_undo_writes_it_into_the_question(open_desk: Opener) -> None:
    async with open_desk() as desk:
        long = "很长的一行。\n" * (LONG_PASTE // 7 + 1)
        drop(desk, long)
        await desk.until(lambda: waiting(desk) == ["Pasted text"])
        drop(desk, long)
        await desk.until(lambda: waiting(desk) == ["Pasted text", "Pasted text 2"])
        await desk.pilot.press("ctrl+z")
        await desk.until(lambda: desk.screen.composer.text == long)
        assert waiting(desk) == ["Pasted text"]


async def test_undo_after_a_drop_writes_the_path(open_desk: Opener, folder: Path) -> None:
    async with open_desk() as desk:
        await attach(desk, folder / "notes.md")
        await desk.pilot.press("ctrl+z")
        await desk.until(lambda: desk.screen.composer.text == str(folder / "notes.md"))
        assert waiting(desk) == []


async def test_undo_while_a_dropped_file_is_still_being_read_takes_none_but_that_away(
    open_desk: Opener, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from localchat.documents import reading

    async with open_desk() as desk:
        await attach(desk, folder / "notes.md")
        gate, read = threading.Event(), reading.read_document
        monkeypatch.setattr(reading, "read_document", lambda path: (gate.wait(), read(path))[1])
        drop(desk, str(folder / "报告.txt"))
        await desk.until(lambda: desk.screen.is_reading)
        await desk.pilot.press("ctrl+z")
        await desk.until(lambda: desk.screen.composer.text == str(folder / "报告.txt"))
        gate.set()
        await desk.until(lambda: "localchat-background" not in {thread.name for thread in threading.enumerate()})
        await desk.pilot.pause()
        assert waiting(desk) == ["notes.md"]
        assert not desk.screen.is_reading


async def test_what_is_dropped_while_a_message_has_the_focus_goes_to_the_composer(
    open_desk: Opener, folder: Path
) -> None:
    async with open_desk() as desk:
        await desk.ask("Hi")
        desk.replies[0].focus()
        await desk.until(lambda: desk.replies[0].has_focus)
        desk.replies[0].post_message(events.Paste(str(folder / "notes.md")))
        await desk.until(lambda: waiting(desk) == ["notes.md"])
        assert desk.screen.composer.has_focus


async def test_undo_after_more_was_typed_leaves_the_file(open_desk: Opener, folder: Path) -> None:
    async with open_desk() as desk:
        await attach(desk, folder / "notes.md")
        await desk.pilot.press("x", "ctrl+z")
        await desk.until(lambda: desk.screen.composer.text == "")
        assert waiting(desk) == ["notes.md"]


# ---- keeping


async def test_waiting_files_stay_with_their_chat_and_outlive_the_program(
    open_desk: Opener, folder: Path, store: HistoryStore
) -> None:
    async with open_desk() as desk:
        await desk.ask("First")
        first = desk.session.chat_id
        await attach(desk, folder / "notes.md")
        await desk.pilot.press("ctrl+n")
        await desk.until(lambda: desk.session.chat_id is None)
        assert waiting(desk) == []
        await desk.pilot.press("alt+down")
        await desk.until(lambda: waiting(desk) == ["notes.md"])
    (folder / "notes.md").unlink()
    async with open_desk(FakeEngine(Script(["Blue."]))) as desk:
        await desk.screen.open_chat(first)
        assert waiting(desk) == ["notes.md"]
        await desk.ask("What colour?")
        assert "The sea is blue." in desk.engine.asked[-1][-1].content
    assert store.draft_files(first or "") == []


async def test_a_file_on_an_empty_page_is_there_again_after_a_restart(open_desk: Opener, folder: Path) -> None:
    async with open_desk() as desk:
        await attach(desk, folder / "notes.md")
    async with open_desk() as desk:
        assert waiting(desk) == ["notes.md"]


async def test_a_file_can_be_added_to_an_edited_question(open_desk: Opener, folder: Path) -> None:
    async with open_desk() as desk:
        await desk.ask("What colour?")
        await desk.pilot.press("alt+e", "space", "f6", *"not", "enter")
        await desk.until(lambda: waiting(desk) == ["notes.md"])
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.idle and len(desk.engine.asked) == 2)
        assert "blue" in desk.engine.asked[-1][-1].content
        assert desk.session.messages()[0].files == ("notes.md",)
        assert (folder / "notes.md").exists()


async def test_an_edited_question_keeps_its_files_unless_they_are_taken_out(open_desk: Opener, folder: Path) -> None:
    async with open_desk() as desk:
        await attach(desk, folder / "notes.md")
        await desk.ask("What colour?")
        await desk.pilot.press("alt+e")
        await desk.until(lambda: waiting(desk) == ["notes.md"])
        await desk.pilot.press("!", "enter")
        await desk.until(lambda: desk.idle and len(desk.engine.asked) == 2)
        assert "blue" in desk.engine.asked[-1][-1].content
        await desk.pilot.press("alt+e", "ctrl+home")
        await desk.pilot.press("shift+tab", "delete")
        await desk.until(lambda: waiting(desk) == [])
        desk.screen.composer.focus()
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.idle and len(desk.engine.asked) == 3)
        assert desk.engine.asked[-1][-1].content == "What colour?!"
        assert desk.session.messages()[0].versions == 3
