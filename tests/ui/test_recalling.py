"""Earlier questions brought back with the arrows, and drafts that outlive everything."""

from __future__ import annotations

from localchat.history.store import HistoryStore
from tests.ui.conftest import Desk, Opener


async def press(desk: Desk, *keys: str) -> str:
    await desk.pilot.press(*keys)
    await desk.pilot.pause()
    return desk.screen.composer.text


async def test_up_walks_back_through_the_questions_and_down_returns_to_the_draft(open_desk: Opener) -> None:
    async with open_desk() as desk:
        for question in ("one", "two", "three"):
            await desk.ask(question)
        await desk.write("half a thought")
        assert await press(desk, "up") == "half a thought"  # first to the beginning of the draft
        assert await press(desk, "up") == "three"
        assert await press(desk, "up") == "two"
        assert await press(desk, "up", "up") == "one"  # the oldest stays
        assert await press(desk, "down", "down") == "three"
        assert await press(desk, "down") == "half a thought"
        assert await press(desk, "down") == "half a thought"


async def test_questions_of_other_chats_and_earlier_days_follow_those_of_this_one(
    open_desk: Opener, store: HistoryStore
) -> None:
    for text in ("long ago", "yesterday"):
        store.add_message(store.create_conversation().id, None, "user", text)
    gone = store.create_conversation().id
    store.add_message(gone, None, "user", "deleted")
    store.delete(gone)
    async with open_desk() as desk:
        await desk.ask("here")
        await desk.pilot.press("ctrl+n")
        await desk.ask("there")
        await desk.screen.open_chat(desk.session.neighbour(1))
        assert [await press(desk, "up") for _ in range(5)] == ["here", "there", "yesterday", "long ago", "long ago"]


async def test_the_same_question_comes_once(open_desk: Opener) -> None:
    async with open_desk() as desk:
        for question in ("a", "b", "a"):
            await desk.ask(question)
        assert [await press(desk, "up") for _ in range(3)] == ["a", "b", "b"]


async def test_inside_a_draft_of_several_lines_the_arrows_move_the_cursor(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.ask("before")
        await desk.write("first\nsecond")
        assert await press(desk, "up", "up") == "first\nsecond"
        assert desk.screen.composer.cursor_location == (0, 0)
        assert await press(desk, "down", "down") == "first\nsecond"
        assert desk.screen.composer.cursor_location == (1, len("second"))


async def test_a_question_of_several_lines_is_one_step_up_and_can_be_walked_through_downwards(
    open_desk: Opener,
) -> None:
    async with open_desk() as desk:
        await desk.ask("older")
        await desk.ask("one\ntwo")
        assert await press(desk, "up") == "one\ntwo"
        assert await press(desk, "up") == "older"
        assert await press(desk, "down") == "one\ntwo"
        assert desk.screen.composer.cursor_location == (1, 3)


async def test_a_recalled_question_that_is_changed_is_a_draft_of_its_own(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.ask("one")
        await desk.ask("two")
        await press(desk, "up", "!")
        assert await press(desk, "down") == "two!"
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.idle and len(desk.session.messages()) == 6)
        assert desk.session.messages()[4].text == "two!"


async def test_looking_at_earlier_questions_leaves_the_saved_draft_alone(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.ask("asked")
        await desk.write("my draft")
        await press(desk, "up", "up")
        desk.screen.save_draft()
        assert desk.session.draft == "my draft"


async def test_a_draft_on_an_empty_page_is_there_again_after_a_restart(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.ask("An older chat")
        await desk.pilot.press("ctrl+n")
        await desk.write("写到一半")
        await desk.until(lambda: desk.session.draft == "写到一半")
    async with open_desk() as desk:
        assert desk.screen.composer.text == "写到一半"
        assert desk.session.messages() == []


async def test_a_restart_opens_an_empty_page_when_something_else_was_done_last(
    open_desk: Opener, store: HistoryStore
) -> None:
    drafted = store.create_conversation().id
    store.set_draft(drafted, "older draft")
    store.add_message(store.create_conversation().id, None, "user", "newer")
    async with open_desk() as desk:
        assert desk.screen.composer.text == ""
        assert desk.session.chat_id is None
