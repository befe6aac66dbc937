"""What of a conversation fits, and what is left out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from localchat.engine.context import fit
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
