"""Whether the model thinks before it answers: by command, in the settings of a chat, and in those of the program."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.widgets import Select, Static

from localchat.config import Config, load_config
from localchat.ui.presets import presets_file, read_presets
from localchat.ui.screens.own_settings import OwnSettingsScreen
from localchat.ui.screens.settings import SettingsScreen
from tests.ui.conftest import Desk, Opener
from tests.ui.fake_engine import INFO, FakeEngine

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def thinker() -> FakeEngine:
    """An engine whose model can be told."""
    engine = FakeEngine()
    engine.info = replace(INFO, thinking_switch=True)
    return engine


def title(desk: Desk) -> str:
    return str(desk.screen.title_bar.render())


async def command(desk: Desk, text: str) -> None:
    before = len(desk.notices())
    await desk.write(text)
    await desk.pilot.press("enter")
    await desk.until(lambda: len(desk.notices()) > before)


async def test_slash_think_holds_for_this_chat_and_is_kept_with_it(open_desk: Opener, thinker: FakeEngine) -> None:
    async with open_desk(engine=thinker, size=(120, 30)) as desk:
        await desk.ask("Hi")
        assert thinker.options[-1].think is None
        first = desk.session.chat_id
        assert first is not None
        await command(desk, "/think off")
        assert "without thinking first" in desk.notices()[-1]
        assert "without thinking" in title(desk)
        await desk.ask("Hi again")
        assert thinker.options[-1].think is False
        assert desk.store.conversation(first).options["thinking"] == "off"
        await desk.pilot.press("ctrl+n")
        await desk.ask("Another")
        assert thinker.options[-1].think is None
        assert "thinking" not in title(desk)
        await desk.screen.open_chat(first)
        await command(desk, "/think on")
        assert "with thinking" in title(desk)
        await desk.ask("And now?")
        assert thinker.options[-1].think is True
        await command(desk, "/think auto")
        await desk.ask("As usual")
        assert thinker.options[-1].think is None
        assert "thinking" not in desk.store.conversation(first).options


async def test_a_model_that_cannot_be_told_is_named_and_asked_as_usual(open_desk: Opener) -> None:
    async with open_desk(size=(120, 30)) as desk:
        await desk.ask("Hi")
        await command(desk, "/think off")
        assert "cannot be told whether to think" in desk.notices()[-1]
        assert "thinking" not in title(desk)
        await desk.ask("Hi again")
        assert desk.engine.options[-1].think is None
        assert desk.session.own.thinking == "off"
        desk.engine.info = replace(INFO, thinking_switch=True)
        desk.session.load_model("/nowhere/thinker", "thinker")
        await desk.until(lambda: "without thinking" in title(desk))  # kept for a model that can
        await desk.ask("And now?")
        assert desk.engine.options[-1].think is False


async def test_another_word_after_slash_think_is_no_choice(open_desk: Opener, thinker: FakeEngine) -> None:
    async with open_desk(engine=thinker) as desk:
        await command(desk, "/think harder")
        assert desk.notices()[-1] == "After /think comes on, off or auto."
        assert desk.session.own.thinking is None


async def test_slash_think_offers_its_words(open_desk: Opener, thinker: FakeEngine) -> None:
    async with open_desk(engine=thinker) as desk:
        await desk.write("/think o")
        await desk.pilot.press("down", "enter")
        await desk.until(lambda: desk.session.own.thinking == "off")


async def test_the_settings_of_a_chat_hold_it_and_say_when_it_means_nothing(open_desk: Opener) -> None:
    async with open_desk(config=Config(thinking="off"), size=(120, 40)) as desk:
        await desk.ask("Hi")
        await desk.pilot.press("f5")
        await desk.until(lambda: isinstance(desk.app.screen, OwnSettingsScreen))
        row = desk.app.screen.query_one("#row-thinking")
        assert "cannot be told" in str(row.query_one(".explanation", Static).content)
        select = row.query_one("#thinking", Select)
        assert "Off" in str(select._options[0][0])
        select.value = "on"
        await desk.pilot.press("escape")
        await desk.until(lambda: desk.session.own.thinking == "on")


async def test_the_setting_of_the_program_holds_where_a_chat_says_nothing(
    open_desk: Opener, thinker: FakeEngine
) -> None:
    async with open_desk(engine=thinker, size=(120, 40)) as desk:
        await desk.pilot.press("f3")
        await desk.until(lambda: isinstance(desk.app.screen, SettingsScreen))
        desk.app.screen.query_one("#thinking", Select).value = "off"
        await desk.pilot.press("escape")
        await desk.until(lambda: load_config().thinking == "off")
        await desk.ask("Hi")
        assert thinker.options[-1].think is False
        assert "thinking" not in title(desk)
        await command(desk, "/think on")
        await desk.ask("Hi again")
        assert thinker.options[-1].think is True


async def test_a_preset_may_say_it(open_desk: Opener, thinker: FakeEngine) -> None:
    presets_file().parent.mkdir(parents=True, exist_ok=True)
    presets_file().write_text("[Quick]\nthinking = 'off'\n[Usual]\nthinking = ''\n", encoding="utf-8")
    assert (read_presets()["Quick"].thinking, read_presets()["Usual"].thinking) == ("off", None)
    async with open_desk(engine=thinker) as desk:
        await command(desk, "/preset quick")
        await desk.ask("Hi")
        assert thinker.options[-1].think is False
