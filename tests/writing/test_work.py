"""One action on one text: what is asked, in which order, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from localchat.errors import InvalidSetting
from localchat.messages import FinishReason
from localchat.writing.action import Action, Prompt
from localchat.writing.actions import find_action
from localchat.writing.answers import cleaned
from localchat.writing.work import Request, Work


def drive(work: Work, answer: Callable[[str], str], reason: FinishReason = "stop") -> list[Request]:
    """Do the work with a model that answers the text at the end of its prompt; returns what was asked."""
    asked = []
    while request := work.request():
        asked.append(request)
        work.answered(answer(request.messages[-1].content.rsplit("\n\n", 1)[-1]), reason)
    return asked


def shouting(text: str) -> str:
    return text.upper()


PLAIN = Action("plain", {"en": "plain"}, {"en": Prompt("Do it.\n\n{text}")})
TEXT = "# title\n\n- one item\n- another item\n\n```\ncode stays\n```\n\nThe end, it is.  \n"


def test_pieces_are_replaced_and_everything_else_stays() -> None:
    work = Work(PLAIN, TEXT)
    drive(work, shouting)
    assert work.result() == "# TITLE\n\n- ONE ITEM\n- ANOTHER ITEM\n\n```\ncode stays\n```\n\nTHE END, IT IS.  \n"
    assert all(TEXT[change.start : change.end] == change.old for change in work.changes())


def test_a_work_that_is_left_in_the_middle_has_the_changes_so_far() -> None:
    work = Work(PLAIN, TEXT)
    assert work.request()
    work.answered("TITLE", "stop")
    assert work.result() == TEXT.replace("title", "TITLE")
    assert (len(work.outcomes), work.pieces) == (1, 4)


def test_the_piece_before_is_context_for_the_next() -> None:
    asked = drive(Work(PLAIN, "The first part.\n\nThe second part."), shouting)
    assert [message.content for message in asked[1].messages] == [
        "Do it.\n\nThe first part.",
        "THE FIRST PART.",
        "Do it.\n\nThe second part.",
    ]


def test_examples_come_first_in_the_language_of_the_text() -> None:
    messages = drive(Work(find_action("proofread"), "他门来了。"), lambda _text: "他们来了。")[0].messages
    assert [message.role for message in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert "错别字" in messages[0].content


def test_chinese_is_translated_into_english_and_back_and_into_what_is_named() -> None:
    action = find_action("translate")
    assert "英文" in drive(Work(action, "你好，世界。"), lambda _text: "Hello, world.")[0].messages[-1].content
    assert "Chinese" in drive(Work(action, "Hello, world."), lambda _text: "你好，世界。")[0].messages[-1].content
    french = Work(action, "Hello, world.", {"language": "French"})
    assert "French" in drive(french, lambda _text: "Bonjour, le monde.")[0].messages[-1].content


def test_each_piece_is_asked_about_in_its_own_language() -> None:
    asked = drive(Work(find_action("proofread"), "They was here.\n\n他门来了。\n"), lambda text: text)
    assert "Correct the spelling" in asked[0].messages[-1].content
    assert "错别字" in asked[1].messages[-1].content
    assert all("错别字" in message.content for message in asked[1].messages if message.role == "user")


def test_what_is_in_the_language_of_a_translation_already_is_left() -> None:
    work = Work(
        find_action("translate"),
        "Good morning to all of you out there.\n\n早上好，各位。\n\nWelcome to the show, friends.\n",
    )
    asked = drive(work, lambda _text: "欢迎光临，朋友们。")
    assert len(asked) == 2
    assert work.result() == "欢迎光临，朋友们。\n\n早上好，各位。\n\n欢迎光临，朋友们。\n"


def test_an_answer_in_the_wrong_language_is_asked_for_again_and_then_left() -> None:
    work = Work(find_action("translate"), "这家图书馆每周一都不开门，请大家周二再来还书。")
    asked = drive(work, lambda text: text)
    assert len(asked) == 2
    assert asked[1].options.sampling["temperature"] > asked[0].options.sampling["temperature"]
    assert work.result() == work.text
    assert [outcome.objection for outcome in work.outcomes] == ["language"]


@pytest.mark.parametrize(
    ("answer", "reason", "objection"),
    [
        ("I am sorry, but as a language model I cannot see what you mean by this text.", "stop", "different"),
        ("  ", "stop", "empty"),
        ("The library was closed. " * 30, "stop", "length"),
        ("The library is closed on Mondays, so please come again", "length", "cut"),
        ("The library is closed on Mondays, so please come again on Tuesday.", "stop", ""),
    ],
)
def test_what_is_no_version_of_the_text_is_not_taken(answer: str, reason: FinishReason, objection: str) -> None:
    work = Work(find_action("proofread"), "The libary is close on Mondays, so please come again at Tuesday.")
    drive(work, lambda _text: answer, reason)
    assert work.outcomes[0].objection == objection
    assert (work.result() == work.text) == bool(objection)


def test_a_heading_is_not_too_short_to_be_corrected() -> None:
    work = Work(find_action("proofread"), "Introducton")
    drive(work, lambda _text: "Introduction")
    assert work.result() == "Introduction"


def test_line_ends_of_the_text_are_those_of_the_result() -> None:
    work = Work(find_action("expand"), "One short line about nothing at all.\r\n\r\nThe end.\r\n")
    drive(work, lambda _text: "A first paragraph that has much more to say.\n\nAnd a second one that has more.")
    assert "\n" not in work.result().replace("\r\n", "")


def test_a_continuation_follows_the_text_and_changes_nothing_in_it() -> None:
    work = Work(find_action("continue"), "The train stopped.\n")
    drive(work, lambda _text: "Nobody spoke a word.")
    assert [(change.start, change.old, change.new) for change in work.changes()] == [(18, "", " Nobody spoke a word.")]
    assert work.result() == "Nobody spoke a word."
    chinese = Work(find_action("continue"), "火车停了。")
    drive(chinese, lambda _text: "没有人说话。")
    assert chinese.changes()[0].new == "没有人说话。"


def test_summaries_of_a_long_text_are_summarised() -> None:
    text = "\n\n".join(f"Paragraph {i} says that the weather was fine on that day in town." * 3 for i in range(40))
    work = Work(find_action("summarise"), text, context_length=1024)
    pieces = work.pieces
    asked = drive(work, lambda text: f"Fine weather{'!' * len(text[:1])}")
    assert pieces > 1
    assert len(asked) == pieces + 1
    assert work.result() == "Fine weather!"
    assert work.changes() == []


def test_a_summary_that_is_long_twice_is_taken_for_nothing_of_the_users_is_at_risk() -> None:
    text = "The weather was fine on that day in town, and everybody went out to see the river and its old bridge."
    work = Work(find_action("summarise"), text)
    assert len(drive(work, lambda text: f"{text} {text}")) == 2
    assert work.result() == f"{text} {text}"


def test_a_variable_that_an_action_does_not_have_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="tone"):
        Work(find_action("proofread"), "text", {"tone": "polite"})


def test_a_model_that_can_be_told_not_to_think_is_told() -> None:
    for switch, think in ((True, False), (False, None)):
        request = Work(PLAIN, "text", thinking_switch=switch).request()
        assert request is not None
        assert request.options.think is think


@pytest.mark.parametrize(
    ("answer", "original", "kept"),
    [
        ("Here is the corrected text:\n\nThe end.", "The ent.", "The end."),
        ("修改后的文本：\n完了。", "玩了。", "完了。"),
        ("“The end.”", "The ent.", "The end."),
        ("“The end.”", "“The ent.”", "“The end.”"),
        ('"One" and "two"', "one and two", '"One" and "two"'),
        ("```\nThe end.\n```", "The ent.", "The end."),
        ("Note:\nThe end.", "Note:\nThe ent.", "Note:\nThe end."),
    ],
)
def test_what_models_put_around_an_answer_goes(answer: str, original: str, kept: str) -> None:
    assert cleaned(answer, original) == kept
