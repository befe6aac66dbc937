"""Taking a chat along: the export dialog, /export, and the clipboard, with real keys."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from textual.widgets import Input

from localchat.ui.clipboard import CopyTool, copy_tools, copy_with_tool, osc52
from localchat.ui.screens.export import ExportScreen
from tests.history.samples import chatgpt, node
from tests.ui.conftest import Desk, Opener
from tests.ui.fake_engine import FakeEngine, Script


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


async def open_export(desk: Desk) -> None:
    await desk.pilot.press("alt+x")
    await desk.until(lambda: isinstance(desk.app.screen, ExportScreen))


async def test_alt_x_writes_the_chat_as_markdown_under_its_title(open_desk: Opener, folder: Path) -> None:
    async with open_desk(FakeEngine(Script(["床前**明月**光"]))) as desk:
        await desk.ask("诗词赏析：静夜思？")
        await open_export(desk)
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.app.screen is desk.screen)
        assert [path.name for path in folder.iterdir()] == ["诗词赏析：静夜思？.md"]
        text = next(folder.iterdir()).read_text(encoding="utf-8")
        assert "诗词赏析：静夜思？\n" in text
        assert "床前**明月**光\n" in text
        assert any("诗词赏析" in notice for notice in desk.notices())


async def test_the_arrows_choose_the_format_and_the_name_follows(open_desk: Opener, folder: Path) -> None:
    async with open_desk() as desk:
        await desk.ask("Hi")
        await open_export(desk)
        field = desk.app.screen.query_one(Input)
        assert field.value == str(folder / "Hi.md")
        await desk.pilot.press("down")
        await desk.until(lambda: field.value == str(folder / "Hi.html"))
        await desk.pilot.press("down")
        await desk.until(lambda: field.value == str(folder / "Hi.json"))
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.app.screen is desk.screen)
        document = json.loads((folder / "Hi.json").read_text(encoding="utf-8"))
        assert [message["content"] for message in document["conversations"][0]["messages"]] == ["Hi", "Hello there."]


async def test_a_file_that_is_there_is_replaced_only_when_asked_twice(open_desk: Opener, folder: Path) -> None:
    (folder / "mine.md").write_text("keep me", encoding="utf-8")
    async with open_desk() as desk:
        await desk.ask("Hi")
        await open_export(desk)
        await desk.pilot.press("tab")
        desk.app.screen.query_one(Input).value = str(folder / "mine.md")
        await desk.pilot.press("enter")
        assert (folder / "mine.md").read_text(encoding="utf-8") == "keep me"
        assert "once more" in str(desk.app.screen.query_one(".answer").render())
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.app.screen is desk.screen)
        assert (folder / "mine.md").read_text(encoding="utf-8").startswith("# Hi\n")


async def test_a_folder_that_is_not_there_is_said_and_the_dialog_stays(open_desk: Opener, folder: Path) -> None:
    async with open_desk() as desk:
        await desk.ask("Hi")
        await open_export(desk)
        await desk.pilot.press("tab")
        desk.app.screen.query_one(Input).value = str(folder / "nowhere" / "x.md")
        await desk.pilot.press("enter")
        assert "nowhere" in str(desk.app.screen.query_one(".answer").render())
        await desk.pilot.press("escape")
        await desk.until(lambda: desk.app.screen is desk.screen)


@pytest.mark.parametrize(("argument", "name"), [("notes.html", "notes.html"), ("json", "Hi.json")])
async def test_slash_export_takes_a_file_or_a_format(open_desk: Opener, folder: Path, argument: str, name: str) -> None:
    async with open_desk() as desk:
        await desk.ask("Hi")
        await desk.write(f"/export {argument}")
        await desk.pilot.press("enter")
        await desk.until(lambda: (folder / name).exists())


async def test_nothing_is_exported_of_an_empty_page(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.pilot.press("alt+x")
        await desk.until(lambda: any("nothing to export" in notice for notice in desk.notices()))
        assert desk.app.screen is desk.screen


async def test_slash_import_adds_conversations_to_the_list(open_desk: Opener, folder: Path) -> None:
    tree = chatgpt(node("q", None, "user", "From elsewhere", at=1.0), title="菠萝 from elsewhere")
    (folder / "conversations.json").write_text(json.dumps([tree]), encoding="utf-8")
    async with open_desk(size=(120, 40)) as desk:
        await desk.write("/import conversations.json")
        await desk.pilot.press("enter")
        await desk.until(lambda: any("1 conversation was added" in notice for notice in desk.notices()))
        await desk.until(lambda: desk.session.listing.groups() != [])
        assert [chat.title for group in desk.session.listing.groups() for chat in group.chats] == [
            "菠萝 from elsewhere"
        ]
        await desk.write("/import nowhere.json")
        await desk.pilot.press("enter")
        await desk.until(lambda: any("nowhere.json cannot be read" in notice for notice in desk.notices()))


# ---- the clipboard


def tool(folder: Path, name: str, script: str) -> Path:
    """A program of this name that is found first."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return program


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs, the only ones beside those of the system."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}/usr/bin{os.pathsep}/bin")
    for name in ("WAYLAND_DISPLAY", "DISPLAY", "TMUX", "WSL_DISTRO_NAME", "TERMUX_VERSION"):
        monkeypatch.delenv(name, raising=False)
    return place


async def test_copying_says_which_tool_took_it(
    open_desk: Opener, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    tool(programs, "wl-copy", f"cat > {programs}/taken")
    async with open_desk(FakeEngine(Script(["床前明月光"]))) as desk:
        await desk.ask("Hi")
        await desk.pilot.press("ctrl+y")
        await desk.until(lambda: any("wl-copy" in notice for notice in desk.notices()))
        assert (programs / "taken").read_text(encoding="utf-8") == "床前明月光"
        assert desk.app.clipboard == "床前明月光"


async def test_without_a_tool_the_terminal_is_named(open_desk: Opener, programs: Path) -> None:  # noqa: ARG001
    async with open_desk() as desk:
        await desk.ask("Hi")
        await desk.pilot.press("ctrl+y")
        await desk.until(lambda: any("OSC 52" in notice for notice in desk.notices()))


@pytest.mark.skipif(os.name == "nt", reason="the tools are shell scripts")
async def test_a_tool_that_fails_gives_way_to_the_next(programs: Path) -> None:
    tool(programs, "wl-copy", "exit 1")
    tool(programs, "xclip", f"cat > {programs}/taken")
    tools = copy_tools({"WAYLAND_DISPLAY": "w", "DISPLAY": ":0"}, "linux")
    assert [tool.name for tool in tools][:2] == ["wl-copy", "xclip"]
    assert await copy_with_tool("text", tools) == "xclip"
    assert (programs / "taken").read_text(encoding="utf-8") == "text"


async def test_a_tool_that_is_not_there_is_no_error() -> None:
    assert await copy_with_tool("text", [CopyTool(("no-such-program-anywhere",))]) == ""


def test_the_terminal_is_asked_as_it_wants_to_be_asked() -> None:
    assert osc52("é", {"TERM": "xterm-256color"}) == "\x1b]52;c;w6k=\x07"
    wrapped = osc52("x" * 3000, {"TERM": "screen"})
    assert wrapped.startswith("\x1bP\x1b]52;c;")
    assert all(len(piece) <= 768 for piece in wrapped.split("\x1b\\"))
