"""The composer edits what people take for characters, and input methods find its caret."""

from __future__ import annotations

import asyncio

import pytest
from textual import events

from localchat.ui import graphemes
from tests.ui.conftest import Opener
from tests.ui.fake_engine import FakeEngine, Script

CHARACTERS = {
    "family": "👩‍👩‍👧",
    "skin": "👍🏽",
    "heart": "❤️",
    "keycap": "1️⃣",
    "flag": "🇨🇳",
    "accent": "e\u0301",
    "kana": "か\u3099",
    "jamo": "\u1112\u1161\u11ab",
    "han": "你",
    "astral": "𠮷",
}


@pytest.mark.parametrize("character", CHARACTERS.values(), ids=CHARACTERS.keys())
async def test_one_key_deletes_and_passes_a_whole_character(open_desk: Opener, character: str) -> None:
    async with open_desk() as desk:
        composer = desk.screen.composer
        await desk.write(f"a{character}世")
        await desk.pilot.press("left", "left")
        await desk.until(lambda: composer.cursor_location == (0, 1))
        await desk.pilot.press("right")
        await desk.until(lambda: composer.cursor_location == (0, 1 + len(character)))
        await desk.pilot.press("backspace")
        await desk.until(lambda: composer.text == "a世")
        await desk.write(character)
        await desk.pilot.press("left", "delete")
        await desk.until(lambda: composer.text == "a世")


async def test_the_cursor_never_rests_inside_a_character(open_desk: Opener) -> None:
    async with open_desk() as desk:
        composer = desk.screen.composer
        await desk.write("👩‍👩‍👧👩‍👩‍👧\nabcdef")
        for column in range(7):
            composer.move_cursor((1, column))
            await desk.pilot.press("up")
            await desk.until(lambda: composer.cursor_location[0] == 0)
            assert composer.cursor_location[1] in graphemes.boundaries(composer.document[0])


def test_flags_are_cut_in_pairs() -> None:
    assert graphemes.boundaries("🇨🇳🇯🇵x") == [0, 2, 4, 5]
    assert graphemes.boundaries("🇨🇳🇯") == [0, 2, 3]
    assert graphemes.boundaries("") == [0]
    assert graphemes.boundaries("ab") == [0, 1, 2]


async def test_a_long_paste_is_undone_and_redone_as_one(open_desk: Opener) -> None:
    async with open_desk() as desk:
        composer, lines = desk.screen.composer, "\n".join(f"第 {n} 行" for n in range(20))
        composer.post_message(events.Paste(lines))
        await desk.until(lambda: composer.text == lines)
        await desk.pilot.press("ctrl+z")
        await desk.until(lambda: composer.text == "")
        await desk.pilot.press("alt+y")
        await desk.until(lambda: composer.text == lines)


async def test_the_terminals_cursor_stays_at_the_caret_while_the_composer_grows_and_a_reply_streams(
    open_desk: Opener,
) -> None:
    gate = asyncio.Event()
    async with open_desk(FakeEngine(Script(["line\n\n"] * 40, hold={20: gate}))) as desk:
        composer = desk.screen.composer

        async def caret_is_right(what: str) -> None:
            await desk.pilot.pause()
            await desk.until(lambda: desk.app.cursor_position == composer.cursor_screen_offset, what)

        await desk.write("Hi")
        await desk.pilot.press("enter")
        await desk.until(lambda: "line" in desk.body())
        await desk.write("你好")
        await caret_is_right("after two wide characters")
        assert desk.app.cursor_position.x == composer.content_region.x + 4
        await desk.pilot.press("ctrl+j", "ctrl+j")
        await caret_is_right("in a composer that grew")
        assert desk.app.cursor_position.y == composer.content_region.y + 2
        gate.set()
        await desk.until(lambda: desk.idle)
        await caret_is_right("after the reply")
        await desk.pilot.resize_terminal(70, 18)
        await desk.until(lambda: composer.region.bottom < 18)
        await caret_is_right("in a window of another size")
