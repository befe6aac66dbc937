"""Summaries of what will be left out: made after a reply while nobody waits, shown, changed, used, made again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from localchat.config import Config
from localchat.engine import context
from localchat.messages import Message
from localchat.ui.summing import CHINESE, ENGLISH, whole_sentences
from tests.ui.conftest import Desk, Opener
from tests.ui.fake_engine import FakeEngine, Script
from tests.ui.test_context import long_chat, show

SUMMARY = Config(overflow="summary")


def summing_engine(window: int, *summaries: Script) -> FakeEngine:
    """Answers "Fine.", and a wish for a summary with these, one after the other."""
    engine = FakeEngine()
    left = list(summaries) or [Script(["They counted ", "to five."])]

    def answer(messages: Sequence[Message]) -> Script:
        if messages[-1].content in (ENGLISH, CHINESE):
            return left.pop(0) if len(left) > 1 else left[0]
        return Script(["Fine."])

    engine.answer = answer
    engine.window = window
    engine.info = replace(engine.info, context_length=window)
    return engine


def summaries(desk: Desk) -> list[str]:
    return [message.summary for message in desk.session.messages() if message.summary]


async def ask(desk: Desk, text: str) -> None:
    """Send, twice where the first time only tells what goes, and wait for the reply."""
    before = len(desk.session.messages())
    await desk.write(text)
    await desk.pilot.press("enter")
    await desk.until(lambda: len(desk.session.messages()) > before or bool(desk.screen.composer.text))
    if len(desk.session.messages()) == before:
        await desk.pilot.press("enter")
    await desk.until(lambda: len(desk.session.messages()) == before + 2 and desk.idle)


async def test_a_summary_is_made_before_anything_goes_and_then_stands_for_what_goes(open_desk: Opener) -> None:
    async with open_desk(summing_engine(1024), config=SUMMARY, size=(120, 40)) as desk:
        await show(desk, long_chat(desk.store, 5))
        await ask(desk, "问题甲")
        await desk.until(lambda: summaries(desk) == ["They counted to five."])
        wish = next(messages for messages in desk.engine.asked if messages[-1].content in (ENGLISH, CHINESE))
        assert wish[:-1] == desk.engine.asked[0] + (Message("assistant", "Fine."),)  # a suffix of what was read
        await desk.until(lambda: "Summary of the conversation down to here" in desk.shown_text())
        await ask(desk, "x" * 300)
        seen = desk.engine.seen[-1]
        assert seen[0].content == context.ENGLISH
        assert seen[1].content == "They counted to five."
        assert "问题 0" not in "".join(m.content for m in seen)
        await desk.until(lambda: "in summary" in desk.shown_text())


async def test_without_the_setting_no_summary_is_asked_for(open_desk: Opener) -> None:
    async with open_desk(summing_engine(1024)) as desk:
        await show(desk, long_chat(desk.store, 5))
        await ask(desk, "问题甲")
        await desk.session.context.summing.rest()
        assert summaries(desk) == []
        assert len(desk.engine.asked) == 1


async def test_a_question_does_not_wait_for_a_summary(open_desk: Opener) -> None:
    gate = asyncio.Event()
    engine = summing_engine(1024, Script(["Never "], hold={0: gate}), Script(["A summary in time."]))
    async with open_desk(engine, config=SUMMARY, size=(120, 40)) as desk:
        await show(desk, long_chat(desk.store, 5))
        await ask(desk, "问题甲")
        await desk.until(lambda: "Summing up" in desk.shown_text())
        await ask(desk, "And now?")
        assert not gate.is_set()
        await desk.until(lambda: summaries(desk) == ["A summary in time."])


async def test_the_summary_is_made_again_when_more_goes(open_desk: Opener) -> None:
    engine = summing_engine(1024, Script(["First summary."]), Script(["Second summary."]))
    async with open_desk(engine, config=SUMMARY) as desk:
        await show(desk, long_chat(desk.store, 5))
        await ask(desk, "问题甲")
        await desk.until(lambda: summaries(desk) == ["First summary."])
        for _ in range(8):
            await ask(desk, "x" * 100)
            await desk.session.context.summing.rest()
            if len(summaries(desk)) == 2:
                break
        assert summaries(desk) == ["First summary.", "Second summary."]
        wish = [m for m in desk.engine.seen if m[-1].content in (ENGLISH, CHINESE)][-1]
        assert wish[1].content == "First summary."  # what it sums up begins with the one before


async def test_a_summary_can_be_changed_and_the_model_sees_the_change(open_desk: Opener) -> None:
    async with open_desk(summing_engine(1024), config=SUMMARY, size=(120, 40)) as desk:
        await show(desk, long_chat(desk.store, 5))
        await ask(desk, "问题甲")
        await desk.until(lambda: bool(summaries(desk)))
        await desk.write("a draft")
        await desk.screen.run_action("edit_summary")
        await desk.until(lambda: desk.screen.composer.text == "They counted to five.")
        await desk.until(lambda: "The summary that the model sees" in desk.shown_text())
        desk.screen.composer.clear()
        await desk.write("他们数到了五。")
        await desk.pilot.press("enter")
        await desk.until(lambda: summaries(desk) == ["他们数到了五。"])
        assert desk.screen.composer.text == "a draft"
        desk.screen.composer.clear()
        await ask(desk, "x" * 300)
        assert [m.content for m in desk.engine.seen[-1][:2]] == [context.CHINESE, "他们数到了五。"]


async def test_a_key_unfolds_the_summary_under_its_message(open_desk: Opener) -> None:
    async with open_desk(summing_engine(1024), config=SUMMARY, size=(120, 40)) as desk:
        await show(desk, long_chat(desk.store, 5))
        await ask(desk, "问题甲")
        await desk.until(lambda: bool(summaries(desk)))
        assert "They counted" not in desk.shown_text()
        desk.screen.transcript.views[-1].focus()
        await desk.pilot.press("s")
        await desk.until(lambda: "They counted to five." in desk.shown_text())


def test_a_sentence_that_was_cut_off_is_left_out_and_each_one_stands_once() -> None:
    assert whole_sentences("It is 3.5 m long. Marta said “no.” And th") == "It is 3.5 m long. Marta said “no.”"
    assert whole_sentences("他叫王伟。板书。板书。板书。板") == "他叫王伟。板书。"
    assert whole_sentences("nothing whole") == ""
