"""Which replies are loops, when that shows, and where they are cut."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from localchat.engine.facade import Engine
from localchat.engine.loop_watch import LoopWatch
from localchat.events import Event, ReplyDone, TextCut, TextDelta, event_from_json, to_json
from localchat.messages import Message, ReplyOptions
from localchat.recording import Recording, Replayed, ReplyRecorded
from localchat.text.thinking import Part
from tests.engine.loop_samples import Words, loops, no_loops, watched


def _kept(text: str) -> str | None:
    """What stays of a text; None where it is no loop."""
    words = Words()
    ids = words.encode(text)
    verdict = watched(ids, words.token_bytes)
    return None if verdict is None else b"".join(map(words.token_bytes, ids[: verdict[1]])).decode()


def test_what_small_models_wrote_in_circles_is_found() -> None:
    texts = loops()
    missed = [name for name, text in texts.items() if _kept(text) is None]
    assert len(texts) == 45
    assert len(missed) <= 5  # short texts, which have fewer of these tokens than of the model's own


@pytest.mark.parametrize("name", no_loops())
def test_what_repeats_itself_for_a_reason_is_left_alone(name: str) -> None:
    assert _kept(no_loops()[name]) is None


def test_the_first_round_stays_down_to_the_end_of_its_sentence() -> None:
    round_of_text = "The sea was calm and the wind was warm. "
    assert (
        _kept(f"Once upon a time. {round_of_text * 20}") == "Once upon a time. The sea was calm and the wind was warm."
    )


def test_a_line_ends_before_a_sentence_does() -> None:
    kept = _kept("So:\n" + "One. Two. Three, four, five, six, seven.\n" * 20)
    assert kept == "So:\nOne. Two. Three, four, five, six, seven.\n"


def test_where_nothing_ends_the_cut_comes_between_clauses() -> None:
    kept = _kept("他说：" + "走到河边，" * 60)
    assert kept == "他说：走到河边，"


def test_numbers_that_rise_do_not_hide_a_loop() -> None:
    kept = _kept("".join(f"{number}. Stay calm, breathe and count to yourself slowly.\n" for number in range(1, 60)))
    assert kept == "1. Stay calm, breathe and count to yourself slowly.\n"


def test_numbers_that_do_not_rise_steadily_are_no_loop() -> None:
    random = Random(4)
    lines = (
        f"On day {day} we sold {random.randint(10, 99)} loaves and {random.randint(10, 99)} rolls." for day in range(60)
    )
    assert _kept("\n".join(lines)) is None


def test_code_and_text_without_letters_get_more_patience() -> None:
    line = "print('and again and again')\n"
    assert _kept(line * 25) is not None
    assert _kept("```python\n" + line * 25) is None
    assert _kept("```python\n" + line * 80) is not None
    assert _kept("It says:\n```\nok\n```\n" + line * 25) is not None  # that code has ended
    assert _kept("0, " * 100) is None
    assert _kept("0, " * 500) is not None


def test_counting_alone_is_no_loop() -> None:
    assert _kept(", ".join(map(str, range(1500)))) is None


def test_a_loop_that_began_late_is_cut_where_it_began() -> None:
    random = Random(1)
    beginning = " ".join("".join(random.choices("abcdefgh", k=5)) for _ in range(400)) + ".\n"
    kept = _kept(beginning + "We walk on and on and on without an end in sight.\n" * 12)
    assert kept == beginning + "We walk on and on and on without an end in sight.\n"


def test_what_is_taken_back_is_counted_apart_for_answer_and_thinking() -> None:
    words = Words()
    watch = LoopWatch(words.token_bytes)
    told = {True: "", False: ""}
    pieces = [("I wonder, and so on. ", True), ("Well. ", False), ("It is what it is what it was. " * 30, False)]
    for text, thinking in pieces:
        for token in words.encode(text):
            piece = words.token_bytes(token).decode()
            told[thinking] += piece
            if (loop := watch.push(token, [Part(piece, thinking)])) is not None:
                cut = loop[1]
                assert cut.thinking == 0
                assert told[False][: -cut.text].strip() == "Well. It is what it is what it was."
                return
    raise AssertionError("no loop")


def test_a_cut_crosses_the_pipe() -> None:
    assert event_from_json(to_json(TextCut(12, 3))) == TextCut(12, 3)


def _text(events: list[Event]) -> str:
    text = ""
    for event in events:
        if isinstance(event, TextDelta):
            text += event.text
        elif isinstance(event, TextCut):
            text = text[: len(text) - event.text]
    return text


def test_a_real_loop_is_ended_cut_back_replayed_and_goes_on_differently(smollm2_folder: Path) -> None:
    engine = Engine()
    engine.load(smollm2_folder, 2048)
    question = [Message("user", "Write the lyrics of a love song.")]
    circles = ReplyOptions({"temperature": 0.0}, max_tokens=400, loop_guard=True)
    events = list(engine.reply(question, circles))
    done, text = events[-1], _text(events)
    assert isinstance(done, ReplyDone)
    assert done.finish_reason == "loop"
    assert done.completion_tokens < 150
    assert done.context_used <= done.prompt_tokens + done.completion_tokens
    line = text.rstrip().rsplit("\n", 1)[-1]
    assert text.count(line) <= 2  # once more at the beginning of the loop, perhaps
    recording = next(Recording(**event.recording) for event in events if isinstance(event, ReplyRecorded))
    assert len(recording.reply) == done.completion_tokens
    *_progress, replayed = engine.replay(recording)
    assert isinstance(replayed, Replayed)
    assert not replayed.differs
    going_on = ReplyOptions({"temperature": 0.0, "dry_multiplier": 0.8}, 60, prefill=text, loop_guard=True)
    more = list(engine.reply(question, going_on))
    assert isinstance(more[-1], ReplyDone)
    assert more[-1].cached_tokens >= done.context_used - 1  # nothing is read again
    assert line not in _text(more)
