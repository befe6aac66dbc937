"""Reading: what was thought, code, links, tables, and a transcript that stays still under the reader's eyes."""

from __future__ import annotations

import asyncio

import pytest

from localchat.messages import Message
from localchat.ui.screens.links import LinksScreen
from localchat.ui.widgets.message_view import ReplyView
from localchat.ui.widgets.thinking_part import ThinkingPart
from tests.ui.conftest import Desk, Opener
from tests.ui.fake_engine import FakeEngine, Script

THOUGHT = Script(["The", " answer."], thinking=["First", " this,", " then **that**."])
CODE = "Look:\n\n```python\nprint(1)\n```\n\nor\n\n```sh\nls -l\n```\n"
LINKS = "See [the docs](https://example.com/a) and <https://example.com/b>."


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was put into the clipboard."""
    texts: list[str] = []
    monkeypatch.setattr("localchat.ui.app.LocalChatApp.copy_text", lambda _app, text, _said="": texts.append(text))
    return texts


def screen_text(desk: Desk) -> str:
    strips = desk.app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def thinking(desk: Desk) -> ThinkingPart:
    part = desk.replies[-1].thinking
    assert part is not None
    return part


async def test_thinking_is_folded_with_its_length_and_a_key_unfolds_it(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(THOUGHT)) as desk:
        await desk.ask("Why?")
        await desk.pilot.pause()
        shown = screen_text(desk)
        assert "▸ Thought for 3.2 s, 3 tokens" in shown and "The answer." in shown
        assert "First this" not in shown
        desk.replies[-1].focus()
        await desk.pilot.press("t")
        await desk.until(lambda: "First this, then that." in screen_text(desk))
        await desk.pilot.press("enter")
        await desk.until(lambda: "First this" not in screen_text(desk))


async def test_while_it_thinks_the_tokens_are_counted_and_the_answer_is_waited_for(open_desk: Opener) -> None:
    gate, counted = asyncio.Event(), asyncio.Event()
    script = Script(["Yes."], thinking=["a "] * 40, hold={~40: gate, ~1: counted, 0: gate}, pause_s=0.01)
    async with open_desk(FakeEngine(script)) as desk:
        await desk.write("Hm?")
        await desk.pilot.press("enter")
        await desk.until(lambda: "▸ Thinking… 1 token" in screen_text(desk))
        counted.set()
        await desk.until(lambda: "Thinking… 2" in screen_text(desk) or "Thinking… 3" in screen_text(desk))
        assert desk.replies[-1].body is None
        gate.set()
        await desk.until(lambda: desk.idle)


async def test_thinking_is_over_when_the_answer_begins(open_desk: Opener) -> None:
    gate = asyncio.Event()
    async with open_desk(FakeEngine(Script(["Yes", "."], thinking=["Hm"], hold={1: gate}))) as desk:
        await desk.write("Hm?")
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.body() == "Yes")
        await desk.until(lambda: "▸ Thought for" in screen_text(desk) and "Yes" in screen_text(desk))
        gate.set()
        await desk.until(lambda: "▸ Thought for 3.2 s, 1 token" in screen_text(desk))


async def test_one_key_unfolds_all_thinking_also_of_replies_to_come(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(THOUGHT)) as desk:
        await desk.ask("One")
        await desk.ask("Two")
        await desk.pilot.press("alt+t")
        assert [view.thinking.unfolded for view in desk.replies if view.thinking] == [True, True]
        await desk.ask("Three")
        assert thinking(desk).unfolded
        await desk.pilot.press("alt+t")
        assert not any(view.thinking.unfolded for view in desk.replies if view.thinking)


async def test_thinking_is_kept_with_the_reply_and_given_to_the_model_apart_from_it(open_desk: Opener) -> None:
    engine = FakeEngine(THOUGHT, Script())
    async with open_desk(engine) as desk:
        await desk.ask("Why?")
        stored = desk.store.branch(desk.session.chat_id or "")[-1]
        assert (stored.content, stored.thinking) == ("The answer.", "First this, then **that**.")
        await desk.ask("And?")
        assert Message("assistant", "The answer.", "First this, then **that**.") in engine.asked[-1]
        await desk.screen.show_branch()
        assert "Thought for 3.2 s" in str(desk.replies[0].query_one(".thinking-head").render())


async def test_stopped_while_thinking_keeps_the_thought_and_goes_on_from_it(open_desk: Opener) -> None:
    gate = asyncio.Event()
    scripts = Script(["No."], thinking=["Half a", " thought"], hold={~1: gate}), Script(["Go."], thinking=[" idea"])
    engine = FakeEngine(*scripts)
    async with open_desk(engine) as desk:
        await desk.write("Hm?")
        await desk.pilot.press("enter")
        await desk.until(lambda: bool(desk.replies) and desk.replies[-1].thinking is not None)
        await desk.pilot.press("escape")
        await desk.until(lambda: desk.idle)
        stored = desk.store.branch(desk.session.chat_id or "")[-1]
        assert (stored.status, stored.content, stored.thinking) == ("stopped", "", "Half a")
        await desk.pilot.press("alt+c")
        await desk.until(lambda: len(engine.options) == 2 and desk.idle)
        assert (engine.options[1].prefill, engine.options[1].thinking) == ("", "Half a")
        stored = desk.store.branch(desk.session.chat_id or "")[-1]
        assert (stored.status, stored.content, stored.thinking) == ("complete", "Go.", "Half a idea")


async def test_c_copies_the_first_block_of_code_and_then_the_next(open_desk: Opener, copied: list[str]) -> None:
    async with open_desk(FakeEngine(Script([CODE]))) as desk:
        await desk.ask("Code")
        desk.replies[-1].focus()
        await desk.pilot.press("c", "c", "c")
        assert copied == ["print(1)", "ls -l", "print(1)"]


async def test_a_click_on_copy_takes_the_code_under_it(open_desk: Opener, copied: list[str]) -> None:
    async with open_desk(FakeEngine(Script([CODE]))) as desk:
        await desk.ask("Code")
        await desk.pilot.pause()
        body = desk.replies[-1].body
        assert body is not None
        row = next(
            y for y, line in enumerate(body.rows(body.size.width)) if line.content.plain.strip().startswith("sh")
        )
        column = body.rows(body.size.width)[row].content.plain.index("copy")
        await desk.pilot.click(body, offset=(column, row))
        assert copied == ["ls -l"]


async def test_the_language_and_the_key_stand_above_code(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script([CODE]))) as desk:
        await desk.ask("Code")
        await desk.pilot.pause()
        rows = [" ".join(row.split()) for row in screen_text(desk).splitlines()]
        assert "python c copy" in rows and "sh c copy" in rows


async def test_links_are_listed_and_copied_but_never_opened(
    open_desk: Opener, copied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("textual.app.App.open_url", lambda _app, url, **_: opened.append(url))
    async with open_desk(FakeEngine(Script([LINKS]))) as desk:
        await desk.ask("Links")
        desk.replies[-1].focus()
        await desk.pilot.press("l")
        await desk.until(lambda: isinstance(desk.app.screen, LinksScreen))
        await desk.pilot.press("down", "enter")
        await desk.until(lambda: copied == ["https://example.com/b"])
        body = desk.replies[-1].body
        assert body is not None
        await desk.pilot.click(body, offset=(6, 0))
        assert copied[-1] == "https://example.com/a"
    assert opened == []


async def test_the_text_above_stands_still_while_a_reply_grows_by_a_row(open_desk: Opener) -> None:
    gate = asyncio.Event()
    pieces = ["one\n\n", "two"]
    async with open_desk(FakeEngine(Script(pieces, hold={1: gate}))) as desk:
        await desk.write("Grow")
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.body() == "one\n\n")
        await desk.pilot.pause()
        view = desk.replies[0]
        before = view.region
        gate.set()
        await desk.until(lambda: desk.body() == "one\n\ntwo" and "two" in screen_text(desk))
        assert view.region.offset == before.offset
        await desk.until(lambda: desk.idle)


async def test_a_selection_gives_the_text_without_bars_and_wraps(open_desk: Opener) -> None:
    words = "word " * 40
    async with open_desk(FakeEngine(Script([f"> {words.strip()}\n\nend"]))) as desk:
        await desk.ask("Quote")
        await desk.pilot.pause()
        body = desk.replies[-1].body
        assert body is not None
        body.text_select_all()
        await desk.pilot.pause()
        assert desk.app.screen.get_selected_text() == f"{words.strip()}\n\nend"


async def test_a_reply_of_another_window_shows_what_it_thought(open_desk: Opener) -> None:
    async with open_desk() as desk:
        chat = desk.store.create_conversation().id
        question = desk.store.add_message(chat, None, "user", "q").id
        reply = desk.store.begin_reply(chat, question, "tiny")
        desk.store.checkpoint(reply, "", "so far")
        await desk.screen.open_chat(chat)
        view = desk.screen.transcript.reply(reply)
        assert isinstance(view, ReplyView) and view.thinking is not None and view.thinking.text == "so far"


async def test_following_resumes_when_the_reader_comes_back_to_the_end(open_desk: Opener) -> None:
    gate, again = asyncio.Event(), asyncio.Event()
    pieces = ["line\n\n" * 40, "more\n\n" * 20, "and\n\n" * 20]
    async with open_desk(FakeEngine(Script(pieces, hold={1: gate, 2: again}))) as desk:
        await desk.write("Long")
        await desk.pilot.press("enter")
        transcript = desk.screen.transcript
        await desk.until(lambda: transcript.max_scroll_y > 20 and transcript.scroll_y == transcript.max_scroll_y)
        await desk.pilot.press("pageup")
        before = transcript.max_scroll_y
        gate.set()
        await desk.until(lambda: transcript.max_scroll_y > before)
        assert transcript.scroll_y < before
        while transcript.scroll_y < transcript.max_scroll_y:
            await desk.pilot.press("pagedown")
            await desk.pilot.pause()
        before = transcript.max_scroll_y
        again.set()
        await desk.until(lambda: desk.idle and transcript.max_scroll_y > before)
        await desk.until(lambda: transcript.scroll_y == transcript.max_scroll_y)
