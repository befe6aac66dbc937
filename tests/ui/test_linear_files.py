"""Files in plain lines: given with a question, taken out again; chats written into files and read from them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from localchat.config import Config
from localchat.history.store import HistoryStore
from tests.ui.fake_engine import INFO, FakeEngine
from tests.ui.test_linear import talk


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the program was started in."""
    place = tmp_path / "work"
    place.mkdir()
    (place / "notes.md").write_text("The sea is blue.", encoding="utf-8")
    (place / "年 报.txt").write_bytes("今年很好。".encode("gb18030"))
    (place / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    monkeypatch.chdir(place)
    return place


@pytest.mark.usefixtures("folder")
async def test_attached_files_reach_the_model_before_the_question_and_once(store: HistoryStore) -> None:
    engine = FakeEngine()
    said = await talk(
        store, "Hi", "/attach notes.md", '/attach "年 报.txt"', "/attach", "What do they say?", "And?", engine=engine
    )
    cost = len('<file name="notes.md">\nThe sea is blue.\n</file>')
    assert f"“notes.md” ({cost} tokens) goes with your next question." in said
    assert "With your next question go “notes.md” (" in said
    given = [messages[-1].content for messages in engine.asked]
    assert given[0] == "Hi"
    assert given[1].startswith('<file name="notes.md">\nThe sea is blue.\n</file>')
    assert "今年很好。" in given[1]
    assert given[1].endswith("What do they say?")
    assert given[2] == "And?"
    question = store.branch(store.conversations()[0].id)[2]
    assert [each["name"] for each in question.attachments] == ["notes.md", "年 报.txt"]


async def test_a_path_that_is_dropped_on_the_terminal_is_attached(store: HistoryStore, folder: Path) -> None:
    engine = FakeEngine()
    said = await talk(store, f"'{folder}/年 报.txt'", f"{folder}/notes.md", "Both?", engine=engine)
    assert said.count("goes with your next question.") == 2
    assert [messages[-1].content.count("</file>") for messages in engine.asked] == [2]


@pytest.mark.usefixtures("folder")
async def test_a_file_that_cannot_be_read_is_named_and_nothing_waits(store: HistoryStore) -> None:
    engine = FakeEngine()
    said = await talk(store, "/attach nowhere.md", "/attach picture.png", "/attach .", "/attach", "Hi", engine=engine)
    assert "! There is no file “nowhere.md”." in said
    assert "! “picture.png” is not a text" in said
    assert "is a folder" in said
    assert "Write the path of a file after /attach." in said
    assert engine.asked[0][-1].content == "Hi"


@pytest.mark.usefixtures("folder")
async def test_files_are_taken_out_by_name_or_all_of_them(store: HistoryStore) -> None:
    engine = FakeEngine()
    lines = ("/attach notes.md", "/attach 年 报.txt", "/detach other", "/detach notes.md", "One", "/attach notes.md")
    said = await talk(store, *lines, "/detach", "/detach", "None", engine=engine)
    assert "There is no such file." in said
    assert said.count("“notes.md” was taken out again.") == 2
    assert "No file waits for your next question." in said
    assert "年 报.txt" in engine.asked[0][-1].content
    assert "notes.md" not in engine.asked[0][-1].content
    assert engine.asked[1][-1].content == "None"


@pytest.mark.usefixtures("folder")
async def test_an_empty_line_does_not_leave_while_a_file_waits(store: HistoryStore) -> None:
    engine = FakeEngine()
    said = await talk(store, "/attach notes.md", "", "What is it?", "", "never read", engine=engine)
    assert "Write what is to be done with the file, or /detach." in said
    assert len(engine.asked) == 1


@pytest.mark.usefixtures("folder")
async def test_files_that_wait_are_said_when_their_chat_is_opened_and_read_out_after_that(store: HistoryStore) -> None:
    await talk(store, "Hi", "/attach notes.md")
    said = await talk(store, "/chats", "/open 1", "What is it?", "/read")
    assert "“Hi” is open.\nWith your next question goes “notes.md”" in said
    assert "You: (with notes.md) What is it?\n" in said


@pytest.mark.usefixtures("folder")
async def test_a_file_in_a_private_chat_is_not_kept(store: HistoryStore) -> None:
    engine = FakeEngine()
    await talk(store, "/private", "/attach notes.md", "What is it?", engine=engine)
    assert "The sea is blue." in engine.asked[0][-1].content
    assert store.conversations() == []
    assert store.find("sea", 10) == []


async def test_a_chat_is_written_into_a_file_and_an_existing_one_is_kept(store: HistoryStore, folder: Path) -> None:
    (folder / "old.md").write_text("mine", encoding="utf-8")
    lines = ("Plan the week", "/export", "/export html", "/export mine.json", "/export old.md", "/export a.docx")
    said = await talk(store, "/export", *lines, "/export none/a.md")
    assert "There is nothing to export yet." in said
    assert "Hello there." in (folder / "Plan the week.md").read_text(encoding="utf-8")
    assert (folder / "Plan the week.html").exists()
    assert json.loads((folder / "mine.json").read_text(encoding="utf-8"))["format"] == "localchat-history"
    assert f"Written to {folder / 'Plan the week.md'}." in said
    assert "! old.md is there already." in said
    assert "! A file to export to ends in .md, .html or .json." in said
    assert "! There is no folder none." in said
    assert (folder / "old.md").read_text(encoding="utf-8") == "mine"


@pytest.mark.usefixtures("folder")
async def test_a_written_chat_is_read_back_and_then_opened(store: HistoryStore) -> None:
    await talk(store, "写一首诗", "/export chat.json")
    with HistoryStore.in_memory() as other:
        said = await talk(other, "/import", "/import nowhere.json", "/import chat.json", "/chats", "/open 1", "/read")
        assert "Write the path of a file after /import." in said
        assert "! nowhere.json cannot be read" in said
        assert "1. 写一首诗" in said
        assert "You: 写一首诗\n" in said
        assert len(other.conversations()) == 1


async def test_slash_think_is_kept_with_the_chat_and_reaches_its_replies(store: HistoryStore) -> None:
    engine = FakeEngine()
    engine.info = replace(INFO, thinking_switch=True)
    lines = ("/think", "/think off", "Hi", "/think", "/think off", "/think harder", "/new", "Hello", "/think auto")
    said = await talk(store, *lines, engine=engine, config=Config(thinking="on"))
    assert "Thinking is left to the settings and to the model." in said
    assert "In this chat, a model that can be told answers without thinking first." in said  # none is loaded yet
    assert said.count("In this chat, the model answers without thinking first.") == 2
    assert "! After /think comes on, off or auto." in said
    assert [options.think for options in engine.options] == [False, True]


async def test_slash_think_says_that_a_model_cannot_be_told(store: HistoryStore) -> None:
    engine = FakeEngine()
    said = await talk(store, "Hi", "/think on", "Hi again", engine=engine)
    assert "tiny cannot be told whether to think. The choice is kept for models that can." in said
    assert engine.options[-1].think is None
