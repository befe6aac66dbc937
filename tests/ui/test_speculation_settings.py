"""The settings for guessing ahead reach the engine, and what it says of them reaches the user."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Checkbox, Select

from localchat.config import Config, load_config
from localchat.ui.screens.settings import SettingsScreen
from tests.ui.conftest import TINY, FakeShelf, Opener
from tests.ui.fake_engine import INFO, FakeEngine

pytestmark = pytest.mark.usefixtures("home")

DRAFT = replace(TINY, name="tiniest", path=Path("/nowhere/tiniest"))


async def test_tokens_are_guessed_unless_the_settings_say_otherwise(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.ask("Hi")
        assert desk.engine.options[-1].speculate
    async with open_desk(config=Config(speculation=False)) as desk:
        await desk.ask("Hi")
        assert not desk.engine.options[-1].speculate


async def test_both_are_chosen_in_the_settings(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40), shelf=FakeShelf(TINY, DRAFT)) as desk:
        await desk.pilot.press("f3")
        await desk.until(lambda: isinstance(desk.app.screen, SettingsScreen))
        desk.app.screen.query_one("#speculation-switch", Checkbox).focus()
        draft: Select[str] = desk.app.screen.query_one("#draft_model", Select)
        await desk.pilot.press("enter")
        assert draft.value == ""
        draft.value = "tiniest"
        await desk.pilot.press("escape")
        await desk.until(lambda: desk.app.screen is desk.screen)
        assert (load_config().speculation, load_config().draft_model) == (False, "tiniest")
        await desk.until(lambda: desk.engine.drafts[-1] == "/nowhere/tiniest")
        await desk.ask("Hi")
        assert not desk.engine.options[-1].speculate


async def test_the_draft_model_is_loaded_with_every_model(open_desk: Opener) -> None:
    async with open_desk(shelf=FakeShelf(TINY, DRAFT), config=Config(draft_model="tiniest")) as desk:
        await desk.until(lambda: desk.engine.drafts)
        assert desk.engine.drafts == ["/nowhere/tiniest"]
    async with open_desk(config=Config(draft_model="/elsewhere/model.gguf")) as desk:
        await desk.until(lambda: desk.engine.drafts)
        assert desk.engine.drafts == ["/elsewhere/model.gguf"]


async def test_a_draft_model_that_cannot_guess_is_told_and_the_other_answers(open_desk: Opener) -> None:
    engine = FakeEngine()
    engine.info = replace(INFO, draft_problem="tiniest cannot guess ahead of this model.")
    async with open_desk(engine=engine, config=Config(draft_model="tiniest")) as desk:
        await desk.until(lambda: any("tiniest cannot guess" in notice for notice in desk.notices()))
        await desk.ask("Hi")
        assert "Hello there." in desk.body()
