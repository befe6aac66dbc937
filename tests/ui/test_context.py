"""What the model will no longer see is said before a message is sent; what is pinned stays; the ledger shows it all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localchat.config import Config
from localchat.history.store import HistoryStore
from localchat.ui.screens import chat_context
from localchat.ui.screens.context import ContextScreen
from localchat.ui.widgets.context_line import ContextLine
from tests.ui.conftest import Desk, Opener
from tests.ui.fake_engine import FakeEngine, Script
from tests.ui.test_linear import talk


def long_chat(store: HistoryStore, turns: int = 6, *, pinned: int | None = None) -> str:
    """A chat whose questions are numbered; a question and its reply cost 104 tokens of the fake template."""
    chat = store.create_conversation().id
    parent = None
    for i in range(turns):
        asked = store.add_message(chat, parent, "user", f"{f'问题 {i}':<50}")
        if i == pinned:
            store.set_message_pinned(asked.id, True)
        parent = store.begin_reply(chat, asked.id, "tiny")
        store.finish(parent, f"{f'Answer {i}':<50}")
    return chat


def narrow_engine(window: int = 768) -> FakeEngine:
    """Six turns of `long_chat` and a short question fit 768 tokens, of which 192 are the reply's, only just not."""
    engine = FakeEngine(Script(["Fine."]))
    engine.window = window
    engine.info = replace(engine.info, context_length=window)
    return engine


async def show(desk: Desk, chat: str) -> None:
    desk.session.open_chat(chat)
    await desk.screen.show_chat()
    await desk.until(lambda: desk.session.engine_state.phase == "ready")


def line(desk: Desk) -> str:
    widget = desk.screen.query_one(ContextLine)
    return widget.render().plain.strip() if widget.display else ""


async def test_what_a_draft_pushes_out_is_named_over_the_composer_before_it_is_sent(open_desk: Opener) -> None:
    async with open_desk(narrow_engine(), size=(120, 30)) as desk:
        await show(desk, long_chat(desk.store, 5))
        await desk.write("Short?")
        assert line(desk) == ""
        await desk.write(" And now something longer." * 4)
        await desk.until(lambda: "4 older messages will be left out: “问题 0” to “Answer 1”" in line(desk))
        await desk.pilot.press("enter")
        await desk.until(lambda: len(desk.session.messages()) == 12 and desk.idle)
        assert desk.engine.seen[-1][0].content.strip() == "问题 2"
        await desk.until(lambda: "4 older messages left out" in desk.shown_text())


async def test_the_line_goes_when_the_draft_is_short_again(open_desk: Opener) -> None:
    async with open_desk(narrow_engine(), size=(120, 30)) as desk:
        await show(desk, long_chat(desk.store, 5))
        await desk.write("word " * 30)
        await desk.until(lambda: "left out" in line(desk))
        desk.screen.composer.clear()
        await desk.until(lambda: line(desk) == "")


@pytest.mark.parametrize("window", [512, 768, 1536])
async def test_who_sends_before_the_line_could_be_read_is_told_first(
    open_desk: Opener, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first Enter only tells; nothing is sent, and nothing is lost."""
    monkeypatch.setattr(chat_context, "LOOK_PAUSE_S", 1000.0)
    async with open_desk(narrow_engine(window)) as desk:
        turns = window // 104
        await show(desk, long_chat(desk.store, turns))
        await desk.write("At once?")
        await desk.pilot.press("enter")
        await desk.until(lambda: any("left out" in words and "Enter again" in words for words in desk.notices()))
        assert desk.screen.composer.text == "At once?"
        assert len(desk.session.messages()) == 2 * turns
        await desk.pilot.press("enter")
        await desk.until(lambda: len(desk.session.messages()) == 2 * turns + 2 and desk.idle)
        assert "问题 0" not in "".join(m.content for m in desk.engine.seen[-1])


async def test_what_was_told_once_is_not_asked_about_again(open_desk: Opener) -> None:
    async with open_desk(narrow_engine(), size=(120, 30)) as desk:
        await show(desk, long_chat(desk.store, 6))
        await desk.write("First.")
        await desk.pilot.press("enter", "enter")
        await desk.until(lambda: len(desk.session.messages()) == 14 and desk.idle)
        told = len(desk.notices())
        await desk.ask("Then?")
        assert len(desk.notices()) == told
        await desk.until(lambda: "older messages" in line(desk) and not line(desk).startswith("!"))


async def test_a_chat_that_surely_fits_costs_the_engine_nothing(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.ask("Hello")
        await desk.ask("And again")
        assert desk.engine.ledgers == 0


async def test_where_nothing_may_be_left_out_the_message_stays_in_the_composer(open_desk: Opener) -> None:
    async with open_desk(narrow_engine(), config=Config(overflow="stop")) as desk:
        await show(desk, long_chat(desk.store, 6))
        await desk.write("One more?")
        await desk.pilot.press("enter")
        await desk.until(lambda: any("Nothing is left out, as you wished" in words for words in desk.notices()))
        assert desk.screen.composer.text == "One more?"
        assert desk.engine.asked == []
        assert line(desk).startswith("!")


async def test_a_key_pins_a_message_which_then_stays_in_view_of_the_model(open_desk: Opener) -> None:
    async with open_desk(narrow_engine(640), size=(120, 40)) as desk:
        await show(desk, long_chat(desk.store, 5))
        desk.screen.transcript.views[2].focus()
        await desk.pilot.press("p")
        await desk.until(lambda: "◆ Pinned" in desk.shown_text())
        desk.screen.composer.focus()
        await desk.write("Still there?")
        await desk.until(lambda: "left out" in line(desk))
        await desk.pilot.press("enter")
        await desk.until(lambda: len(desk.session.messages()) == 12 and desk.idle)
        asked = [m.content.strip() for m in desk.engine.seen[-1]]
        assert asked[:3] == ["问题 1", "Answer 1", "问题 3"]
        desk.screen.transcript.views[2].focus()
        await desk.pilot.press("p")
        await desk.until(lambda: "◆ Pinned" not in desk.shown_text())
        assert not any(m.pinned for m in desk.session.messages())


async def test_a_pin_is_kept_with_the_chat_and_with_an_edited_question(open_desk: Opener, store: HistoryStore) -> None:
    chat = long_chat(store, 2, pinned=1)
    async with open_desk() as desk:
        await show(desk, chat)
        assert desk.screen.transcript.views[2].message.pinned
        desk.screen.transcript.views[2].focus()
        await desk.pilot.press("e")
        desk.screen.composer.clear()
        await desk.write("Asked differently")
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.session.messages()[2].text == "Asked differently" and desk.idle)
        assert desk.session.messages()[2].pinned


# ---- the ledger


async def test_the_ledger_lists_every_part_and_what_is_left_out(open_desk: Opener) -> None:
    async with open_desk(narrow_engine(), size=(120, 50)) as desk:
        await show(desk, long_chat(desk.store, 6, pinned=1))
        await desk.write("/context")
        await desk.pilot.press("enter")
        await desk.until(lambda: isinstance(desk.app.screen, ContextScreen))
        screen = desk.app.screen
        assert isinstance(screen, ContextScreen)
        view = screen._view
        stays = sum(row.tokens for row in view.rows if not row.gone)
        assert stays == view.ledger.prompt_tokens
        assert [row.text for row in view.gone] == ["问题 0", "Answer 0", "问题 2", "Answer 2"]
        shown = desk.shown_text()
        assert f"{view.ledger.prompt_tokens:,} of 768 tokens" in shown
        assert "4 messages are left out" in shown
        assert "◆ You" in shown
        assert "× Model" in shown


async def test_in_the_ledger_a_key_pins_and_enter_goes_to_the_message(open_desk: Opener) -> None:
    async with open_desk(narrow_engine(), size=(120, 50)) as desk:
        await show(desk, long_chat(desk.store, 6))
        await desk.write("So?")
        await desk.screen.run_action("context")
        await desk.until(lambda: isinstance(desk.app.screen, ContextScreen))
        screen = desk.app.screen
        assert isinstance(screen, ContextScreen)
        await desk.pilot.press("p")  # the first message that would go
        await desk.until(lambda: screen._view.gone and screen._view.gone[0].text == "问题 1")
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.app.screen is desk.screen)
        await desk.until(lambda: desk.screen.transcript.focused_view is not None)
        assert desk.screen.transcript.focused_view.message.text.strip() == "问题 0"  # type: ignore[union-attr]


async def test_the_ledger_counts_files_and_the_draft_apart(open_desk: Opener) -> None:
    from localchat.documents.document import Document

    async with open_desk(narrow_engine(5000), size=(120, 50)) as desk:
        desk.session.files.add(Document("笔记.md", "text", "The sea is blue. " * 10))
        await desk.screen.show_chat()
        await desk.write("What colour?")
        await desk.screen.run_action("context")
        await desk.until(lambda: isinstance(desk.app.screen, ContextScreen))
        screen = desk.app.screen
        assert isinstance(screen, ContextScreen)
        rows = {row.kind: row for row in screen._view.rows}
        assert rows["file"].text == "笔记.md"
        assert rows["file"].tokens > 170
        assert rows["draft"].tokens == len("\n\nWhat colour?")


async def test_a_click_on_the_meter_opens_the_ledger(open_desk: Opener) -> None:
    async with open_desk(narrow_engine(), size=(120, 30)) as desk:
        await desk.ask("Hello")
        await desk.until(lambda: "context" in desk.screen.status_line.render().plain)
        row = desk.screen.status_line.render().plain
        await desk.pilot.click("#status", offset=(row.index("context") + 2 + 1, 0))
        await desk.until(lambda: isinstance(desk.app.screen, ContextScreen))


# ---- plain lines


async def test_in_plain_lines_what_goes_is_said_before_the_reply_and_the_context_is_read_out(
    store: HistoryStore,
) -> None:
    chat = long_chat(store, 6)
    store.set_draft(chat, "")
    said = await talk(store, "/chats", "/open 1", "/keep", "/context", "So?", engine=narrow_engine())
    assert "Pinned: the model keeps seeing this exchange." in said
    assert "You: 问题 0 (50 tokens, left out)" in said
    assert "You: 问题 5 (50 tokens, pinned)" in said
    warning = said.index("! 4 older messages will be left out: “问题 0” to “Answer 1”")
    assert warning < said.index("Fine.") < said.index("4 older messages left out")


async def test_in_plain_lines_nothing_is_sent_where_nothing_may_be_left_out(store: HistoryStore) -> None:
    long_chat(store, 6)
    engine = narrow_engine()
    said = await talk(store, "/chats", "/open 1", "So?", engine=engine, config=Config(overflow="stop"))
    assert "! The conversation has" in said
    assert engine.asked == []
