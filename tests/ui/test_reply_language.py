"""The language that replies are held to: by command, in the settings of a chat, and in those of the program."""

from __future__ import annotations

import pytest
from textual.widgets import Select

from localchat.config import Config, load_config
from localchat.messages import Message
from localchat.ui.presets import presets_file, read_presets
from localchat.ui.screens.own_settings import OwnSettingsScreen
from localchat.ui.screens.settings import SettingsScreen
from tests.ui.conftest import Desk, Opener

pytestmark = pytest.mark.usefixtures("home")


def title(desk: Desk) -> str:
    return str(desk.screen.title_bar.render())


def told(desk: Desk) -> str:
    """The system prompt of the last question."""
    first: Message = desk.engine.asked[-1][0]
    return first.content if first.role == "system" else ""


async def command(desk: Desk, text: str, answer: str) -> None:
    await desk.write(text)
    await desk.pilot.press("enter")
    await desk.until(lambda: any(answer in notice for notice in desk.notices()), answer)


async def test_slash_language_holds_for_this_chat_and_is_kept_with_it(open_desk: Opener) -> None:
    async with open_desk(size=(120, 30)) as desk:
        await desk.ask("Hi")
        assert desk.engine.options[-1].reply_language == "" and told(desk) == ""
        first = desk.session.chat_id
        assert first is not None
        await command(desk, "/language zh", "In this chat, replies are in Chinese")
        assert "in Chinese" in title(desk)
        await desk.ask("Hi again")
        assert desk.engine.options[-1].reply_language == "zh"
        assert told(desk) == "请始终用中文回答。"
        assert desk.store.conversation(first).options["reply_language"] == "zh"
        await desk.pilot.press("ctrl+n")
        await desk.ask("Another")
        assert desk.engine.options[-1].reply_language == ""
        assert "Chinese" not in title(desk)
        await desk.screen.open_chat(first)
        await command(desk, "/language English", "In this chat, replies are in English")
        await desk.ask("And now?")
        assert desk.engine.options[-1].reply_language == "en"
        await command(desk, "/language auto", "left to the settings")
        await desk.ask("As usual")
        assert desk.engine.options[-1].reply_language == ""
        assert "reply_language" not in desk.store.conversation(first).options


async def test_the_line_stands_behind_the_system_prompt_of_the_user(open_desk: Opener) -> None:
    async with open_desk(config=Config(system_prompt="Be brief.", reply_language="en")) as desk:
        await desk.ask("你好")
        assert told(desk) == "Be brief.\n\nAlways answer in English."


async def test_another_word_after_slash_language_is_no_choice(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await command(desk, "/language french", "After /language comes zh, en, any or auto.")
        assert desk.session.own.reply_language is None


async def test_slash_language_offers_its_words(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.write("/language e")
        await desk.pilot.press("down", "enter")
        await desk.until(lambda: desk.session.own.reply_language == "en")


async def test_a_chat_may_be_free_where_the_settings_are_not(open_desk: Opener) -> None:
    async with open_desk(config=Config(reply_language="zh"), size=(120, 40)) as desk:
        await desk.ask("Hi")
        assert desk.engine.options[-1].reply_language == "zh"
        await desk.pilot.press("f5")
        await desk.until(lambda: isinstance(desk.app.screen, OwnSettingsScreen))
        select = desk.app.screen.query_one("#reply_language", Select)
        assert "中文" in str(select._options[0][0])
        select.value = "any"
        await desk.pilot.press("escape")
        await desk.until(lambda: desk.session.own.reply_language == "any")
        await desk.ask("Hi again")
        assert desk.engine.options[-1].reply_language == ""
        assert told(desk) == ""


async def test_the_setting_of_the_program_holds_at_once(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40)) as desk:
        await desk.pilot.press("f3")
        await desk.until(lambda: isinstance(desk.app.screen, SettingsScreen))
        desk.app.screen.query_one("#reply_language", Select).value = "zh"
        await desk.pilot.press("escape")
        await desk.until(lambda: load_config().reply_language == "zh")
        await desk.ask("Hi")
        assert desk.engine.options[-1].reply_language == "zh"


async def test_a_preset_may_say_it(open_desk: Opener) -> None:
    presets_file().parent.mkdir(parents=True, exist_ok=True)
    presets_file().write_text("[Teacher]\nreply_language = 'en'\n", encoding="utf-8")
    assert read_presets()["Teacher"].reply_language == "en"
    async with open_desk() as desk:
        await command(desk, "/preset teacher", "Teacher")
        await desk.ask("Hi")
        assert desk.engine.options[-1].reply_language == "en"
