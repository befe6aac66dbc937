"""Writing actions in the app: on a text, a draft, a message; each change decided about by key; decisions kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from localchat.config import Config, load_config
from localchat.errors import BadLogits
from localchat.ui.screens.review import ReviewScreen
from localchat.ui.screens.writing_menu import WritingMenu
from tests.ui.conftest import Opener
from tests.ui.corrector import RIGHT, SUMMARY, WRONG, TextDesk, answer, correcting, open_text
from tests.ui.fake_engine import FakeEngine, Script

NOT_KEPT = Config(keep_edits="off")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "garden.md"


def decisions(desk: TextDesk) -> list[str | None]:
    review = desk.review.review
    return [review.decision(number) for number in range(len(review.changes))]


# ---- deciding


async def test_what_is_taken_is_in_the_text_and_one_undo_takes_it_back(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path, config=NOT_KEPT) as desk:
        await desk.work("proofread")
        assert [(c.old, c.new) for c in desk.review.review.changes] == [
            ("are", "is"), ("likes", "like"), ("门", "们"), ("secnd", "second"),
        ]  # fmt: skip
        await desk.press("A", "enter")
        await desk.finished()
        assert desk.area.text == RIGHT
        assert path.read_text(encoding="utf-8") == WRONG
        await desk.press("ctrl+z")
        await desk.until(lambda: desk.area.text == WRONG)


async def test_each_change_is_taken_or_left_by_key_and_taken_back(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path, config=NOT_KEPT) as desk:
        await desk.work("proofread")
        await desk.press("a", "r")
        await desk.until(lambda: desk.review.current == 2)
        await desk.until(lambda: "“门” → “们”" in desk.shown_text())
        await desk.press("u")
        await desk.until(lambda: desk.review.current == 1)
        await desk.press("p", "n", "n", "r", "p", "p", "R")
        await desk.until(lambda: None not in decisions(desk))
        assert decisions(desk) == ["accepted", "rejected", "rejected", "rejected"]
        await desk.press("enter")
        await desk.finished()
        assert desk.area.text == WRONG.replace("are", "is", 1)


async def test_leaving_everything_leaves_the_file_byte_for_byte(open_desk: Opener, path: Path) -> None:
    data = WRONG.replace("\n", "\r\n", 1).rstrip("\n").encode("gb18030") * 3
    async with open_text(open_desk, path, data, config=NOT_KEPT) as desk:
        before = path.stat()
        for keys in (["R", "s"], ["escape"]):
            await desk.work("proofread")
            await desk.press(*keys)
            await desk.finished()
        assert path.read_bytes() == data
        assert path.stat().st_mtime_ns == before.st_mtime_ns


async def test_taking_and_saving_in_one_go_keeps_what_the_file_is_like(open_desk: Opener, path: Path) -> None:
    data = WRONG.replace("\n", "\r\n").rstrip("\r\n").encode()
    async with open_text(open_desk, path, data, config=NOT_KEPT) as desk:
        await desk.work("proofread")
        await desk.press("r", "A", "s")
        await desk.until(lambda: path.read_bytes() != data)
        right = RIGHT.replace("is quiet", "are quiet").replace("\n", "\r\n").rstrip("\r\n")
        assert path.read_bytes() == right.encode()


async def test_a_change_is_seen_without_colours(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path, config=NOT_KEPT) as desk:
        await desk.work("proofread")
        await desk.until(lambda: "▸ The garden" in desk.shown_text())
        styles = {
            segment.text: segment.style
            for strip in desk.app.screen._compositor.render_strips()
            for segment in strip
            if segment.style is not None
        }
        assert styles["are"].strike
        assert styles["is"].underline
        await desk.press("a", "a", "p", "p")
        await desk.until(lambda: desk.review.current == 0 and "taken" in desk.shown_text())


async def test_the_text_of_a_review_can_be_copied_or_put_into_the_composer(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path, config=NOT_KEPT) as desk:
        await desk.work("proofread")
        await desk.press("A", "y")
        await desk.until(lambda: desk.app.clipboard == RIGHT)
        await desk.finished()
        assert desk.area.text == WRONG
        await desk.work("proofread")
        await desk.press("m")
        await desk.until(lambda: desk.screen.composer.text == WRONG and desk.screen.composer.has_focus)


# ---- while the model writes


async def test_stopping_keeps_the_pieces_that_are_done(open_desk: Opener, path: Path) -> None:
    gate = asyncio.Event()
    engine = FakeEngine()

    def second_waits(messages: list) -> Script:  # type: ignore[type-arg]
        script = answer(messages)
        return Script(script.pieces, hold={1: gate}) if "我" in messages[-1].content else script

    engine.answer = second_waits  # type: ignore[assignment]
    async with open_text(open_desk, path, engine=engine, config=NOT_KEPT) as desk:
        await desk.run("/write proofread")
        await desk.until(lambda: desk.pane.panel is not None and desk.pane.panel.writing.written == "我们在院子里")
        await desk.until(lambda: "2/3" in desk.shown_text())
        await desk.press("escape")
        await desk.until(desk.is_asked)
        assert desk.engine.stops == 1
        assert [(c.old, c.new) for c in desk.review.review.changes] == [("are", "is"), ("likes", "like")]
        await desk.until(lambda: "Stopped: the rest is as it was." in desk.shown_text())


async def test_a_question_asked_meanwhile_is_answered_between_two_pieces(open_desk: Opener, path: Path) -> None:
    gate = asyncio.Event()
    engine = FakeEngine()

    def first_waits(messages: list) -> Script:  # type: ignore[type-arg]
        script = answer(messages)
        return Script(script.pieces, hold={1: gate}) if "garden" in messages[-1].content else script

    engine.answer = first_waits  # type: ignore[assignment]
    async with open_text(open_desk, path, engine=engine, config=NOT_KEPT) as desk:
        await desk.run("/write proofread")
        await desk.until(lambda: desk.engine.asked)
        desk.screen.composer.focus()
        await desk.write("Who minds?")
        await desk.press("enter")
        await desk.until(lambda: len(desk.session.messages()) == 2)
        assert len(desk.engine.asked) == 1
        gate.set()
        await desk.until(desk.is_asked)
        assert [messages[-1].content for messages in desk.engine.asked].index("Who minds?") == 1
        assert desk.session.messages()[-1].text == "Nobody minds."
        assert len(desk.review.review.changes) == 4


async def test_an_error_of_the_model_is_said_and_the_text_stays(open_desk: Opener, path: Path) -> None:
    engine = FakeEngine(Script(error=BadLogits("The model computed nonsense.", "Try another.")))
    async with open_text(open_desk, path, engine=engine, config=NOT_KEPT) as desk:
        await desk.work("proofread")
        await desk.until(lambda: "The model computed nonsense." in desk.shown_text())
        await desk.press("escape")
        await desk.finished()
        assert desk.area.text == WRONG


async def test_answers_that_are_no_good_are_said(open_desk: Opener, path: Path) -> None:
    engine = FakeEngine(Script(["Ja, ", "ja."]))
    async with open_text(open_desk, path, engine=engine, config=NOT_KEPT) as desk:
        await desk.work("proofread")
        await desk.until(lambda: "2 of 3 parts stay as they are: the answer says" in desk.shown_text())
        assert [change.old for change in desk.review.review.changes] == ["The secnd line"]


# ---- which action, on what


async def test_an_action_is_chosen_by_name_and_another_part_by_tab(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path, config=NOT_KEPT) as desk:
        await desk.press("down", "down", "alt+a")
        await desk.until(lambda: isinstance(desk.app.screen, WritingMenu))
        await desk.press("tab", *"proof", "enter")
        await desk.until(desk.is_asked)
        assert [(c.old, c.new) for c in desk.review.review.changes] == [("门", "们")]


async def test_only_the_selection_is_worked_on(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path, config=NOT_KEPT) as desk:
        await desk.press("end", "ctrl+shift+left", "ctrl+shift+left", "ctrl+shift+left", "ctrl+shift+left")
        assert desk.area.selected_text == "we likes it."
        await desk.work("proofread")
        assert [(c.start, c.old, c.new) for c in desk.review.review.changes] == [(28, "likes", "like")]
        await desk.press("a", "enter")
        await desk.finished()
        assert desk.area.text == WRONG.replace("likes", "like")


async def test_a_tone_is_asked_for_and_told_to_the_model(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path, config=NOT_KEPT) as desk:
        await desk.press("alt+a")
        await desk.until(lambda: isinstance(desk.app.screen, WritingMenu))
        await desk.press(*"tone", "enter", "down", "enter")
        await desk.until(lambda: desk.engine.asked)
        assert "warm and friendly" in desk.engine.asked[0][-1].content


async def test_actions_and_their_values_complete_after_write(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path, config=NOT_KEPT) as desk:
        await desk.press("f9", "slash", *"write", "space", *"tr", "enter")
        await desk.until(lambda: desk.screen.composer.text == "/write translate ")
        await desk.press("f", "enter")
        await desk.until(lambda: desk.engine.asked)
        assert "French" in desk.engine.asked[0][-1].content


async def test_a_wish_in_ones_own_words_is_one_too(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path, config=NOT_KEPT) as desk:
        await desk.run("/write Say {it} like a pirate")
        await desk.until(lambda: desk.engine.asked)
        question = desk.engine.asked[0][-1].content
        assert question.startswith("Say {it} like a pirate")
        assert question.endswith("The garden are quiet and we likes it.")


async def test_a_summary_is_a_text_of_its_own_that_can_be_put_below(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path, config=NOT_KEPT) as desk:
        await desk.work("summarise")
        await desk.until(lambda: SUMMARY in desk.shown_text())
        await desk.press("enter")
        await desk.finished()
        assert desk.area.text == f"{WRONG.rstrip()}\n\n{SUMMARY}\n"


async def test_a_draft_is_proofread_before_it_is_sent(open_desk: Opener) -> None:
    async with open_desk(correcting(), config=NOT_KEPT) as plain:
        desk = TextDesk(plain.app, plain.pilot, plain.engine, plain.store, plain.shelf)
        await desk.write("The garden are quiet here.")
        await desk.press("alt+a")
        await desk.until(lambda: isinstance(desk.app.screen, WritingMenu))
        await desk.until(lambda: "My draft" in desk.shown_text())
        await desk.press(*"proof", "enter")
        await desk.until(lambda: isinstance(desk.app.screen, ReviewScreen))
        await desk.until(desk.is_asked)
        await desk.press("a", "enter")
        await desk.until(lambda: desk.screen.composer.text == "The garden is quiet here.")
        assert desk.session.draft == "The garden is quiet here."
        assert desk.session.messages() == []


async def test_a_message_is_worked_on_and_goes_into_the_composer(open_desk: Opener) -> None:
    async with open_desk(correcting(), config=NOT_KEPT) as plain:
        desk = TextDesk(plain.app, plain.pilot, plain.engine, plain.store, plain.shelf)
        await desk.ask("The garden are quiet here.")
        await desk.press("shift+tab", "up", "w")
        await desk.until(lambda: isinstance(desk.app.screen, WritingMenu))
        await desk.press(*"proof", "enter")
        await desk.until(desk.is_asked)
        await desk.press("A", "enter")
        await desk.until(lambda: desk.screen.composer.text == "The garden is quiet here.")


# ---- from the conversation into the text


async def test_a_reply_is_put_into_the_text_at_its_cursor(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path, config=NOT_KEPT) as desk:
        await desk.press("f9")
        await desk.ask("Who minds?")
        await desk.press("shift+tab", "a")
        await desk.until(lambda: desk.area.text == f"Nobody minds.{WRONG}")


async def test_a_reply_to_a_selection_becomes_changes_to_it(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path, "Somebody minds. It is so.", config=NOT_KEPT) as desk:
        await desk.press("ctrl+shift+right", "ctrl+shift+right", "shift+right")
        await desk.press("f9")
        await desk.ask("Who minds?")
        await desk.run("/insert")
        await desk.until(desk.is_asked)
        assert [(c.old, c.new) for c in desk.review.review.changes] == [("Somebody", "Nobody")]


async def test_a_question_begins_with_what_is_selected(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path, "One.\nTwo.\nThree.", config=NOT_KEPT) as desk:
        await desk.press("shift+down", "shift+end", "alt+q")
        await desk.until(lambda: desk.screen.composer.has_focus)
        assert desk.screen.composer.text == "> One.\n> Two.\n\n"


# ---- decisions that are kept


async def test_consent_is_asked_once_and_decisions_are_kept(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path) as desk:
        await desk.work("proofread")
        await desk.press("a", "R", "enter")
        await desk.asked_to_choose()
        assert desk.store.count_edits() == 0
        await desk.press("enter")
        await desk.until(lambda: desk.store.count_edits() == 3)
        assert load_config().keep_edits == "on"
        first = next(iter(desk.store.edits()))
        assert (first["proposed"], first["kept"]) == (RIGHT.split("\n")[0], "The garden is quiet and we likes it.")
        await desk.work("proofread")
        await desk.press("A", "enter")
        await desk.until(lambda: desk.store.count_edits() == 6)
        assert desk.app.screen is desk.screen


async def test_who_says_never_is_not_asked_again(open_desk: Opener, path: Path) -> None:
    async with open_text(open_desk, path) as desk:
        await desk.work("proofread")
        await desk.press("a", "enter")
        await desk.asked_to_choose()
        await desk.press("down", "enter")
        await desk.until(lambda: load_config().keep_edits == "off")
        await desk.work("proofread")
        await desk.press("A", "enter")
        await desk.finished()
        await desk.until(lambda: desk.area.text == RIGHT)
        assert desk.app.screen is desk.screen
        assert desk.store.count_edits() == 0


async def test_nothing_of_a_private_chat_is_kept(open_desk: Opener, path: Path) -> None:
    async with open_desk(correcting(), size=(120, 30), config=Config(keep_edits="on")) as plain:
        desk = TextDesk(plain.app, plain.pilot, plain.engine, plain.store, plain.shelf)
        path.write_text(WRONG, encoding="utf-8")
        await desk.press("alt+n")
        await desk.until(lambda: desk.session.is_private)
        await desk.open(path)
        await desk.work("proofread")
        await desk.press("A", "enter")
        await desk.until(lambda: desk.area.text == RIGHT)
        await desk.finished()
        assert desk.store.count_edits() == 0
