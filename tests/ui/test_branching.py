"""Branches: edited questions, other and longer replies, written beginnings, copies, and replies side by side."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from localchat.errors import NotEnoughMemory
from localchat.ui.screens.side_by_side import ReplyColumn, SideBySideScreen
from localchat.ui.session import ChatSession
from localchat.ui.shown import footnote
from localchat.ui.widgets.purpose_line import PurposeLine
from tests.ui.conftest import LARGER, TINY, Desk, FakeShelf, Opener
from tests.ui.fake_engine import FakeEngine, Script

OTHER = replace(LARGER, name="second", title="Second 1B", path=Path("/nowhere/second"))


def texts(desk: Desk) -> list[str]:
    return [message.text for message in desk.session.messages()]


def place(desk: Desk, index: int) -> str:
    """Where a message stands among its versions: "2/3"."""
    message = desk.session.messages()[index]
    return f"{message.version}/{message.versions}"


async def rest(desk: Desk, *expected: str) -> None:
    """Wait until these are the messages on show and nothing is being written."""
    await desk.until(lambda: texts(desk) == list(expected) and desk.idle, f"{expected}, not {texts(desk)}")


async def type_over(desk: Desk, text: str) -> None:
    desk.screen.composer.clear()
    await desk.write(text)


# ---- questions


async def test_an_edited_question_stands_beside_the_old_one_and_keys_move_between_them(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["One."]), Script(["Two."]))) as desk:
        await desk.ask("First")
        await desk.pilot.press("alt+e")
        assert desk.screen.composer.text == "First"
        assert desk.screen.query_one(PurposeLine).display
        await type_over(desk, "Second")
        await desk.pilot.press("enter")
        await rest(desk, "Second", "Two.")
        assert not desk.screen.query_one(PurposeLine).display
        assert desk.screen.composer.text == ""
        assert [m.content for m in desk.engine.asked[-1]] == ["Second"]
        assert place(desk, 0) == "2/2"
        await desk.until(lambda: "2/2" in desk.shown_text())
        await desk.pilot.press("shift+tab", "up", "[")
        await rest(desk, "First", "One.")
        await desk.until(lambda: "1/2" in desk.shown_text())
        await desk.pilot.press("]")
        await rest(desk, "Second", "Two.")


async def test_any_question_can_be_edited_and_what_followed_it_stays_reachable(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["One."]), Script(["Two."]), Script(["Three."]))) as desk:
        await desk.ask("First")
        await desk.ask("Then")
        desk.screen.transcript.views[0].focus()
        await desk.pilot.press("e")
        assert desk.screen.composer.text == "First"
        await type_over(desk, "Anew")
        await desk.pilot.press("enter")
        await rest(desk, "Anew", "Three.")
        desk.screen.transcript.views[0].focus()
        await desk.pilot.press("[")
        await rest(desk, "First", "One.", "Then", "Two.")


async def test_what_is_being_edited_is_not_overtaken_by_another_wish(open_desk: Opener) -> None:
    async with open_desk(FakeEngine()) as desk:
        await desk.ask("First")
        await desk.pilot.press("alt+e")
        await type_over(desk, "Precious words")
        await desk.pilot.press("alt+e", "alt+w")
        assert desk.screen.composer.text == "Precious words"
        assert any("The composer is taken" in notice for notice in desk.notices())


async def test_a_beginning_reaches_its_question_though_another_version_is_on_show(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["One."]), Script(["Two."]), Script([" sir."]))) as desk:
        await desk.ask("First")
        await desk.pilot.press("alt+e")
        await type_over(desk, "Second")
        await desk.pilot.press("enter")
        await rest(desk, "Second", "Two.")
        await desk.pilot.press("alt+w")
        await desk.write("Yes,")
        desk.screen.transcript.views[0].focus()
        await desk.pilot.press("[")
        await rest(desk, "First", "One.")
        desk.screen.composer.focus()
        await desk.pilot.press("enter")
        await rest(desk, "Second", "Yes, sir.")


async def test_escape_gives_up_editing_and_brings_the_draft_back(open_desk: Opener) -> None:
    async with open_desk(FakeEngine()) as desk:
        await desk.ask("First")
        await desk.write("a thought")
        await desk.pilot.press("alt+e")
        await desk.write(" changed")
        await desk.pilot.press("escape")
        assert desk.screen.composer.text == "a thought"
        assert not desk.screen.query_one(PurposeLine).display
        assert place(desk, 0) == "1/1"
        assert desk.session.draft == "a thought"


async def test_an_edit_goes_on_after_a_restart(open_desk: Opener) -> None:
    async with open_desk(FakeEngine()) as desk:
        await desk.ask("First")
        await desk.write("a thought")
        await desk.pilot.press("alt+e")
        await desk.write(" of all")
        await desk.pilot.press("ctrl+q")
    async with open_desk(FakeEngine(Script(["Again."]))) as desk:
        await desk.pilot.press("alt+down")
        await desk.until(lambda: desk.screen.composer.text == "First of all")
        assert desk.screen.query_one(PurposeLine).display
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        await desk.pilot.press("enter")
        await rest(desk, "First of all", "Again.")
        assert place(desk, 0) == "2/2"
        assert desk.screen.composer.text == "a thought"


async def test_a_question_sent_unchanged_gets_another_reply_and_no_second_version(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["One."]), Script(["Two."]))) as desk:
        await desk.ask("First")
        await desk.pilot.press("alt+e", "enter")
        await rest(desk, "First", "Two.")
        assert (place(desk, 0), place(desk, 1)) == ("1/1", "2/2")


async def test_editing_ends_the_reply_that_is_being_written_and_keeps_its_text(open_desk: Opener) -> None:
    gate = asyncio.Event()
    async with open_desk(FakeEngine(Script(["Half", " never"], hold={1: gate}), Script(["Two."]))) as desk:
        await desk.write("First")
        await desk.pilot.press("enter")
        await desk.until(lambda: texts(desk) == ["First", "Half"])
        await desk.pilot.press("alt+e")
        await type_over(desk, "Second")
        await desk.pilot.press("enter")
        await rest(desk, "Second", "Two.")
        desk.screen.transcript.views[0].focus()
        await desk.pilot.press("[")
        await rest(desk, "First", "Half")


async def test_another_window_on_the_same_chat_may_write_a_new_question_meanwhile(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["One."]), Script(["Two."]))) as desk:
        await desk.ask("First")
        other = ChatSession(FakeEngine(), desk.store)
        other.open_chat(desk.session.chat_id or "")
        other.purpose.edit(None, "")
        assert other.purpose.current is not None
        await desk.ask("Then")
        assert texts(desk) == ["First", "One.", "Then", "Two."]
        await other.close()


# ---- replies


async def test_any_reply_can_be_written_again_and_both_lines_stay(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["One."]), Script(["Two."]), Script(["Three."]))) as desk:
        await desk.ask("First")
        await desk.ask("Then")
        desk.screen.transcript.views[1].focus()
        await desk.pilot.press("r")
        await rest(desk, "First", "Three.")
        assert place(desk, 1) == "2/2"
        desk.screen.transcript.views[1].focus()
        await desk.pilot.press("[")
        await rest(desk, "First", "One.", "Then", "Two.")


async def test_whoever_comes_back_to_a_version_finds_it_as_it_was_left(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["One."]), Script(["Two."]), Script(["Three."]))) as desk:
        await desk.ask("First")
        await desk.pilot.press("ctrl+r")
        await rest(desk, "First", "Two.")
        await desk.pilot.press("alt+left")
        await rest(desk, "First", "One.")
        await desk.pilot.press("alt+e")
        await type_over(desk, "Other")
        await desk.pilot.press("enter")
        await rest(desk, "Other", "Three.")
        desk.screen.transcript.views[0].focus()
        await desk.pilot.press("[")
        await rest(desk, "First", "One.")  # not the newest, "Two."


async def test_a_stopped_reply_goes_on_in_place_from_where_it_ended(open_desk: Opener) -> None:
    gate = asyncio.Event()
    engine = FakeEngine(Script(["Once upon", " never"], hold={1: gate}), Script([" a time", "."]))
    async with open_desk(engine) as desk:
        await desk.write("A story")
        await desk.pilot.press("enter")
        await desk.until(lambda: texts(desk)[-1:] == ["Once upon"])
        await desk.pilot.press("escape")
        await desk.until(lambda: desk.idle)
        await desk.pilot.press("alt+c")
        await rest(desk, "A story", "Once upon a time.")
        assert engine.options[-1].prefill == "Once upon"
        assert [m.content for m in engine.asked[-1]] == ["A story"]
        assert place(desk, 1) == "1/1"
        reply = desk.store.branch(desk.session.chat_id or "")[-1]
        assert (reply.content, reply.status, reply.stats["completion_tokens"]) == ("Once upon a time.", "complete", 3)


async def test_a_reply_that_was_cut_by_a_crash_goes_on(open_desk: Opener) -> None:
    store = open_desk.store
    chat = store.create_conversation().id
    question = store.add_message(chat, None, "user", "A story")
    store.finish(store.begin_reply(chat, question.id, "tiny"), "Once", "interrupted")
    async with open_desk(FakeEngine(Script([" more."]))) as desk:
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        await desk.pilot.press("alt+down")
        await desk.until(lambda: len(desk.replies) == 1)
        desk.replies[0].focus()
        await desk.pilot.press("g")
        await rest(desk, "A story", "Once more.")
        assert place(desk, 1) == "1/1"


async def test_a_reply_that_was_answered_already_goes_on_as_another_version(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["One."]), Script(["Two."]), Script([" And more."]))) as desk:
        await desk.ask("First")
        await desk.ask("Then")
        desk.screen.transcript.views[1].focus()
        await desk.pilot.press("g")
        await rest(desk, "First", "One. And more.")
        assert place(desk, 1) == "2/2"
        await desk.pilot.press("alt+left")
        await rest(desk, "First", "One.", "Then", "Two.")


async def test_the_reply_of_another_model_goes_on_as_another_version(open_desk: Opener) -> None:
    store = open_desk.store
    chat = store.create_conversation().id
    question = store.add_message(chat, None, "user", "Hi")
    store.finish(store.begin_reply(chat, question.id, "second"), "Well", "stopped")
    async with open_desk(FakeEngine(Script([", hello."])), shelf=FakeShelf(TINY, OTHER)) as desk:
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        await desk.pilot.press("alt+down", "alt+c")
        await rest(desk, "Hi", "Well, hello.")
        assert place(desk, 1) == "2/2"
        assert desk.session.messages()[1].writer == TINY.title
        await desk.until(lambda: TINY.title in footnote(desk.replies[0].message))


async def test_a_reply_to_which_nothing_is_added_stays_as_it_is_and_that_is_said(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["One."]), Script([]))) as desk:
        await desk.ask("First")
        await desk.pilot.press("alt+c")
        await desk.until(lambda: "The model has nothing to add." in desk.notices())
        await rest(desk, "First", "One.")
        assert place(desk, 1) == "1/1"


async def test_the_model_is_given_the_beginning_of_the_reply_that_the_user_wrote(open_desk: Opener) -> None:
    engine = FakeEngine(Script(["One."]), Script([" sir."]))
    async with open_desk(engine) as desk:
        await desk.ask("Greet me")
        await desk.pilot.press("alt+w")
        assert desk.screen.query_one(PurposeLine).display
        await desk.write("Good morning, ")
        await desk.pilot.press("enter")
        await rest(desk, "Greet me", "Good morning, sir.")
        assert engine.options[-1].prefill == "Good morning,"
        assert place(desk, 1) == "2/2"
        assert not desk.screen.query_one(PurposeLine).display


async def test_a_new_question_can_be_sent_with_the_beginning_of_its_reply(open_desk: Opener) -> None:
    engine = FakeEngine(Script([" sir."]))
    async with open_desk(engine) as desk:
        await desk.write("Greet me")
        await desk.pilot.press("alt+w")
        assert desk.screen.composer.text == ""
        assert "Greet me" in desk.shown_text()
        await desk.pilot.press("escape")
        assert desk.screen.composer.text == "Greet me"
        await desk.pilot.press("alt+w")
        await desk.write("Hello")
        await desk.pilot.press("enter")
        await rest(desk, "Greet me", "Hello sir.")
        assert desk.screen.composer.text == ""
        assert engine.options[-1].prefill == "Hello"


async def test_the_last_line_shows_what_can_be_done_with_the_message_in_focus(open_desk: Opener) -> None:
    async with open_desk(FakeEngine()) as desk:
        await desk.ask("First")
        desk.replies[0].focus()
        await desk.until(lambda: "g Go on" in desk.shown_text() and "f Fork" in desk.shown_text())
        desk.screen.composer.focus()
        await desk.until(lambda: "g Go on" not in desk.shown_text() and "^n New" in desk.shown_text())


# ---- copies


async def test_a_fork_is_a_copy_down_to_the_message_in_focus(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["One."]), Script(["Two."]), Script(["Three."]))) as desk:
        await desk.ask("First")
        await desk.ask("Then")
        original = desk.session.chat_id
        desk.screen.transcript.views[1].focus()
        await desk.pilot.press("f")
        await desk.until(lambda: desk.session.chat_id != original)
        await rest(desk, "First", "One.")
        assert desk.session.title == "First (2)"
        await desk.ask("Elsewhere")
        assert texts(desk) == ["First", "One.", "Elsewhere", "Three."]
        assert [m.content for m in desk.store.branch(original or "")] == ["First", "One.", "Then", "Two."]


async def test_a_fork_of_a_private_chat_is_private(open_desk: Opener) -> None:
    async with open_desk(FakeEngine()) as desk:
        await desk.pilot.press("alt+n")
        await desk.ask("Secret")
        original = desk.session.chat_id
        await desk.pilot.press("alt+d")
        await desk.until(lambda: desk.session.chat_id != original)
        await rest(desk, "Secret", "Hello there.")
        assert desk.session.is_private
        assert desk.store.conversations() == []


# ---- side by side


def columns(desk: Desk) -> list[ReplyColumn]:
    return list(desk.app.screen.query(ReplyColumn))


async def compare(desk: Desk) -> None:
    """Ask a question, and the second model for the same."""
    await desk.ask("First")
    await desk.pilot.press("alt+v")
    await desk.until(lambda: bool(desk.app.screen.query("OptionList")))
    await desk.pilot.press("enter")
    await desk.until(lambda: isinstance(desk.app.screen, SideBySideScreen) and len(columns(desk)) == 2)


async def test_a_second_model_answers_beside_the_first_which_is_loaded_again(open_desk: Opener) -> None:
    engine = FakeEngine(Script(["One."]), Script(["Another."]), Script(["Three."]))
    async with open_desk(engine, size=(120, 30), shelf=FakeShelf(TINY, OTHER)) as desk:
        await compare(desk)
        await desk.until(lambda: engine.loads == ["/nowhere/tiny", "/nowhere/second", "/nowhere/tiny"])
        await desk.until(lambda: columns(desk)[1].view.message.text == "Another.")
        left, right = columns(desk)
        assert left.view.message.text == "One."
        assert left.region.right <= right.region.x and left.region.y == right.region.y
        shown = desk.shown_text()
        assert TINY.title in shown and OTHER.title in shown
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        await desk.pilot.press("enter")
        await rest(desk, "First", "Another.")
        assert desk.store.branch(desk.session.chat_id or "")[-1].model == "second"
        await desk.until(lambda: OTHER.title in footnote(desk.replies[0].message))
        await desk.ask("Then")
        assert engine.loads[-1] == "/nowhere/tiny" and len(engine.loads) == 3
        assert texts(desk) == ["First", "Another.", "Then", "Three."]


async def test_the_status_says_that_a_model_is_there_for_one_reply(open_desk: Opener) -> None:
    engine = FakeEngine(Script(["One."]), Script(["Another."]))
    async with open_desk(engine, shelf=FakeShelf(TINY, OTHER)) as desk:
        await desk.ask("First")
        engine.may_load.clear()
        await desk.pilot.press("alt+v")
        await desk.until(lambda: bool(desk.app.screen.query("OptionList")))
        await desk.pilot.press("enter")
        await desk.until(lambda: "For one reply" in desk.shown_text())
        engine.may_load.set()
        await desk.until(lambda: len(engine.loads) == 3 and desk.session.engine_state.phase == "ready")


async def test_one_that_is_only_looked_at_changes_nothing(open_desk: Opener) -> None:
    engine = FakeEngine(Script(["One."]), Script(["Another."]))
    async with open_desk(engine, shelf=FakeShelf(TINY, OTHER)) as desk:
        await compare(desk)
        await desk.until(lambda: len(engine.loads) == 3 and desk.session.engine_state.phase == "ready")
        await desk.pilot.press("tab", "escape")
        await rest(desk, "First", "One.")
        assert place(desk, 1) == "1/2"


async def test_replies_stand_one_over_the_other_in_a_narrow_window(open_desk: Opener) -> None:
    engine = FakeEngine(Script(["One."]), Script(["Another."]))
    async with open_desk(engine, size=(80, 24), shelf=FakeShelf(TINY, OTHER)) as desk:
        await compare(desk)
        await desk.until(lambda: len(engine.loads) == 3 and desk.session.engine_state.phase == "ready")
        first, second = columns(desk)
        assert first.region.bottom <= second.region.y and first.region.x == second.region.x
        await desk.pilot.press("tab", "enter")
        await rest(desk, "First", "One.")


async def test_versions_that_are_there_are_compared_without_asking(open_desk: Opener) -> None:
    engine = FakeEngine(Script(["One."]), Script(["Two."]), Script(["Three."]))
    async with open_desk(engine, size=(120, 30)) as desk:
        await desk.ask("First")
        for text in ("Two.", "Three."):
            await desk.pilot.press("ctrl+r")
            await rest(desk, "First", text)
        await desk.pilot.press("alt+v")
        await desk.until(lambda: isinstance(desk.app.screen, SideBySideScreen) and len(columns(desk)) == 2)
        assert [column.view.message.text for column in columns(desk)] == ["Three.", "Two."]
        await desk.pilot.press("[")
        await desk.until(lambda: columns(desk)[1].view.message.text == "One.")
        await desk.pilot.press("enter")
        await rest(desk, "First", "One.")
        assert len(engine.asked) == 3


async def test_the_code_of_the_reply_in_focus_is_copied(open_desk: Opener) -> None:
    engine = FakeEngine(Script(["```\nfirst\n```"]), Script(["```\nsecond\n```"]))
    async with open_desk(engine, size=(120, 30)) as desk:
        await desk.ask("First")
        await desk.pilot.press("ctrl+r")
        await desk.until(lambda: place(desk, 1) == "2/2" and desk.idle)
        await desk.pilot.press("alt+v")
        await desk.until(lambda: isinstance(desk.app.screen, SideBySideScreen) and len(columns(desk)) == 2)
        await desk.pilot.press("c")
        await desk.until(lambda: desk.app.clipboard.strip() == "first")
        await desk.pilot.press("tab", "c")
        await desk.until(lambda: desk.app.clipboard.strip() == "second")


async def test_a_second_model_that_cannot_be_loaded_is_said_and_the_first_comes_back(open_desk: Opener) -> None:
    engine = FakeEngine(Script(["One."]), Script(["Two."]))
    async with open_desk(engine, size=(120, 30), shelf=FakeShelf(TINY, OTHER)) as desk:
        await desk.ask("First")
        engine.errors_of["/nowhere/second"] = NotEnoughMemory("It needs 9 GB.", "Close other programs.")
        await desk.pilot.press("alt+v")
        await desk.until(lambda: bool(desk.app.screen.query("OptionList")))
        await desk.pilot.press("enter")
        await desk.until(lambda: "It needs 9 GB." in desk.shown_text())
        await desk.until(lambda: len(engine.loads) == 3 and desk.session.engine_state.phase == "ready")
        await desk.pilot.press("escape")
        await rest(desk, "First", "One.")
        await desk.ask("Then")
        assert texts(desk)[-1] == "Two."


async def test_escape_ends_the_second_models_load_and_the_first_comes_back(open_desk: Opener) -> None:
    engine = FakeEngine(Script(["One."]))
    async with open_desk(engine, size=(120, 30), shelf=FakeShelf(TINY, OTHER)) as desk:
        await desk.ask("First")
        engine.may_load.clear()
        await desk.pilot.press("alt+v")
        await desk.until(lambda: bool(desk.app.screen.query("OptionList")))
        await desk.pilot.press("enter")
        await desk.until(lambda: len(engine.loads) == 2 and isinstance(desk.app.screen, SideBySideScreen))
        await desk.pilot.press("escape")
        engine.may_load.set()
        await desk.until(lambda: len(engine.loads) == 3 and desk.session.engine_state.phase == "ready")
        assert engine.loads[-1] == "/nowhere/tiny"
        assert [column.message.status for column in columns(desk)] == ["complete", "stopped"]
        await desk.pilot.press("escape")
        await rest(desk, "First", "One.")


async def test_without_a_second_model_it_is_said(open_desk: Opener) -> None:
    async with open_desk(FakeEngine()) as desk:
        await desk.ask("First")
        desk.replies[0].focus()
        await desk.pilot.press("v")
        await desk.until(lambda: any("No other model" in notice for notice in desk.notices()))


async def test_a_command_names_the_model_that_is_to_answer_too(open_desk: Opener) -> None:
    engine = FakeEngine(Script(["One."]), Script(["Another."]))
    async with open_desk(engine, size=(120, 30), shelf=FakeShelf(TINY, OTHER)) as desk:
        await desk.ask("First")
        await desk.write("/compare second")
        await desk.pilot.press("enter")
        await desk.until(lambda: isinstance(desk.app.screen, SideBySideScreen))
        await desk.until(lambda: columns(desk)[1].view.message.text == "Another.")


async def test_the_commands_for_editing_and_beginning_leave_no_trace_of_themselves(open_desk: Opener) -> None:
    async with open_desk(FakeEngine()) as desk:
        await desk.ask("First")
        for command in ("/edit", "/begin"):
            await desk.write(command)
            await desk.pilot.press("enter")
            await desk.until(lambda: desk.screen.query_one(PurposeLine).display)
            await desk.pilot.press("escape")
            await desk.until(lambda: not desk.screen.query_one(PurposeLine).display)
            assert desk.screen.composer.text == ""
