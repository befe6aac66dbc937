"""The list of conversations: creating, ordering, naming, deleting, and each one's own settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from localchat.errors import HistoryUnavailable
from localchat.history.store import PURGE_AFTER_DAYS, HistoryStore
from localchat.history.titles import UNTITLED

from .conftest import Clock


def test_a_new_conversation_is_empty_and_has_a_title(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    assert conversation.title == UNTITLED
    assert conversation.leaf_id is None
    assert store.branch(conversation.id) == []
    assert store.conversations() == [conversation]


def test_everything_is_there_after_closing_and_opening_again(history_path: Path) -> None:
    with HistoryStore(history_path) as store:
        conversation = store.create_conversation(
            title="旅行 🧳", model="smollm2-135m", system_prompt="Be brief.", sampling={"temperature": 0.2, "top_k": 5}
        )
        store.set_draft(conversation.id, "half a\nthought")
        store.set_pinned(conversation.id, True)
        question = store.add_message(conversation.id, None, "user", "你好\0 👩‍👩‍👧 x")
        before = (store.conversation(conversation.id), store.branch(conversation.id))
    with HistoryStore(history_path) as store:
        assert (store.conversation(conversation.id), store.branch(conversation.id)) == before
        found = store.conversation(conversation.id)
        assert (found.title, found.model, found.system_prompt) == ("旅行 🧳", "smollm2-135m", "Be brief.")
        assert found.sampling == {"temperature": 0.2, "top_k": 5}
        assert (store.draft(conversation.id), found.pinned) == ("half a\nthought", True)
        assert store.message(question.id).content == "你好\0 👩‍👩‍👧 x"


def test_the_conversation_written_to_last_comes_first(store: HistoryStore) -> None:
    first, second, third = (store.create_conversation() for _ in range(3))
    store.add_message(first.id, None, "user", "again")
    assert [c.id for c in store.conversations()] == [first.id, third.id, second.id]


def test_a_finished_reply_moves_its_conversation_up(store: HistoryStore) -> None:
    first = store.create_conversation()
    reply = store.begin_reply(first.id, store.add_message(first.id, None, "user", "q").id, "m")
    second = store.create_conversation()
    assert [c.id for c in store.conversations()] == [second.id, first.id]
    store.finish(reply, "a")
    assert [c.id for c in store.conversations()] == [first.id, second.id]


def test_drafts_names_and_settings_leave_the_order_alone(store: HistoryStore) -> None:
    first, second = store.create_conversation(), store.create_conversation()
    store.set_draft(first.id, "typing")
    store.rename(first.id, "Mine")
    store.set_model(first.id, "other")
    store.set_sampling(first.id, {"seed": 1})
    store.set_system_prompt(first.id, "x")
    store.set_pinned(first.id, True)
    assert [c.id for c in store.conversations()] == [second.id, first.id]


def test_the_limit_cuts_the_oldest_but_never_a_pinned_one(store: HistoryStore) -> None:
    pinned, _old, newer, newest = (store.create_conversation() for _ in range(4))
    store.set_pinned(pinned.id, True)
    assert [c.id for c in store.conversations(limit=2)] == [newest.id, newer.id, pinned.id]
    assert [c.id for c in store.conversations(limit=1)] == [newest.id, pinned.id]  # the first is the latest, always


def test_the_first_question_gives_the_title(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    question = store.add_message(conversation.id, None, "user", "把这段话改得更礼貌\n第二行")
    store.add_message(conversation.id, question.id, "assistant", "当然可以")
    assert store.conversation(conversation.id).title == "把这段话改得更礼貌"


def test_an_edited_first_question_gives_the_title_anew(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    question = store.add_message(conversation.id, None, "user", "Pland for Monday")
    store.edit(question.id, "Plan for Monday")
    assert store.conversation(conversation.id).title == "Plan for Monday"


def test_a_later_question_leaves_the_title_alone(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    question = store.add_message(conversation.id, None, "user", "First")
    store.add_message(conversation.id, question.id, "user", "Second")
    assert store.conversation(conversation.id).title == "First"


def test_a_title_of_the_users_own_stays(store: HistoryStore) -> None:
    renamed, named = store.create_conversation(), store.create_conversation(title="Mine too")
    store.rename(renamed.id, "  Mine\x1b[31m \n")
    store.add_message(renamed.id, None, "user", "A question")
    store.add_message(named.id, None, "user", "A question")
    assert store.conversation(renamed.id).title == "Mine[31m"  # a title must not steer the terminal
    assert store.conversation(named.id).title == "Mine too"
    assert store.conversation(named.id).renamed


def test_renaming_to_nothing_brings_the_derived_title_back(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    store.add_message(conversation.id, None, "user", "A question")
    store.rename(conversation.id, "Mine")
    assert store.rename(conversation.id, "  ").title == "A question"
    assert store.rename(store.create_conversation().id, "").title == UNTITLED


def test_a_deleted_conversation_can_be_brought_back_whole(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    store.add_message(conversation.id, None, "user", "Keep me")
    before = store.conversation(conversation.id)
    store.delete(conversation.id)
    assert store.conversations() == []
    assert store.conversations("Keep") == []
    store.undelete(conversation.id)
    assert store.conversations() == [before]
    assert store.branch(conversation.id)[0].content == "Keep me"


def test_what_was_deleted_long_ago_is_purged_at_opening(history_path: Path, clock: Clock) -> None:
    with HistoryStore(history_path, now=clock) as store:
        old, recent, kept = (store.create_conversation() for _ in range(3))
        parent = None
        for turn in range(1500):  # more than SQLite's limit of nested foreign key actions
            parent = store.add_message(old.id, parent, "user", f"turn {turn}").id
        store.delete(old.id)
        clock.pass_days(PURGE_AFTER_DAYS - 1)
        store.delete(recent.id)
    clock.pass_days(2)
    with HistoryStore(history_path, now=clock) as store:
        with pytest.raises(HistoryUnavailable, match="no longer"):
            store.conversation(old.id)
        assert store.conversation(recent.id).deleted_at is not None
        assert [c.id for c in store.conversations()] == [kept.id]
        assert parent is not None
        with pytest.raises(HistoryUnavailable, match="no longer"):
            store.message(parent)
        assert store.problems() == []


def test_writing_into_a_conversation_that_another_window_deleted_brings_it_back(
    store: HistoryStore, history_path: Path
) -> None:
    conversation = store.create_conversation()
    with HistoryStore(history_path) as other:
        other.delete(conversation.id)
    store.add_message(conversation.id, None, "user", "I was still here")
    assert [c.id for c in store.conversations()] == [conversation.id]


def test_only_a_conversation_without_anything_in_it_is_discarded(store: HistoryStore) -> None:
    empty, drafted, named, answered = (store.create_conversation() for _ in range(4))
    store.set_draft(drafted.id, "x")
    store.rename(named.id, "Mine")
    store.add_message(answered.id, None, "user", "x")
    discarded = [c for c in (empty, drafted, named, answered) if store.discard_if_empty(c.id)]
    assert discarded == [empty]
    assert len(store.conversations()) == 3


def test_settings_of_a_conversation_can_be_taken_back(store: HistoryStore) -> None:
    conversation = store.create_conversation(model="m", system_prompt="s", sampling={"top_k": 1})
    store.set_model(conversation.id, None)
    store.set_system_prompt(conversation.id, "")
    store.set_sampling(conversation.id, {})
    found = store.conversation(conversation.id)
    assert (found.model, found.system_prompt, found.sampling) == (None, "", {})
    store.set_system_prompt(conversation.id, None)
    assert store.conversation(conversation.id).system_prompt is None


def test_a_conversation_that_is_gone_is_said_to_be_gone(store: HistoryStore) -> None:
    for action in (
        lambda: store.conversation("none"),
        lambda: store.rename("none", "x"),
        lambda: store.delete("none"),
        lambda: store.set_draft("none", "x"),
        lambda: store.add_message("none", None, "user", "x"),
        lambda: store.begin_reply("none", None, "m"),
    ):
        with pytest.raises(HistoryUnavailable, match="no longer in the history"):
            action()


def test_a_draft_from_a_broken_paste_is_kept_as_far_as_utf8_can_hold_it(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    store.set_draft(conversation.id, "good \ud83d bad")
    assert store.draft(conversation.id) == "good ? bad"


def test_a_history_in_memory_works_and_says_that_it_is_not_saved(store: HistoryStore) -> None:
    with HistoryStore.in_memory() as memory:
        conversation = memory.create_conversation()
        question = memory.add_message(conversation.id, None, "user", "hello")
        memory.finish(memory.begin_reply(conversation.id, question.id, "m"), "hi")
        assert [m.content for m in memory.branch(conversation.id)] == ["hello", "hi"]
        assert (memory.is_saved, memory.path) == (False, None)
    assert store.is_saved
    assert store.conversations() == []
