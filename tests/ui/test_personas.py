"""Personas: taken by a chat, looked at, changed and added to."""

from __future__ import annotations

import pytest
from textual.widgets import Input, Select, Static, TextArea

from localchat.ui.screens.personas import PersonaScreen, PersonasScreen
from localchat.writing.personas import all_personas, find_persona
from tests.ui.conftest import Desk, Opener

pytestmark = pytest.mark.usefixtures("home")


async def open_personas(desk: Desk) -> PersonasScreen:
    await desk.write("/persona")
    await desk.pilot.press("enter")
    await desk.until(lambda: isinstance(desk.app.screen, PersonasScreen))
    assert isinstance(desk.app.screen, PersonasScreen)
    return desk.app.screen


def told(screen: PersonasScreen) -> str:
    return str(screen.query_one("#told", Static).render())


async def test_a_chat_takes_a_persona_with_its_sampling_and_no_other_chat_does(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40)) as desk:
        screen = await open_personas(desk)
        await desk.pilot.press("down")
        await desk.pilot.pause()
        assert "patient teacher" in told(screen)
        await desk.pilot.press("up", "enter")
        await desk.until(lambda: desk.app.screen is desk.screen)
        await desk.ask("Hi")
        assert desk.engine.asked[-1][0].content == find_persona("plain").prompt("en")
        assert desk.engine.options[-1].sampling["temperature"] == 0.4
        assert "To the point" in str(desk.screen.title_bar.render())
        await desk.pilot.press("ctrl+n")
        await desk.ask("Hello")
        assert desk.engine.asked[-1][0].role == "user"


async def test_a_name_after_the_command_takes_it_at_once_and_a_wrong_one_says_what_there_is(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40)) as desk:
        await desk.write("/persona nobody")
        await desk.pilot.press("enter")
        await desk.until(lambda: "no persona 'nobody'" in " ".join(desk.notices()))
        await desk.write("/persona editor")
        await desk.pilot.press("enter")
        await desk.ask("Hi")
        assert "careful editor" in desk.engine.asked[-1][0].content
        await desk.write("/system Be kind.")
        await desk.pilot.press("enter")
        await desk.ask("Hi")
        assert desk.engine.asked[-1][0].content == "Be kind."
        assert "Careful editor" not in str(desk.screen.title_bar.render())


async def test_one_is_written_from_a_sample_and_taken(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40)) as desk:
        await open_personas(desk)
        await desk.pilot.press("n")
        await desk.until(lambda: isinstance(desk.app.screen, PersonaScreen))
        editor = desk.app.screen
        await desk.pilot.press(*"Me")
        editor.query_one("#kind", Select).value = "sample"
        editor.query_one("#text", TextArea).text = "It rained. Nobody came. We read."
        await desk.pilot.press("ctrl+s")
        await desk.until(lambda: isinstance(desk.app.screen, PersonasScreen))
        assert all_personas()["me"].sample == "It rained. Nobody came. We read."
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.app.screen is desk.screen)
        await desk.ask("Hi")
        assert desk.engine.asked[-1][0].content.endswith("It rained. Nobody came. We read.")


async def test_an_edited_one_is_the_users_own_and_can_be_deleted_again(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40)) as desk:
        screen = await open_personas(desk)
        shipped = find_persona("plain")
        await desk.pilot.press("e")
        await desk.until(lambda: isinstance(desk.app.screen, PersonaScreen))
        desk.app.screen.query_one("#text", TextArea).text = "Be terse."
        await desk.pilot.press("ctrl+s")
        await desk.until(lambda: desk.app.screen is screen)
        assert find_persona("plain").prompt("en") == "Be terse."
        await desk.until(lambda: told(screen) == "Be terse.")
        await desk.pilot.press("d")
        assert find_persona("plain") == shipped
        await desk.pilot.press("d")
        await desk.until(lambda: "comes with the program" in " ".join(desk.notices()))
        assert "plain" in all_personas()


async def test_one_without_a_title_is_not_saved_and_stays_on_the_screen(open_desk: Opener) -> None:
    async with open_desk(size=(80, 24)) as desk:
        await open_personas(desk)
        await desk.pilot.press("n")
        await desk.until(lambda: isinstance(desk.app.screen, PersonaScreen))
        desk.app.screen.query_one("#text", TextArea).text = "Hello."
        await desk.pilot.press("ctrl+s")
        await desk.until(lambda: "needs a title" in " ".join(desk.notices()))
        assert desk.app.screen.query_one("#title", Input).value == ""
        assert desk.app.screen.query_one("#text", TextArea).text == "Hello."
