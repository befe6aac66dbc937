"""Slash commands: the list above the composer, completing, running, and what is no command."""

from __future__ import annotations

from pathlib import Path

import pytest

from localchat.ui.actions import ACTIONS
from localchat.ui.slash import COMMANDS, parse
from localchat.ui.slash_paths import path_completions
from localchat.ui.widgets.completions import Completions
from tests.ui.conftest import LARGER, TINY, Desk, FakeShelf, Opener


def listed(desk: Desk) -> list[str]:
    offer = desk.screen.query_one(Completions).offer
    return [completion.label for completion in offer.completions] if offer is not None else []


async def test_a_slash_lists_every_command_and_letters_narrow_the_list(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.pilot.press("slash")
        await desk.until(lambda: len(listed(desk)) == len(COMMANDS))
        await desk.pilot.press("h", "e")
        await desk.until(lambda: listed(desk)[0] == "/help")
        assert all("he" in label for label in listed(desk))


async def test_enter_runs_the_command_that_is_chosen_in_the_list(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.pilot.press("slash", "h", "e", "l", "enter")
        await desk.until(lambda: desk.app.screen is not desk.screen)
        assert type(desk.app.screen).__name__ == "HelpScreen"
        assert desk.screen.composer.text == ""
        assert desk.session.messages() == []


async def test_keys_pressed_faster_than_the_list_appears_run_the_same_command(open_desk: Opener) -> None:
    async with open_desk() as desk:
        composer = desk.screen.composer
        for key in ("slash", "n", "e", "enter"):  # without waiting for anything in between
            desk.app.simulate_key(key)
        await desk.until(lambda: composer.text == "")
        assert desk.session.messages() == []


async def test_the_arrows_choose_another_one_and_go_round(open_desk: Opener) -> None:
    async with open_desk() as desk:
        completions = desk.screen.query_one(Completions)
        await desk.pilot.press("slash", "up")
        await desk.until(lambda: completions.chosen is not None and completions.chosen.label == listed(desk)[-1])
        await desk.pilot.press("down", "down")
        await desk.until(lambda: completions.chosen is not None and completions.chosen.label == listed(desk)[1])


async def test_tab_completes_and_escape_closes_until_the_word_is_another(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.pilot.press("slash", "m", "o", "tab")
        await desk.until(lambda: desk.screen.composer.text == "/model ")
        assert listed(desk) == ["tiny"]
        await desk.pilot.press("escape")
        await desk.until(lambda: listed(desk) == [])
        await desk.pilot.press("ctrl+u", "slash")
        await desk.until(lambda: "/new" in listed(desk))
        assert desk.screen.composer.has_focus


async def test_slash_model_loads_the_model_of_that_name(open_desk: Opener) -> None:
    other = LARGER.__class__(**{**{f: getattr(LARGER, f) for f in LARGER.__slots__}, "path": Path("/nowhere/larger")})
    async with open_desk(shelf=FakeShelf(TINY, other)) as desk:
        await desk.until(lambda: desk.engine.loads)
        await desk.write("/model la")
        await desk.until(lambda: listed(desk) == ["larger"])
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.engine.loads[-1] == "/nowhere/larger")
        assert desk.screen.composer.text == ""


async def test_slash_system_changes_what_the_model_is_told_in_this_chat(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.write("/system 请只用中文回答。")
        await desk.pilot.press("enter")
        await desk.ask("Hi")
        assert [m.content for m in desk.engine.asked[-1]] == ["请只用中文回答。", "Hi"]
        await desk.write("/system")
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.screen.composer.text == "/system 请只用中文回答。")
        desk.screen.composer.clear()
        await desk.write("/system default")
        await desk.pilot.press("enter")
        await desk.ask("Hi again")
        assert desk.engine.asked[-1][0].content == "Hi"


async def test_an_unknown_command_is_named_and_its_text_stays(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.write("/modle tiny")
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.notices())
        assert "/modle" in desk.notices()[0]
        assert desk.screen.composer.text == "/modle tiny"
        assert desk.session.messages() == []


async def test_words_after_a_command_that_takes_none_are_not_lost(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.write("/help me")
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.notices())
        assert desk.screen.composer.text == "/help me"


async def test_a_path_and_a_slash_after_a_space_are_sent_as_they_are(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.ask("/etc/hosts says what?")
        await desk.ask(" /help")
        assert [m.text for m in desk.session.messages()[::2]] == ["/etc/hosts says what?", " /help"]


async def test_a_click_on_a_row_takes_it(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.pilot.press("slash", "s", "y", "s")
        await desk.until(lambda: listed(desk) == ["/system …"])
        await desk.pilot.click(Completions, offset=(4, 0))
        await desk.until(lambda: desk.screen.composer.text == "/system ")
        assert desk.screen.composer.has_focus


async def test_the_list_stands_over_the_transcript_and_moves_nothing(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.ask("Hi")
        before = desk.screen.transcript.region, desk.screen.composer.region
        await desk.pilot.press("slash")
        await desk.until(lambda: listed(desk))
        await desk.pilot.pause()
        completions = desk.screen.query_one(Completions)
        assert (desk.screen.transcript.region, desk.screen.composer.region) == before
        assert completions.region.bottom == desk.screen.composer.region.y
        assert completions.region.height == 9


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/new", ("new", "")),
        ("/system a\nb", ("system", "a\nb")),
        ("/model  qwen ", ("model", "qwen")),
        ("/", None),
        ("/Users/me", None),
        ("/usr/bin", None),
        ("//", None),
        ("say /new", None),
    ],
)
def test_what_is_a_command(text: str, command: tuple[str, str] | None) -> None:
    assert parse(text) == command


def test_no_two_actions_have_the_same_slash_name() -> None:
    names = [action.slash for action in ACTIONS if action.slash]
    assert len(names) == len(set(names))


def test_paths_complete_like_in_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Alpha.txt", "beta.md", ".hidden", "我的文件.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "lion.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    texts = lambda typed: [completion.text for completion in path_completions(typed)]  # noqa: E731
    assert texts("") == ["zoo/", "Alpha.txt", "beta.md", "我的文件.txt"]
    assert texts("al") == ["Alpha.txt"]
    assert texts("我") == ["我的文件.txt"]
    assert texts(".h") == [".hidden"]
    assert texts("zoo/") == ["zoo/lion.txt"]
    assert texts("~/zoo/l") == ["~/zoo/lion.txt"]
    assert texts(f"{tmp_path}/zo") == [f"{tmp_path}/zoo/"]
    assert texts("nowhere/") == []
