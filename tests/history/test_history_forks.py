"""Copies of conversations, and replies that go on."""

from __future__ import annotations

from localchat.history.store import HistoryStore


def talk(store: HistoryStore, *turns: str) -> str:
    """A conversation in which questions and replies take turns; returns its id."""
    chat, parent = store.create_conversation().id, None
    for index, text in enumerate(turns):
        if index % 2:
            reply = store.begin_reply(chat, parent, "tiny")
            parent = store.finish(reply, text, stats={"completion_tokens": 3}).id
        else:
            parent = store.add_message(chat, parent, "user", text).id
    return chat


def texts(store: HistoryStore, chat: str) -> list[str]:
    return [message.content for message in store.branch(chat)]


def test_a_fork_has_the_messages_down_to_one_and_the_original_keeps_all(store: HistoryStore) -> None:
    chat = talk(store, "First", "One.", "Then", "Two.")
    store.set_system_prompt(chat, "Be brief.")
    store.set_sampling(chat, {"temperature": 0.1})
    fork = store.fork(store.branch(chat)[1].id)
    assert texts(store, fork.id) == ["First", "One."]
    assert texts(store, chat) == ["First", "One.", "Then", "Two."]
    assert (fork.title, fork.system_prompt, fork.sampling) == ("First (2)", "Be brief.", {"temperature": 0.1})
    reply = store.branch(fork.id)[1]
    assert (reply.model, reply.stats) == ("tiny", {"completion_tokens": 3})
    store.add_message(fork.id, reply.id, "user", "Elsewhere")
    assert texts(store, chat) == ["First", "One.", "Then", "Two."]
    assert store.problems() == []


def test_a_fork_of_another_branch_than_the_one_on_show_follows_that_branch(store: HistoryStore) -> None:
    chat = talk(store, "First", "One.", "Then", "Two.")
    last = store.branch(chat)[-1].id
    store.edit(store.branch(chat)[0].id, "Anew")
    assert texts(store, store.fork(last).id) == ["First", "One.", "Then", "Two."]


def test_forks_are_numbered_and_a_fork_of_a_fork_goes_on_counting(store: HistoryStore) -> None:
    chat = talk(store, "Plan for (all) days", "One.")
    titles = [store.fork(store.branch(chat)[-1].id).title for _ in range(2)]
    assert titles == ["Plan for (all) days (2)", "Plan for (all) days (3)"]
    fork = store.conversations()[0]
    assert store.fork(store.branch(fork.id)[-1].id).title == "Plan for (all) days (4)"


def test_a_fork_is_found_by_its_words(store: HistoryStore) -> None:
    chat = talk(store, "月亮", "李白写过它。")
    fork = store.fork(store.branch(chat)[-1].id)
    assert {found.id for found in store.conversations("李白")} == {chat, fork.id}


def test_a_reply_that_is_being_written_is_copied_as_stopped(store: HistoryStore) -> None:
    chat = talk(store, "First")
    reply = store.begin_reply(chat, store.branch(chat)[0].id, "tiny")
    store.checkpoint(reply, "Half")
    copy = store.branch(store.fork(reply).id)[-1]
    assert (copy.content, copy.status) == ("Half", "stopped")
    assert store.message(reply).status == "writing"


def test_a_reply_that_goes_on_keeps_its_text_until_it_ends_again(store: HistoryStore) -> None:
    chat = talk(store, "First", "Half")
    reply = store.branch(chat)[-1].id
    store.resume_reply(reply)
    assert (store.message(reply).content, store.message(reply).status) == ("Half", "writing")
    assert store.recover() == 0  # this process is alive
    store.checkpoint(reply, "Half and more")
    assert store.finish(reply, "Half and more.").status == "complete"


def test_what_the_composer_is_for_is_kept_beside_the_draft(store: HistoryStore) -> None:
    chat = store.create_conversation().id
    store.set_option(chat, "context_length", 4096)
    store.set_composing(chat, {"kind": "edit", "message_id": "m", "parked": ""}, "问题")
    kept = store.conversation(chat)
    assert (kept.options["composing"]["kind"], kept.draft) == ("edit", "问题")
    store.set_composing(chat, None, "")
    assert store.conversation(chat).options == {"context_length": 4096}
