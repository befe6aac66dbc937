"""Keys and themes of the user's own, and how mistakes in them are named."""

from __future__ import annotations

import pytest
from textual.widgets import OptionList, Static

from localchat.config import Config, load_config
from localchat.paths import config_dir, config_file
from localchat.ui.keymap import read_keymap
from localchat.ui.screens.keys import KeysScreen, PressKeyScreen
from localchat.ui.user_themes import read_themes
from tests.ui.conftest import Desk, Opener

pytestmark = pytest.mark.usefixtures("home")


async def close(desk: Desk) -> None:
    await desk.pilot.press("escape")
    await desk.until(lambda: desk.app.screen is desk.screen)


# ---- keys


def own_keys(text: str) -> Config:
    config_file().parent.mkdir(parents=True, exist_ok=True)
    config_file().write_text(f"[keys]\n{text}\n", encoding="utf-8")
    return load_config()


async def test_a_key_of_the_users_own_does_what_the_old_one_did(open_desk: Opener) -> None:
    async with open_desk(config=own_keys('"chat.new" = "ctrl+t,f12"')) as desk:
        await desk.ask("Hi")
        assert "^t New" in str(desk.screen.key_bar.render())
        await desk.pilot.press("ctrl+n")
        assert desk.session.chat_id is not None
        await desk.pilot.press("f12")
        await desk.until(lambda: desk.session.chat_id is None)
        await desk.pilot.press("f1")
        await desk.until(lambda: desk.app.screen is not desk.screen)
        assert "Ctrl+T, F12" in str(desk.app.screen.query_one("VerticalScroll Static", Static).content)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('"chat.nwe" = "ctrl+t"', "keys.chat.nwe in {file}, line 2 is not an action. Did you mean chat.new?"),
        ('"chat.new" = "crtl+t"', "keys.chat.new is 'crtl+t' in {file}, line 2: there is no such key"),
        ('"chat.new" = "ctrl+m"', "keys.chat.new is 'ctrl+m' in {file}, line 2: terminals cannot tell it from Enter."),
        ('"chat.new" = "ctrl+r"', "keys.chat.new is 'ctrl+r', which reply.again has too."),
    ],
)
def test_a_wrong_key_is_named_and_the_action_keeps_its_own(line: str, sentence: str) -> None:
    keymap, troubles = read_keymap(own_keys(line))
    assert keymap == {}
    assert [str(trouble).startswith(sentence.format(file=config_file())) for trouble in troubles] == [True], troubles


@pytest.mark.parametrize(
    ("line", "taken"),
    [
        ('"chat.new" = "ctrl+w"', ["ctrl+w"]),  # deletes a word
        ('"chat.new" = "f12,ctrl+j"', ["ctrl+j"]),  # breaks the line
        ('"chat.new" = "x"', ["x"]),  # writes a letter
        ('"chat.new" = "semicolon"', ["semicolon"]),
        ('"chat.new" = "alt+f9,f12"', []),
        ('"list.pin" = "x"', []),  # in the list nobody writes
        ('"composer.line_break" = "shift+enter"\n"chat.new" = "ctrl+j"', []),  # it was freed
    ],
)
def test_a_key_that_the_composer_uses_is_taken_with_a_warning(line: str, taken: list[str]) -> None:
    keymap, troubles = read_keymap(own_keys(line))
    assert ("list.pin" if "list" in line else "chat.new") in keymap
    assert [str(trouble).split(" has ")[1].split(",")[0] for trouble in troubles] == [repr(key) for key in taken]


async def test_what_is_wrong_in_the_users_files_is_said_in_the_window(open_desk: Opener) -> None:
    write_theme("mine", "primary = 7")
    async with open_desk(config=own_keys('"chat.new" = "crtl+t"')) as desk:
        assert any("mine.toml" in notice for notice in desk.notices())
        assert any("keys.chat.new" in notice for notice in desk.notices())
        await desk.ask("Hi")
        await desk.pilot.press("ctrl+n")
        await desk.until(lambda: desk.session.chat_id is None)


async def test_a_key_is_changed_by_pressing_it_and_taken_back(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.ask("Hi")
        desk.screen.action_keys()
        await desk.until(lambda: isinstance(desk.app.screen, KeysScreen))
        await desk.pilot.press("enter")
        await desk.until(lambda: isinstance(desk.app.screen, PressKeyScreen))
        await desk.pilot.press("x")
        assert "writes a letter" in str(desk.app.screen.query_one(".hint", Static).content)
        await desk.pilot.press("f10")
        await desk.until(lambda: isinstance(desk.app.screen, KeysScreen))
        await close(desk)
        assert load_config().keys == {"chat.new": "f10"}
        await desk.pilot.press("f10")
        await desk.until(lambda: desk.session.chat_id is None)
        desk.screen.action_keys()
        await desk.until(lambda: isinstance(desk.app.screen, KeysScreen))
        await desk.pilot.press("delete")
        await close(desk)
        assert load_config().keys == {}
        assert "^n New" in str(desk.screen.key_bar.render())


async def test_a_key_that_another_action_has_is_not_taken_from_it(open_desk: Opener) -> None:
    async with open_desk() as desk:
        desk.screen.action_keys()
        await desk.until(lambda: isinstance(desk.app.screen, KeysScreen))
        await desk.pilot.press("enter")
        await desk.until(lambda: isinstance(desk.app.screen, PressKeyScreen))
        await desk.pilot.press("ctrl+r")
        await desk.until(lambda: isinstance(desk.app.screen, KeysScreen))
        said = str(desk.app.screen.query_one("#about", Static).content)
        assert "Ctrl+R belongs to “Another reply”" in said
        await close(desk)
        assert not config_file().exists()


async def test_the_list_of_keys_names_every_action(open_desk: Opener) -> None:
    from localchat.ui.actions import ACTIONS

    async with open_desk() as desk:
        desk.screen.action_keys()
        await desk.until(lambda: isinstance(desk.app.screen, KeysScreen))
        options = desk.app.screen.query_one(OptionList)
        listed = [option.id for option in options.options if option.id is not None]
        assert sorted(listed) == sorted(action.id for action in ACTIONS)


# ---- themes


def write_theme(name: str, text: str) -> None:
    folder = config_dir() / "themes"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")


async def test_a_theme_of_the_users_own_is_there_by_its_files_name(open_desk: Opener) -> None:
    write_theme("ink", 'dark = false\nprimary = "#8a2f2f"\nbackground = "ivory"\n[variables]\nscrollbar = "#cccccc"\n')
    async with open_desk(config=Config(theme="ink")) as desk:
        assert desk.app.theme == "ink"
        assert not desk.app.current_theme.dark
        assert desk.app.current_theme.primary == "#8a2f2f"
        assert desk.app.get_css_variables()["scrollbar"] == "#cccccc"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('primary = "reddish"', "primary is 'reddish' in {file}, but must be a colour"),
        ('primary = "red"\nprimery = "red"', "primery in {file} means nothing in a theme."),
        ('dark = "yes"\nprimary = "red"', "dark is 'yes' in {file}, but must be true or false."),
        ('background = "red"', "{file} has no primary."),
        ("primary = ", "{file} is not a theme:"),
    ],
)
def test_a_wrong_theme_is_named_with_its_file_and_key(text: str, sentence: str) -> None:
    write_theme("mine", text)
    themes, troubles = read_themes(config_dir() / "themes")
    beginning = sentence.format(file=config_dir() / "themes/mine.toml")
    assert themes == []
    assert [str(trouble).startswith(beginning) for trouble in troubles] == [True], troubles
