"""A reply that went round in circles: what stays of it on screen and in the history, and how it goes on."""

from __future__ import annotations

import asyncio

from localchat.config import Config
from localchat.ui.shown import footnote
from tests.ui.conftest import Opener
from tests.ui.fake_engine import FakeEngine, Script

CIRCLES = Script(["A song. ", "La la. ", "La la. ", "La la. "], cut=14)


async def test_a_loop_is_cut_back_on_screen_and_in_the_history_and_one_line_says_so(open_desk: Opener) -> None:
    before_the_end = asyncio.Event()
    script = Script(["A song. ", "La la. ", "La la. ", "La la. "], cut=14, hold={3: before_the_end})
    async with open_desk(FakeEngine(script)) as desk:
        await desk.write("Sing")
        await desk.pilot.press("enter")
        await desk.until(lambda: "La la. La la." in desk.body())
        before_the_end.set()
        await desk.until(lambda: desk.idle)
        assert desk.body().strip() == "A song. La la."
        assert desk.store.message(desk.replies[0].message.id).content == "A song. La la. "
        assert "looped, cut back" in footnote(desk.session.messages()[-1])
        await desk.pilot.pause()
        assert "looped, cut back; /continue goes on" in desk.shown_text()
        assert desk.engine.options[-1].loop_guard


async def test_it_goes_on_from_there_with_dry_by_one_key(open_desk: Opener) -> None:
    engine = FakeEngine(CIRCLES, Script(["And then the morning came."]), Script(["More."]))
    async with open_desk(engine, config=Config(sampling={"temperature": 0.5})) as desk:
        await desk.ask("Sing")
        await desk.pilot.press("alt+c")
        whole = "A song. La la. And then the morning came."
        await desk.until(lambda: desk.session.messages()[-1].text == whole and desk.idle)
        assert engine.options[1].prefill == "A song. La la. "
        assert engine.options[1].sampling == {"temperature": 0.5, "dry_multiplier": 0.8, "dry_breakers": 0}
        assert "looped" not in footnote(desk.session.messages()[-1])
        await desk.pilot.press("alt+c")
        await desk.until(lambda: desk.session.messages()[-1].text == whole + "More." and desk.idle)
        assert engine.options[2].sampling == {"temperature": 0.5}


async def test_a_loop_that_was_answered_already_goes_on_beside_itself_with_dry(open_desk: Opener) -> None:
    engine = FakeEngine(CIRCLES, Script(["Thanks."]), Script(["And then?"]))
    async with open_desk(engine) as desk:
        await desk.ask("Sing")
        await desk.ask("Nice")
        desk.replies[0].focus()
        await desk.pilot.press("g")
        await desk.until(lambda: desk.session.messages()[-1].text == "A song. La la. And then?" and desk.idle)
        assert engine.options[-1].sampling == {"dry_multiplier": 0.8, "dry_breakers": 0}
        assert desk.session.messages()[-1].versions == 2


async def test_the_guard_can_be_switched_off(open_desk: Opener) -> None:
    async with open_desk(config=Config(loop_guard=False)) as desk:
        await desk.ask("Sing")
        assert not desk.engine.options[-1].loop_guard
