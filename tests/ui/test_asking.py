"""Asking, streaming, stopping, and what happens when the engine does not do well."""

from __future__ import annotations

import asyncio

from localchat.errors import ContextOverflow
from localchat.messages import Message
from tests.ui.conftest import Opener
from tests.ui.fake_engine import FakeEngine, Script


async def test_enter_sends_the_question_and_the_reply_is_shown_and_saved(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["Hello", " **there**", "."]))) as desk:
        await desk.ask("Hi")
        assert [m.content for m in desk.store.branch(desk.session.chat_id or "")] == ["Hi", "Hello **there**."]
        assert desk.body() == "Hello **there**."
        assert desk.engine.asked == [(Message("user", "Hi"),)]
        assert desk.screen.composer.text == ""


async def test_the_line_under_a_reply_gives_its_figures(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["a", "b", "c"], left_out=2))) as desk:
        await desk.ask("Hi")
        foot = str(desk.replies[0]._foot.content)
        assert foot.startswith("3 tokens · ")
        assert "84 tok/s" in foot
        assert foot.endswith("2 older messages left out")


async def test_the_next_question_carries_the_conversation(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["One."]))) as desk:
        await desk.ask("First")
        await desk.ask("Second")
        assert [m.content for m in desk.engine.asked[1]] == ["First", "One.", "Second"]


async def test_a_question_asked_while_the_model_loads_is_saved_and_answered_when_it_is_ready(
    open_desk: Opener,
) -> None:
    engine = FakeEngine()
    engine.may_load.clear()
    async with open_desk(engine) as desk:
        await desk.until(lambda: desk.session.engine_state.phase == "loading")
        await desk.write("Too early?")
        await desk.pilot.press("enter")
        await desk.until(lambda: len(desk.session.messages()) == 2)
        assert desk.store.branch(desk.session.chat_id or "")[0].content == "Too early?"
        assert not engine.asked
        engine.may_load.set()
        await desk.until(lambda: desk.idle)
        assert desk.session.messages()[-1].text == "Hello there."


async def test_escape_stops_at_once_and_keeps_what_was_written(open_desk: Opener) -> None:
    gate = asyncio.Event()
    async with open_desk(FakeEngine(Script(["Kept", " never shown"], hold={1: gate}), Script())) as desk:
        await desk.write("Go on")
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.session.messages()[-1:] and desk.session.messages()[-1].text == "Kept")
        await desk.pilot.press("escape")
        assert desk.store.branch(desk.session.chat_id or "")[-1].status == "stopped"
        await desk.until(lambda: desk.idle)
        reply = desk.store.branch(desk.session.chat_id or "")[-1]
        assert (reply.status, reply.content) == ("stopped", "Kept")
        assert "stopped" in str(desk.replies[0]._foot.content)
        await desk.ask("And now?")
        assert desk.session.messages()[-1].text == "Hello there."


async def test_escape_while_the_model_loads_gives_up_the_reply_and_not_the_question(open_desk: Opener) -> None:
    engine = FakeEngine()
    engine.may_load.clear()
    async with open_desk(engine) as desk:
        await desk.write("Hi")
        await desk.pilot.press("enter")
        await desk.until(lambda: len(desk.session.messages()) == 2)
        await desk.pilot.press("escape")
        engine.may_load.set()
        await desk.until(lambda: desk.idle)
        assert [m.status for m in desk.session.messages()] == ["complete", "stopped"]
        assert not engine.asked


async def test_a_dead_engine_leaves_the_partial_reply_and_answers_the_next_question(open_desk: Opener) -> None:
    engine = FakeEngine(Script(["Once upon", " never"], dies_after=1), Script(["Again."]))
    async with open_desk(engine) as desk:
        await desk.write("A story")
        await desk.pilot.press("enter")
        await desk.until(lambda: len(engine.loads) == 2 and desk.idle)
        reply = desk.store.branch(desk.session.chat_id or "")[-1]
        assert (reply.status, reply.content) == ("interrupted", "Once upon")
        notices = [str(notice.content) for notice in desk.screen.query("Notice")]  # type: ignore[attr-defined]
        assert notices == ["The engine stopped unexpectedly and was restarted; what was written is kept."]
        await desk.ask("Go on")
        assert desk.session.messages()[-1].text == "Again."
        assert engine.asked[-1][1] == Message("assistant", "Once upon")


async def test_a_question_that_fails_says_why_under_it_and_may_be_asked_again(open_desk: Opener) -> None:
    error = ContextOverflow("The message has 9000 tokens, but the model reads 8192.", "Shorten it.")
    async with open_desk(FakeEngine(Script(error=error), Script(["Fine."]))) as desk:
        await desk.ask("Long")
        assert "Shorten it." in str(desk.replies[0]._foot.content)
        await desk.pilot.press("ctrl+r")
        await desk.until(lambda: desk.idle and desk.session.messages()[-1].text == "Fine.")


async def test_a_model_that_cannot_be_loaded_is_said_and_nothing_is_lost(open_desk: Opener) -> None:
    from localchat.errors import BadWeights

    engine = FakeEngine()
    engine.load_error = BadWeights("The file is cut short.", "Fetch it again.")
    async with open_desk(engine) as desk:
        await desk.until(lambda: desk.session.engine_state.phase == "failed")
        await desk.write("Hi")
        await desk.pilot.press("enter")
        await desk.until(lambda: [m.status for m in desk.session.messages()] == ["complete", "failed"])
        assert desk.session.messages()[-1].error == "The file is cut short. Fetch it again."


async def test_what_a_model_writes_cannot_steer_the_terminal(open_desk: Opener) -> None:
    nasty = "\x1b]0;owned\x07[red]plain[/red] \x9b31m\x1b[2J <b>html</b>"
    async with open_desk(FakeEngine(Script([nasty]))) as desk:
        await desk.ask("[bold]not markup[/bold] \x1b[31m")
        strips = desk.app.screen._compositor.render_strips()
        text = "\n".join("".join(segment.text for segment in strip) for strip in strips)
        assert "\x1b" not in text and "\x07" not in text and "\x9b" not in text
        assert "[red]plain[/red]" in text and "<b>html</b>" in text
        assert "[bold]not markup[/bold]" in text


async def test_deltas_are_not_lost_when_they_come_before_the_reply_is_laid_out(open_desk: Opener) -> None:
    pieces = [f"{n} " for n in range(200)]
    async with open_desk(FakeEngine(Script(pieces))) as desk:
        await desk.ask("Count")
        await desk.until(lambda: desk.body() == "".join(pieces))


async def test_a_reader_who_scrolled_up_is_not_dragged_down_and_ctrl_end_follows_again(open_desk: Opener) -> None:
    gate = asyncio.Event()
    pieces = ["line\n\n" * 40, "more\n\n" * 20, "end"]
    async with open_desk(FakeEngine(Script(pieces, hold={1: gate}))) as desk:
        await desk.write("Long")
        await desk.pilot.press("enter")
        transcript = desk.screen.transcript
        await desk.until(lambda: transcript.max_scroll_y > 20 and transcript.scroll_y == transcript.max_scroll_y)
        await desk.pilot.press("pageup")
        await desk.pilot.pause()
        place = transcript.scroll_y
        assert place < transcript.max_scroll_y
        before = transcript.max_scroll_y
        gate.set()
        await desk.until(lambda: desk.idle and transcript.max_scroll_y > before)
        assert transcript.scroll_y == place
        await desk.pilot.press("ctrl+end")
        await desk.until(lambda: transcript.scroll_y == transcript.max_scroll_y)


async def test_a_reply_goes_on_while_another_chat_is_read(open_desk: Opener) -> None:
    gate = asyncio.Event()
    async with open_desk(FakeEngine(Script(["Half", " whole"], hold={1: gate}))) as desk:
        await desk.write("Slow")
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.session.messages()[-1:] and desk.session.messages()[-1].text == "Half")
        slow = desk.session.chat_id
        await desk.pilot.press("ctrl+n")
        assert desk.replies == []
        gate.set()
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        assert desk.store.branch(slow or "")[-1].content == "Half whole"
        await desk.pilot.press("alt+down")
        await desk.until(lambda: desk.body() == "Half whole")


async def test_quitting_in_the_middle_of_a_reply_saves_it(open_desk: Opener) -> None:
    gate = asyncio.Event()
    async with open_desk(FakeEngine(Script(["Half", " whole"], hold={1: gate}))) as desk:
        await desk.write("Slow")
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.session.messages()[-1:] and desk.session.messages()[-1].text == "Half")
        chat_id = desk.session.chat_id or ""
        await desk.write("A draft")
        await desk.pilot.press("ctrl+q")
    reply = open_desk.store.branch(chat_id)[-1]
    assert (reply.status, reply.content) == ("stopped", "Half")
    assert open_desk.store.draft(chat_id) == "A draft"
