"""Messages as a tree: replies, their alternatives, edits, and which branch is on show."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict

import pytest

from localchat.errors import HistoryUnavailable
from localchat.events import ReplyDone
from localchat.history.store import HistoryStore
from localchat.messages import Message

DONE = ReplyDone(
    "stop", 20, 5, 7, 42, 0.1, 300.0, 60.0, 27, 8192, 0, {"temperature": 0.7, "top_k": 40, "seed": None}
)  # fmt: skip


def _contents(store: HistoryStore, conversation_id: str) -> list[str]:
    return [message.content for message in store.branch(conversation_id)]


def _reply(store: HistoryStore, conversation_id: str, parent_id: str, text: str) -> str:
    return store.finish(store.begin_reply(conversation_id, parent_id, "m"), text).id


def test_a_turn_is_saved_step_by_step(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    question = store.add_message(conversation.id, None, "user", "What is the capital of France?")
    assert (question.status, question.parent_id, question.model) == ("complete", None, None)
    reply = store.begin_reply(conversation.id, question.id, "smollm2-135m")
    assert store.message(reply).status == "writing"
    store.checkpoint(reply, "Par")
    assert store.message(reply).content == "Par"
    finished = store.finish(reply, "Paris.", stats=asdict(DONE))
    assert finished == store.message(reply)
    assert (finished.content, finished.status, finished.model) == ("Paris.", "complete", "smollm2-135m")
    assert ReplyDone(**finished.stats) == DONE  # all that is needed to replay it
    assert finished.finished_at is not None and finished.finished_at > finished.created_at
    assert [m.as_message() for m in store.branch(conversation.id)] == [
        Message("user", "What is the capital of France?"),
        Message("assistant", "Paris."),
    ]


@pytest.mark.parametrize("status", ["stopped", "interrupted", "error"])
def test_a_reply_that_did_not_end_well_keeps_its_text_and_says_why(store: HistoryStore, status: str) -> None:
    conversation = store.create_conversation()
    reply = store.begin_reply(conversation.id, store.add_message(conversation.id, None, "user", "q").id, "m")
    store.finish(reply, "half an ans", status, error="The engine stopped.")  # type: ignore[arg-type]
    message = store.message(reply)
    assert (message.content, message.status, message.error) == ("half an ans", status, "The engine stopped.")


def test_a_checkpoint_that_comes_late_does_not_undo_the_end(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    reply = store.begin_reply(conversation.id, store.add_message(conversation.id, None, "user", "q").id, "m")
    store.finish(reply, "the whole answer")
    store.checkpoint(reply, "the who")
    assert (store.message(reply).content, store.message(reply).status) == ("the whole answer", "complete")


def test_sending_the_draft_ends_the_draft(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    store.set_draft(conversation.id, "Hello")
    question = store.add_message(conversation.id, None, "user", "Hello", clears_draft=True)
    assert store.draft(conversation.id) == ""
    store.set_draft(conversation.id, "next")
    store.edit(question.id, "Hello!")
    assert store.draft(conversation.id) == "next"


def test_a_regenerated_reply_keeps_the_old_one_reachable(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    question = store.add_message(conversation.id, None, "user", "q")
    first = _reply(store, conversation.id, question.id, "one")
    second = _reply(store, conversation.id, question.id, "two")
    assert _contents(store, conversation.id) == ["q", "two"]
    siblings = store.siblings(second)
    assert (siblings.ids, str(siblings), siblings.previous_id, siblings.next_id) == (
        (first, second),
        "2/2",
        first,
        None,
    )
    store.select_sibling(first)
    assert _contents(store, conversation.id) == ["q", "one"]
    assert str(store.siblings(first)) == "1/2"


def test_going_back_to_an_alternative_shows_what_was_last_said_under_it(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    question = store.add_message(conversation.id, None, "user", "q")
    first = _reply(store, conversation.id, question.id, "a1")
    follow = store.add_message(conversation.id, first, "user", "more")
    _reply(store, conversation.id, follow.id, "old end")
    newest = _reply(store, conversation.id, follow.id, "new end")
    _reply(store, conversation.id, question.id, "a2")
    assert _contents(store, conversation.id) == ["q", "a2"]
    assert store.select_sibling(first) == newest
    assert _contents(store, conversation.id) == ["q", "a1", "more", "new end"]


def test_an_edited_question_starts_a_branch_beside_the_old_one(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    question = store.add_message(conversation.id, None, "user", "q")
    answer = _reply(store, conversation.id, question.id, "a")
    follow = store.add_message(conversation.id, answer, "user", "teh next")
    _reply(store, conversation.id, follow.id, "b")
    edited = store.edit(follow.id, "the next")
    assert (edited.parent_id, edited.role) == (answer, "user")
    assert _contents(store, conversation.id) == ["q", "a", "the next"]
    assert store.siblings(edited.id).ids == (follow.id, edited.id)
    store.select_sibling(follow.id)
    assert _contents(store, conversation.id) == ["q", "a", "teh next", "b"]


def test_the_very_first_question_can_be_edited_too(store: HistoryStore) -> None:
    conversation, other = store.create_conversation(), store.create_conversation()
    store.add_message(other.id, None, "user", "elsewhere")  # another root, which is no sibling
    question = store.add_message(conversation.id, None, "user", "q")
    edited = store.edit(question.id, "Q")
    assert store.siblings(question.id).ids == (question.id, edited.id)
    assert _contents(store, conversation.id) == ["Q"]


def test_a_message_cannot_be_put_under_another_conversations(store: HistoryStore) -> None:
    conversation, other = store.create_conversation(), store.create_conversation()
    elsewhere = store.add_message(other.id, None, "user", "x")
    with pytest.raises(ValueError, match="another conversation"):
        store.add_message(conversation.id, elsewhere.id, "user", "y")
    assert store.branch(conversation.id) == []


def test_a_message_that_is_gone_is_said_to_be_gone(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    question = store.add_message(conversation.id, None, "user", "q")
    for action in (
        lambda: store.message("none"),
        lambda: store.siblings("none"),
        lambda: store.select_sibling("none"),
        lambda: store.edit("none", "x"),
        lambda: store.add_message(conversation.id, "none", "user", "x"),
        lambda: store.finish("none", "x"),
        lambda: store.finish(question.id, "what the user wrote is not a reply"),
    ):
        with pytest.raises(HistoryUnavailable, match="no longer in the history"):
            action()
    assert _contents(store, conversation.id) == ["q"]


def test_a_conversation_of_thousands_of_turns_is_read_in_order(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    parent = None
    for turn in range(3000):
        parent = store.add_message(conversation.id, parent, "user", str(turn)).id
    assert _contents(store, conversation.id) == [str(turn) for turn in range(3000)]
    assert store.select_sibling(store.branch(conversation.id)[0].id) == parent


def test_a_failed_step_leaves_nothing_half_done(store: HistoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = store.create_conversation()
    store.set_draft(conversation.id, "precious")
    monkeypatch.setattr(HistoryStore, "_derive_title", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.add_message(conversation.id, None, "user", "precious", clears_draft=True)
    monkeypatch.undo()
    assert (store.branch(conversation.id), store.draft(conversation.id)) == ([], "precious")
    store.add_message(conversation.id, None, "user", "precious", clears_draft=True)  # and the store still works
    assert (_contents(store, conversation.id), store.draft(conversation.id)) == (["precious"], "")


def test_the_file_itself_refuses_to_lose_a_message_that_others_follow(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    question = store.add_message(conversation.id, None, "user", "q")
    _reply(store, conversation.id, question.id, "a")
    for statement in ("DELETE FROM conversations", "DELETE FROM messages WHERE role = 'user'"):
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"), store._database.writing() as connection:
            connection.execute(statement)
    assert _contents(store, conversation.id) == ["q", "a"]
