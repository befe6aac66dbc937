"""Settings that a person can find: all of them on a screen, searched by a word, in every language."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from textual.widgets import Checkbox, Input, Select, Static

from localchat.config import Config, load_config
from localchat.known_settings import SETTINGS
from localchat.paths import config_file
from localchat.ui.app_looks import speak
from localchat.ui.screens.settings import SettingsScreen
from localchat.ui.widgets.setting_rows import SettingRow
from tests.ui.conftest import Desk, Opener

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(autouse=True)
def english_afterwards() -> Iterator[None]:
    yield
    speak("en")


async def open_settings(desk: Desk) -> SettingsScreen:
    await desk.pilot.press("f3")
    await desk.until(lambda: isinstance(desk.app.screen, SettingsScreen))
    assert isinstance(desk.app.screen, SettingsScreen)
    return desk.app.screen


async def close(desk: Desk) -> None:
    await desk.pilot.press("escape")
    await desk.until(lambda: desk.app.screen is desk.screen)


async def test_every_setting_stands_on_the_screen_with_a_line_that_explains_it(open_desk: Opener) -> None:
    async with open_desk() as desk:
        screen = await open_settings(desk)
        rows = {row.setting.key: row for row in screen.query(SettingRow)}
        assert rows.keys() == SETTINGS.keys()
        for key, row in rows.items():
            assert SETTINGS[key].comment in str(row.query_one(".explanation", Static).content)


async def test_typing_a_word_leaves_the_settings_that_it_means(open_desk: Opener) -> None:
    async with open_desk(config=Config(language="zh")) as desk:
        screen = await open_settings(desk)
        await desk.pilot.press("t", "e", "m", "p", "e", "r")
        await desk.until(lambda: shown(screen) == ["temperature"])
        screen.query_one("#sought", Input).value = "种子"
        await desk.until(lambda: shown(screen) == ["seed"])
        screen.query_one("#sought", Input).value = ""
        await desk.until(lambda: len(shown(screen)) == len(SETTINGS))


def shown(screen: SettingsScreen) -> list[str]:
    return [row.setting.key for row in screen.query(SettingRow) if row.display and row.parent and row.parent.display]


async def test_a_setting_that_the_environment_overrides_says_so(
    open_desk: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALCHAT_TOP_K", "7")
    async with open_desk(config=load_config()) as desk:
        screen = await open_settings(desk)
        explanation = str(screen.query_one("#row-top_k .explanation", Static).content)
        assert "LOCALCHAT_TOP_K in the environment goes before it" in explanation
        assert "environment" not in str(screen.query_one("#row-top_p .explanation", Static).content)


async def test_a_model_that_is_a_path_stays_chosen_and_escape_folds_a_list_before_it_closes(open_desk: Opener) -> None:
    async with open_desk() as desk:
        desk.app.config = Config(model="/models/mine.gguf")
        screen = await open_settings(desk)
        model: Select[str] = screen.query_one("#model", Select)
        assert model.value == "/models/mine.gguf"
        model.focus()
        await desk.pilot.press("enter")
        assert model.expanded
        await desk.pilot.press("escape")
        assert not model.expanded and desk.app.screen is screen
        await close(desk)
        assert not config_file().exists()


async def test_a_switch_is_said_in_words_and_kept(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40)) as desk:
        screen = await open_settings(desk)
        switch = screen.query_one("#sidebar-switch", Checkbox)
        assert str(switch.label) == "Yes"
        switch.focus()
        await desk.pilot.press("enter")
        assert str(switch.label) == "No"
        await close(desk)
        assert load_config().sidebar is False
        assert desk.screen.has_class("-folded")


async def test_swapped_enter_keys_hold_at_once(open_desk: Opener) -> None:
    async with open_desk() as desk:
        screen = await open_settings(desk)
        screen.query_one("#enter_sends-switch", Checkbox).value = False
        await close(desk)
        await desk.write("One")
        await desk.pilot.press("enter", "T", "w", "o")
        assert desk.screen.composer.text == "One\nTwo"
        await desk.pilot.press("ctrl+j")
        await desk.until(lambda: desk.session.messages())
        assert desk.session.messages()[0].text == "One\nTwo"


async def test_another_context_length_loads_the_model_with_it(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        screen = await open_settings(desk)
        screen.query_one("#context_length", Input).value = "2048"
        await close(desk)
        await desk.until(lambda: desk.engine.contexts == [None, 2048])


async def test_the_language_changes_at_once_and_nothing_is_lost(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40)) as desk:
        await desk.ask("Hi")
        await desk.write("A draft that is not sent")
        screen = await open_settings(desk)
        screen.query_one("#language", Select).value = "zh"
        await close(desk)
        await desk.until(lambda: desk.replies and desk.screen.composer.text)
        assert desk.screen.composer.text == "A draft that is not sent"
        assert "问" in str(desk.screen.composer.placeholder)
        assert [message.text for message in desk.screen.transcript.shown] == ["Hi", "Hello there."]
        assert "设置" in str(desk.screen.key_bar.render())
        assert load_config().language == "zh"
        assert "# 界面语言" in config_file().read_text(encoding="utf-8")
        await desk.pilot.press("enter")
        await desk.until(lambda: len(desk.session.messages()) == 4 and desk.idle)
        assert desk.session.messages()[-1].text == "Hello there."


async def test_the_system_decides_on_the_language_when_no_setting_does(
    open_desk: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    async with open_desk() as desk:
        assert "帮助" in str(desk.screen.key_bar.render())


async def test_no_colour_is_shown_when_the_environment_wants_none_and_programs_that_we_start_know_it(
    open_desk: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with open_desk() as desk:
        await desk.ask("Hi")
        colours = set(re.findall("#[0-9a-f]{6}", desk.app.export_screenshot().partition("<g ")[2].lower()))
        colours -= {"#ff5f57", "#febc2e", "#28c840"}  # the picture's own frame
        assert len(colours) > 2
        assert [colour for colour in colours if len({colour[1:3], colour[3:5], colour[5:7]}) > 1] == []
        assert os.environ["NO_COLOR"] == "1"
