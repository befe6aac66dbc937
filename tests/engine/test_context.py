"""What of a conversation fits, and what is left out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from localchat.engine.context import Fitted, fit
from localchat.errors import ContextOverflow
from localchat.messages import Message


def encode(messages: Sequence[Message]) -> list[int]:
    """A template that costs two tokens a message and one a character."""
    return [0 if m.role == "user" else 1 for m in messages for _ in range(len(m.content) + 2)]


def conversation(turns: int, length: int, system: str = "") -> list[Message]:
    messages = [Message("system", system)] if system else []
    for i in range(turns):
        messages += [Message("user", str(i % 10) * length), Message("assistant", "r" * length)]
    return [*messages, Message("user", "q" * length)]


def test_a_conversation_that_fits_is_kept_whole() -> None:
    messages = conversation(3, 5)
    fitted = fit(messages, encode, context_length=100)
    assert fitted.left_out == 0
    assert fitted.token_ids == encode(messages)


def test_the_oldest_turns_go_first_and_the_system_prompt_and_the_question_stay() -> None:
    messages = conversation(20, 8, system="be brief")
    fitted = fit(messages, encode, context_length=200)
    assert fitted.left_out > 0
    assert fitted.token_ids == encode([messages[0], *messages[1 + fitted.left_out :]])
    assert messages[1 + fitted.left_out].role == "user"


def test_room_for_the_reply_is_kept_free() -> None:
    for turns in range(1, 40):
        fitted = fit(conversation(turns, 7), encode, context_length=256)
        assert len(fitted.token_ids) <= 256 - 64


def test_the_cut_stays_where_it_is_for_several_turns_so_that_the_cache_can_be_reused() -> None:
    cuts = [fit(conversation(turns, 8), encode, context_length=400).left_out for turns in range(60)]
    changes = sum(a != b for a, b in itertools.pairwise(cuts))
    assert cuts == sorted(cuts)
    assert cuts[-1] > 0
    assert changes <= len(cuts) / 3


def test_a_question_that_cannot_fit_is_refused_with_both_numbers() -> None:
    with pytest.raises(ContextOverflow, match=r"502 tokens.*75 at most"):
        fit([Message("user", "x" * 500)], encode, context_length=100)


def test_a_question_that_fits_only_alone_is_sent_alone() -> None:
    messages = [*conversation(4, 10), Message("assistant", "r"), Message("user", "x" * 70)]
    fitted = fit(messages, encode, context_length=100)
    assert fitted.token_ids == encode(messages[-1:])
    assert fitted.left_out == len(messages) - 1


def test_a_short_reply_reserves_less_room() -> None:
    message = Message("user", "x" * 90)
    assert fit([message], encode, context_length=100, max_tokens=4).left_out == 0
    with pytest.raises(ContextOverflow):
        fit([message], encode, context_length=100)


# ---- what is pinned, what is summed up, and what is refused


def numbered(turns: int, length: int, *pinned: int, summaries: Sequence[int] = ()) -> list[Message]:
    """A conversation in which each message says its number; the last is the question."""
    messages = []
    for i in range(2 * turns + 1):
        role = "user" if i % 2 == 0 else "assistant"
        summary = f"all up to {i}" if i in summaries else ""
        messages.append(Message(role, f"{i:<{length}}", pinned=i in pinned, summary=summary))  # type: ignore[arg-type]
    return messages


def numbers(fitted: Fitted) -> list[str]:
    return [m.content.strip() for m in fitted.messages]


@pytest.mark.parametrize("turns", range(4, 40, 5))
@pytest.mark.parametrize("window", [128, 256, 400])
def test_a_pinned_exchange_stays_in_its_place_however_long_the_conversation(turns: int, window: int) -> None:
    messages = numbered(turns, 8, 3)
    fitted = fit(messages, encode, window)
    kept = numbers(fitted)
    assert {"2", "3", str(2 * turns)} <= set(kept)
    assert kept == sorted(kept, key=int)
    assert set(range(len(messages))) - set(fitted.gone) == {int(each) for each in kept}
    assert fitted.token_ids == encode(fitted.messages)
    assert len(fitted.token_ids) <= window - window // 4


def test_without_pins_exactly_the_oldest_messages_go() -> None:
    fitted = fit(numbered(20, 8), encode, 200)
    assert fitted.gone == tuple(range(fitted.left_out))


def test_pins_that_leave_no_room_are_named_as_the_reason() -> None:
    with pytest.raises(ContextOverflow, match=r"what is pinned.*Unpin"):
        fit(numbered(10, 20, *range(0, 20, 2)), encode, 200)


def test_a_full_conversation_is_refused_where_nothing_may_be_left_out() -> None:
    assert fit(numbered(3, 8), encode, 200, overflow="stop").gone == ()
    with pytest.raises(ContextOverflow, match=r"410 tokens.*150 at most.*Nothing is left out"):
        fit(numbered(20, 8), encode, 200, overflow="stop")


def test_a_summary_stands_as_the_first_exchange_for_what_is_left_out() -> None:
    messages = [Message("system", "be brief"), *numbered(20, 8, summaries=(35,))]
    fitted = fit(messages, encode, 300, overflow="summary")
    assert [m.role for m in fitted.messages[:4]] == ["system", "user", "assistant", "user"]
    assert fitted.summary_at == 2
    assert fitted.messages[2].content == "all up to 35"
    assert fitted.summarised == fitted.left_out > 0
    assert len(fitted.token_ids) <= 300 - 75


def test_a_summary_is_used_only_where_it_was_asked_for_and_something_goes() -> None:
    messages = numbered(20, 8, summaries=(35,))
    assert fit(messages, encode, 300).summary_at is None
    assert fit(messages, encode, 4000, overflow="summary").summary_at is None


def test_of_several_summaries_the_one_that_covers_what_goes_with_the_least_beyond_it_is_taken() -> None:
    messages = numbered(20, 8, summaries=(9, 33, 39))
    fitted = fit(messages, encode, 300, overflow="summary")
    assert 9 < fitted.gone[-1] <= 33
    assert fitted.messages[1].content == "all up to 33"


def test_what_a_summary_does_not_cover_counts_as_left_out_without_one() -> None:
    fitted = fit(numbered(20, 8, summaries=(5,)), encode, 300, overflow="summary")
    assert fitted.summarised == 6
    assert fitted.left_out > 6


def test_the_cut_and_the_summary_stay_for_several_turns() -> None:
    seen = []
    for turns in range(12, 40):
        fitted = fit(numbered(turns, 8, summaries=tuple(range(9, 2 * turns, 10))), encode, 400, overflow="summary")
        seen.append((fitted.left_out, fitted.messages[1].content if fitted.summary_at else ""))
    assert sum(a != b for a, b in itertools.pairwise(seen)) <= len(seen) / 2
    assert [cut for cut, _summary in seen] == sorted(cut for cut, _summary in seen)


def test_looking_ahead_tells_what_will_go_when_the_conversation_is_longer() -> None:
    messages = numbered(8, 8)
    assert fit(messages, encode, 256).gone == ()
    soon = fit(messages, encode, 256, ahead=64).gone
    assert soon == fit([*messages[:-1], Message("user", "x" * (8 + 64))], encode, 256).gone != ()
