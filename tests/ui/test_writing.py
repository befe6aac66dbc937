"""The composer: line breaks, pasting, drafts, recalling."""

from __future__ import annotations

import asyncio

import pytest
from textual import events
from textual._xterm_parser import XTermParser

from localchat.config import Config
from localchat.ui.terminal_keys import teach_terminal_keys
from tests.ui.conftest import Opener
from tests.ui.fake_engine import FakeEngine


@pytest.mark.parametrize("key", ["shift+enter", "alt+enter", "ctrl+j"])
async def test_these_keys_break_the_line_and_send_nothing(open_desk: Opener, key: str) -> None:
    async with open_desk() as desk:
        await desk.pilot.press("a", key, "b")
        await desk.until(lambda: desk.screen.composer.text == "a\nb")
        assert desk.session.messages() == []


@pytest.mark.parametrize(
    ("sequence", "key"),
    [("\r", "enter"), ("\n", "ctrl+j"), ("\x1b\r", "alt+enter"), ("\x1b[13;2u", "shift+enter")],
)
def test_terminals_send_these_sequences_for_enter_and_its_relatives(sequence: str, key: str) -> None:
    teach_terminal_keys()
    found = [event.key for event in XTermParser().feed(sequence) if isinstance(event, events.Key)]
    assert found == [key]


async def test_enter_may_be_swapped_with_the_line_break(open_desk: Opener) -> None:
    async with open_desk(config=Config(enter_sends=False)) as desk:
        await desk.pilot.press("a", "enter", "b")
        await desk.until(lambda: desk.screen.composer.text == "a\nb")
        await desk.pilot.press("ctrl+j")
        await desk.until(lambda: desk.idle)
        assert desk.session.messages()[0].text == "a\nb"


async def test_pasting_several_lines_inserts_them_without_their_control_characters(open_desk: Opener) -> None:
    async with open_desk() as desk:
        desk.screen.composer.post_message(events.Paste("one\r\ntwo\x1b[31m\n三"))
        await desk.until(lambda: desk.screen.composer.text)
        assert desk.screen.composer.text == "one\ntwo[31m\n三"
        assert desk.session.messages() == []


async def test_the_composer_grows_with_its_text_up_to_eight_lines(open_desk: Opener) -> None:
    async with open_desk() as desk:
        heights = []
        for _ in range(12):
            await desk.pilot.press("x", "ctrl+j")
            heights.append(desk.screen.composer.content_size.height)
        assert heights[0] == 2
        assert heights == sorted(heights)
        assert heights[-1] == 8


async def test_backspace_removes_a_whole_wide_character(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.write("你好👩‍👩‍👧")
        await desk.write("世")
        await desk.pilot.press("backspace")
        await desk.until(lambda: desk.screen.composer.text == "你好👩‍👩‍👧")


async def test_nothing_is_sent_when_nothing_but_white_space_is_written(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.pilot.press("space", "enter")
        await desk.until(lambda: desk.session.messages() == [])


async def test_a_draft_is_saved_soon_and_comes_back_with_its_chat(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.ask("First")
        first = desk.session.chat_id or ""
        await desk.write("half a thou")
        await desk.until(lambda: desk.store.draft(first) == "half a thou")
        await desk.pilot.press("ctrl+n")
        await desk.until(lambda: desk.screen.composer.text == "")
        await desk.write("another")
        await desk.pilot.press("alt+down")
        await desk.until(lambda: desk.session.chat_id == first)
        assert desk.screen.composer.text == "half a thou"
        drafts = [chat.draft for chat in desk.store.conversations()]
        assert sorted(drafts) == ["another", "half a thou"]


async def test_a_new_chat_that_was_never_written_in_leaves_no_trace(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.write("x")
        await desk.until(lambda: desk.store.conversations())
        await desk.pilot.press("backspace", "ctrl+n")
        await desk.until(lambda: desk.store.conversations() == [])


async def test_up_in_an_empty_composer_brings_back_the_last_question(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.ask("What was that?")
        await desk.pilot.press("up")
        await desk.until(lambda: desk.screen.composer.text == "What was that?")


async def test_what_is_typed_while_a_reply_streams_stays(open_desk: Opener) -> None:
    from tests.ui.fake_engine import Script

    gate = asyncio.Event()
    async with open_desk(FakeEngine(Script(["a", "b"], hold={1: gate}))) as desk:
        await desk.write("Hi")
        await desk.pilot.press("enter", "n", "e", "x", "t")
        gate.set()
        await desk.until(lambda: desk.idle)
        assert desk.screen.composer.text == "next"
