"""Models, settings, help, the palette, the first start, and a start that goes wrong."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

from textual.command import CommandPalette
from textual.widgets import Input, Static

from localchat.config import Config, load_config
from localchat.errors import DownloadFailed, NotEnoughMemory
from localchat.history.store import HistoryStore
from localchat.hub.pull_events import PullDone, PullProgress
from localchat.model.memory import read_footprint
from localchat.paths import config_file
from localchat.ui.app import NOT_SAVED, open_history
from localchat.ui.model_shelf import ModelShelf
from localchat.ui.screens.fetch import FetchScreen
from localchat.ui.screens.help import HelpScreen
from localchat.ui.screens.models import ModelScreen
from localchat.ui.screens.settings import SettingsScreen
from tests.ui.conftest import LARGER, TINY, Desk, FakeShelf, Opener
from tests.ui.fake_engine import FakeEngine


def said(desk: Desk, selector: str) -> str:
    return str(desk.app.screen.query_one(selector, Static).content)


async def test_settings_are_checked_as_they_are_typed_and_allowed_ones_are_kept(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.pilot.press("f3")
        await desk.until(lambda: isinstance(desk.app.screen, SettingsScreen))
        screen = desk.app.screen
        screen.query_one("#temperature", Input).value = "9"
        screen.query_one("#top_k", Input).value = "12"
        await desk.until(lambda: screen.wrong_rows() == ["temperature"])  # type: ignore[attr-defined]
        assert said(desk, "#row-temperature .explanation") == "! Must be a number from 0 to 5."
        screen.query_one("#system_prompt").text = "Be brief."  # type: ignore[attr-defined]
        await desk.pilot.press("escape")
        await desk.until(lambda: desk.app.screen is desk.screen)
        saved = tomllib.loads(config_file().read_text(encoding="utf-8"))
        assert saved == {"system_prompt": "Be brief.", "sampling": {"top_k": 12}}
        assert "Temperature was left as it was." in desk.notices()
        await desk.ask("Hi")
        assert desk.engine.options[0].sampling == {"top_k": 12}
        assert [m.role for m in desk.engine.asked[0]] == ["system", "user"]


async def test_an_emptied_setting_goes_back_to_the_default(open_desk: Opener) -> None:
    config_file().parent.mkdir(parents=True)
    config_file().write_text("max_tokens = 50\n[sampling]\nseed = 7\n", encoding="utf-8")
    async with open_desk(config=load_config()) as desk:
        await desk.pilot.press("f3")
        await desk.until(lambda: isinstance(desk.app.screen, SettingsScreen))
        assert desk.app.screen.query_one("#seed", Input).value == "7"
        desk.app.screen.query_one("#seed", Input).value = ""
        await desk.pilot.press("escape")
        await desk.until(lambda: desk.app.screen is desk.screen)
        await desk.ask("Hi")
        assert dict(desk.engine.options[0].sampling) == {}
        assert desk.engine.options[0].max_tokens == 50
        assert "seed" not in dict(load_config().sampling)


async def test_the_theme_is_taken_from_the_settings_and_kept_when_it_changes(open_desk: Opener) -> None:
    async with open_desk(config=Config(theme="light")) as desk:
        assert desk.app.theme == "localchat-light"
        assert not desk.app.current_theme.dark
        desk.app.theme = "nord"
        await desk.until(lambda: config_file().exists())
        assert load_config().theme == "nord"


async def test_an_unknown_theme_is_said_and_the_default_is_used(open_desk: Opener) -> None:
    async with open_desk(config=Config(theme="pink")) as desk:
        assert desk.app.theme == "localchat-dark"
        assert any("theme is 'pink'" in notice for notice in desk.notices())


def rows(desk: Desk) -> list[str]:
    """The lines of the model picker, their columns one space apart."""
    options = desk.app.screen.query_one("OptionList").options  # type: ignore[attr-defined]
    return [" ".join(str(option.prompt).split()) for option in options]


async def test_the_model_picker_shows_what_is_here_and_what_can_be_fetched_with_sizes(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        await desk.pilot.press("ctrl+o")
        await desk.until(lambda: isinstance(desk.app.screen, ModelScreen))
        assert rows(desk) == [
            "On this machine size memory",
            "● SmolLM2 135M int4 98 MB 500 MB ✓ fits",
            "Can be fetched",
            "Larger 1B int4 700 MB 1.7 GB ✓ fits",
        ]
        await desk.pilot.press("down")
        await desk.until(lambda: "larger · 700 MB to download · MIT" in said(desk, "#about"))
        assert "Runs in 1.7 GB of memory at 4k of context; 4.0 GB of 8.0 GB are free." in said(desk, "#about")


async def test_the_model_picker_marks_what_does_not_fit_this_machine(open_desk: Opener) -> None:
    middling = replace(LARGER, name="middling", title="Middling 9B", memory=6_000_000_000)
    huge = replace(LARGER, name="huge", title="巨大的模型 70B", memory=45_000_000_000)
    async with open_desk(shelf=FakeShelf(TINY, offers=(middling, huge))) as desk:
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        await desk.pilot.press("ctrl+o")
        await desk.until(lambda: isinstance(desk.app.screen, ModelScreen))
        assert rows(desk)[-2:] == [
            "Middling 9B int4 700 MB 6.0 GB ~ not now",
            "巨大的模型 70B int4 700 MB 45 GB ✗ too large",
        ]


async def test_the_shelf_knows_the_memory_of_what_is_here_and_of_what_can_be_fetched(
    smollm2_folder: Path, home: Path
) -> None:
    (home / "data/models").mkdir(parents=True)
    (home / "data/models/smollm2-135m").symlink_to(smollm2_folder)
    shelf = ModelShelf()
    (here,) = shelf.installed()
    assert here.memory == read_footprint(smollm2_folder).plan(4096).total
    assert all(offer.memory > offer.parameters / 2 for offer in shelf.fetchable())
    assert 0 < shelf.machine_memory().free < shelf.machine_memory().total


async def test_a_model_that_does_not_fit_into_memory_says_so_in_the_app(open_desk: Opener) -> None:
    sentence = "huge needs 45.0 GB of memory; 4.0 GB are free (4,096 tokens of context)."
    engine = FakeEngine()
    engine.load_error = NotEnoughMemory(sentence, "Close other programs, or choose a smaller model.")
    async with open_desk(engine) as desk:
        await desk.until(lambda: desk.session.engine_state.phase == "failed")
        await desk.until(lambda: any(sentence in notice for notice in desk.notices()))
        await desk.write("Hello?")
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.replies and sentence in desk.session.messages()[-1].error)


async def test_a_model_that_is_not_here_is_fetched_then_loaded_and_remembered(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        await desk.pilot.press("ctrl+o", "down", "enter")
        await desk.until(lambda: isinstance(desk.app.screen, FetchScreen))
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.shelf.jobs)
        desk.shelf.jobs[0].steps.put_nowait(PullDone("larger"))
        desk.shelf.jobs[0].steps.put_nowait(None)
        await desk.until(lambda: desk.engine.loads == ["/nowhere/tiny", "/nowhere/larger"])
        await desk.until(lambda: config_file().exists())
        assert load_config().model == "larger"


async def test_the_first_start_says_what_is_fetched_shows_progress_and_ends_in_the_chat(open_desk: Opener) -> None:
    async with open_desk(shelf=FakeShelf()) as desk:
        await desk.until(lambda: isinstance(desk.app.screen, FetchScreen))
        for fact in ("Larger 1B", "Somebody", "MIT", "700 MB"):
            assert fact in said(desk, "#facts")
        assert desk.shelf.jobs == []
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.shelf.jobs)
        job = desk.shelf.jobs[0]
        job.steps.put_nowait(PullProgress("download", 350_000_000, 700_000_000, 5_000_000.0, 70.0))
        await desk.until(lambda: "50%" in said(desk, "#progress"))
        assert said(desk, "#figures") == "Downloading · 350 MB of 700 MB · 5.0 MB/s · 1 min 10 s left"
        job.steps.put_nowait(PullDone("larger"))
        job.steps.put_nowait(None)
        await desk.until(lambda: desk.app.screen is desk.screen)
        await desk.ask("Hi")
        assert desk.engine.loads == ["/nowhere/larger"]


async def test_the_first_start_may_be_interrupted_and_taken_up_again(open_desk: Opener) -> None:
    async with open_desk(shelf=FakeShelf()) as desk:
        await desk.until(lambda: isinstance(desk.app.screen, FetchScreen))
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.shelf.jobs)
        await desk.pilot.press("escape")
        await desk.until(lambda: said(desk, "#figures") == "Interrupted. Nothing was changed; Enter starts again.")
        assert desk.shelf.jobs[0].cancelled
        await desk.pilot.press("enter")
        await desk.until(lambda: len(desk.shelf.jobs) == 2)


async def test_a_first_start_without_network_says_so_and_may_be_tried_again(open_desk: Opener) -> None:
    async with open_desk(shelf=FakeShelf()) as desk:
        await desk.until(lambda: isinstance(desk.app.screen, FetchScreen))
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.shelf.jobs)
        failure = DownloadFailed("The package index cannot be reached.", "Is there a network?")
        desk.shelf.jobs[0].steps.put_nowait(failure)
        await desk.until(lambda: "The package index cannot be reached. Is there a network?" in said(desk, "#figures"))
        assert "Try again" in said(desk, "#choices")
        await desk.pilot.press("enter")
        await desk.until(lambda: len(desk.shelf.jobs) == 2)
        await desk.pilot.press("escape")
        await desk.until(lambda: "Interrupted" in said(desk, "#figures"))
        await desk.pilot.press("escape")
        await desk.until(lambda: desk.app.screen is desk.screen)


async def test_help_lists_every_action_with_its_key(open_desk: Opener) -> None:
    from localchat.ui.actions import ACTIONS

    async with open_desk() as desk:
        await desk.pilot.press("f1")
        await desk.until(lambda: isinstance(desk.app.screen, HelpScreen))
        text = str(desk.app.screen.query_one("VerticalScroll Static", Static).content)
        for action in ACTIONS:
            assert action.title in text
        await desk.pilot.press("escape")
        await desk.until(lambda: desk.app.screen is desk.screen)


async def test_every_action_is_in_the_palette_and_works_from_there(open_desk: Opener) -> None:
    from localchat.ui.actions import ACTIONS

    async with open_desk() as desk:
        titles = [command.title for command in desk.app.get_system_commands(desk.screen)]
        assert [action.title for action in ACTIONS] == titles[: len(ACTIONS)]
        await desk.ask("Hi")
        await desk.pilot.press("ctrl+p")
        await desk.until(lambda: isinstance(desk.app.screen, CommandPalette))
        await desk.pilot.press(*"New chat".replace(" ", ""))
        await desk.pilot.pause(0.3)
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.app.screen is desk.screen and desk.session.chat_id is None)


def test_no_binding_uses_the_keys_that_are_enter_and_tab() -> None:
    from localchat.ui.actions import ACTIONS

    keys = {key for action in ACTIONS for key in action.keys.split(",")}
    assert not keys & {"ctrl+m", "ctrl+i"}
    assert len({action.id for action in ACTIONS}) == len(ACTIONS)


async def test_troubles_before_the_start_are_said_in_the_window(open_desk: Opener) -> None:
    async with open_desk(troubles=("top_k is 'many' in config.toml, line 3.",)) as desk:
        assert "top_k is 'many' in config.toml, line 3." in desk.notices()


async def test_a_history_that_cannot_be_opened_is_replaced_by_one_that_is_not_saved(
    open_desk: Opener, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    store, trouble = open_history(blocked / "history.db")
    assert trouble
    async with open_desk(store=store, troubles=(trouble,)) as desk:
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        assert NOT_SAVED in str(desk.screen.status_line.render())
        await desk.ask("Hi")
        assert desk.session.messages()[-1].text == "Hello there."
    assert isinstance(store, HistoryStore) and not store.is_saved


async def test_the_status_line_shows_how_full_the_context_is(open_desk: Opener) -> None:
    async with open_desk(size=(120, 30)) as desk:
        await desk.ask("Hi")
        assert "5 of 8k" in str(desk.screen.status_line.render())
        assert "SmolLM2 135M · int4 · CPU" in str(desk.screen.title_bar.render())


async def test_nothing_is_wider_than_eighty_columns(open_desk: Opener) -> None:
    async with open_desk(size=(80, 24), shelf=FakeShelf(TINY)) as desk:
        await desk.ask("A question that is a good deal longer than the title bar of a small window can show at once")
        for widget in desk.screen.walk_children():
            assert widget.region.right <= 80, widget
