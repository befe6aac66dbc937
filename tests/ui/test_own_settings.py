"""What one chat has of its own: model, system prompt, sampling, context; and presets of these."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input, Select, TextArea

from localchat.config import Config
from localchat.errors import InvalidSetting
from localchat.paths import config_file
from localchat.ui.presets import presets_file, read_presets
from localchat.ui.screens.own_settings import OwnSettingsScreen
from tests.ui.conftest import LARGER, TINY, Desk, FakeShelf, Opener

HERE_TOO = replace(LARGER, path=Path("/nowhere/2"))

pytestmark = pytest.mark.usefixtures("home")


async def open_own(desk: Desk) -> OwnSettingsScreen:
    await desk.pilot.press("f5")
    await desk.until(lambda: isinstance(desk.app.screen, OwnSettingsScreen))
    assert isinstance(desk.app.screen, OwnSettingsScreen)
    return desk.app.screen


async def close(desk: Desk) -> None:
    await desk.pilot.press("escape")
    await desk.until(lambda: desk.app.screen is desk.screen)


async def test_what_a_chat_has_of_its_own_reaches_its_replies_and_no_other_chats(open_desk: Opener) -> None:
    config = Config(system_prompt="Be kind.", sampling={"temperature": 0.9, "top_k": 5})
    async with open_desk(config=config, size=(120, 40)) as desk:
        await desk.ask("Hi")
        own = await open_own(desk)
        own.query_one("#system_prompt", TextArea).text = "Be brief."
        own.query_one("#temperature", Input).value = "0.1"
        await close(desk)
        await desk.ask("Hi again")
        assert desk.engine.asked[-1][0].content == "Be brief."
        assert desk.engine.options[-1].sampling == {"temperature": 0.1, "top_k": 5}
        assert "own prompt · temperature 0.1" in str(desk.screen.title_bar.render())
        await desk.pilot.press("ctrl+n")
        await desk.ask("Hello")
        assert desk.engine.asked[-1][0].content == "Be kind."
        assert desk.engine.options[-1].sampling == {"temperature": 0.9, "top_k": 5}
        assert "own prompt" not in str(desk.screen.title_bar.render())
        assert not config_file().exists()


async def test_a_value_that_is_not_allowed_leaves_the_chat_as_it_was(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.ask("Hi")
        own = await open_own(desk)
        own.query_one("#temperature", Input).value = "9"
        await desk.until(lambda: own.query_one("#row-temperature").has_class("-wrong"))
        await close(desk)
        assert "Temperature was left as it was." in desk.notices()
        assert not desk.session.own.values()


async def test_a_chat_with_a_model_of_its_own_is_answered_by_it_and_others_by_the_usual_one(open_desk: Opener) -> None:
    async with open_desk(shelf=FakeShelf(TINY, HERE_TOO, offers=(replace(LARGER, name="other"),))) as desk:
        await desk.ask("Hi")
        first = desk.session.chat_id
        own = await open_own(desk)
        own.query_one("#model", Select).value = "larger"
        own.query_one("#context_length", Input).value = "4096"
        await close(desk)
        await desk.until(lambda: desk.engine.loads == ["/nowhere/tiny", "/nowhere/2"])
        assert desk.engine.contexts == [None, 4096]
        await desk.pilot.press("ctrl+n")
        await desk.ask("Hello")
        assert desk.engine.loads[-1] == "/nowhere/tiny"
        await desk.screen.open_chat(first)
        assert "Larger 1B" in str(desk.screen.title_bar.render())
        assert desk.engine.loads[-1] == "/nowhere/tiny"  # looking at a chat loads nothing
        await desk.ask("Hi again")
        assert desk.engine.loads[-1] == "/nowhere/2"
        assert [desk.store.message(message.id).model for message in desk.session.messages()][1::2] == ["tiny", "larger"]


async def test_a_model_that_was_removed_is_named_and_the_usual_one_answers(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.ask("Hi")
        assert desk.session.chat_id is not None
        desk.store.set_model(desk.session.chat_id, "gone")
        await desk.ask("Hi again")
        assert any(notice.startswith("gone, which this chat wants, is not installed") for notice in desk.notices())
        assert desk.session.messages()[-1].text == "Hello there."


async def test_a_preset_is_saved_from_a_chat_and_taken_by_another(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40)) as desk:
        await desk.ask("Hi")
        own = await open_own(desk)
        own.query_one("#system_prompt", TextArea).text = "把我写的翻译成英文。"
        own.query_one("#temperature", Input).value = "0.2"
        await desk.pilot.press("ctrl+s")
        own.query_one("#preset-name", Input).value = "翻译 one"
        await desk.pilot.press("enter")
        await desk.until(lambda: presets_file().exists())
        await close(desk)
        saved = tomllib.loads(presets_file().read_text(encoding="utf-8"))
        assert saved == {"翻译 one": {"system_prompt": "把我写的翻译成英文。", "temperature": 0.2}}
        await desk.pilot.press("ctrl+n")
        desk.screen.action_preset("翻译 ONE")
        await desk.ask("你好")
        assert desk.engine.asked[-1][0].content == "把我写的翻译成英文。"
        assert desk.engine.options[-1].sampling == {"temperature": 0.2}
        assert "翻译 one" in str(desk.screen.title_bar.render())


async def test_a_preset_that_is_changed_in_a_chat_is_no_longer_that_preset(open_desk: Opener) -> None:
    presets_file().parent.mkdir(parents=True, exist_ok=True)
    presets_file().write_text("# mine\n[Brief]\nsystem_prompt = 'Be brief.' # always\n", encoding="utf-8")
    async with open_desk(size=(120, 40)) as desk:
        await desk.ask("Hi")
        own = await open_own(desk)
        own.query_one("#preset", Select).value = "Brief"
        await desk.until(lambda: [field.text for field in own.query(TextArea)] == ["Be brief."])
        own.query_one("#top_k", Input).value = "3"
        await close(desk)
        assert desk.session.own.values() == {"system_prompt": "Be brief.", "top_k": 3}
        assert desk.session.own.preset == ""
        assert presets_file().read_text(encoding="utf-8").startswith("# mine\n[Brief]")


async def test_a_preset_is_deleted_and_the_chat_keeps_what_it_had(open_desk: Opener) -> None:
    presets_file().parent.mkdir(parents=True, exist_ok=True)
    presets_file().write_text("# one\n[A]\ntop_k = 1\n\n# two\n[B]\ntop_k = 2\n", encoding="utf-8")
    async with open_desk() as desk:
        await desk.ask("Hi")
        desk.screen.action_preset("A")
        await open_own(desk)
        await desk.pilot.press("ctrl+d")
        await close(desk)
        assert presets_file().read_text(encoding="utf-8") == "# two\n[B]\ntop_k = 2\n"
        assert desk.session.own.values() == {"top_k": 1}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[A]\ntemperature = 9", "A.temperature is 9 in {file}, but must be a number from 0 to 5."),
        ("[A]\ncolour = 'red'", "A.colour in {file} is not a setting that a chat can have."),
        ("top_k = 5", "top_k in {file} belongs to no preset."),
        ("[A", "{file} cannot be read:"),
    ],
)
def test_a_wrong_preset_is_named_with_its_key(text: str, sentence: str) -> None:
    presets_file().parent.mkdir(parents=True, exist_ok=True)
    presets_file().write_text(text, encoding="utf-8")
    with pytest.raises(InvalidSetting, match=f"^{re.escape(sentence.format(file=presets_file()))}"):
        read_presets()


async def test_a_preset_that_is_not_there_or_wrong_is_said(open_desk: Opener) -> None:
    async with open_desk() as desk:
        desk.screen.action_preset("A")
        await heard(desk, "There is no preset yet; F5 saves a chat's settings as one.")
        presets_file().parent.mkdir(parents=True, exist_ok=True)
        presets_file().write_text("[B]\ntop_k = 1\n", encoding="utf-8")
        desk.screen.action_preset("A")
        await heard(desk, "There is no preset “A”; there are B.")
        presets_file().write_text("[B]\ntop_k = 'x'\n", encoding="utf-8")
        desk.screen.action_preset("A")
        await heard(desk, "B.top_k is 'x'")


async def heard(desk: Desk, beginning: str) -> None:
    await desk.until(lambda: any(notice.startswith(beginning) for notice in desk.notices()), beginning)


def test_presets_that_are_saved_again_and_again_stay_a_file_for_people() -> None:
    from localchat.ui.own_settings import OwnSettings
    from localchat.ui.presets import save_preset

    presets_file().parent.mkdir(parents=True, exist_ok=True)
    save_preset("One", OwnSettings(sampling={"top_k": 3}))
    save_preset("空", OwnSettings())
    save_preset("Two", OwnSettings(system_prompt="Two\nlines", context_length=512))
    save_preset("One", OwnSettings(model="m"))
    assert read_presets() == {
        "One": OwnSettings(model="m", preset="One"),
        "空": OwnSettings(preset="空"),
        "Two": OwnSettings(system_prompt="Two\nlines", context_length=512, preset="Two"),
    }
    assert presets_file().read_text(encoding="utf-8").count("# ") == 3
