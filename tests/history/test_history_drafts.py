"""Files that wait with a draft, and earlier questions."""

from __future__ import annotations

from localchat.history.store import HistoryStore

FILE = {"name": "报告.txt", "kind": "text", "text": "今年很好。\ud83d"}
KEPT = {**FILE, "text": "今年很好。?"}


def test_files_wait_with_the_draft_until_it_is_sent_and_then_belong_to_the_message(store: HistoryStore) -> None:
    chat = store.create_conversation().id
    assert store.draft_files(chat) == []
    store.set_draft_files(chat, [FILE])
    version = store.version()
    store.set_draft_files(chat, [FILE])
    assert not store.changed_since(version)
    sent = store.add_message(chat, None, "user", "Well?", clears_draft=True, attachments=store.draft_files(chat))
    assert sent.attachments == [KEPT]
    assert store.draft_files(chat) == []


def test_the_model_sees_the_files_of_a_message_before_its_words(store: HistoryStore) -> None:
    chat = store.create_conversation().id
    sent = store.add_message(chat, None, "user", "Well?", attachments=[{"name": "a", "kind": "text", "text": "one"}])
    assert sent.as_message().content == '<file name="a">\none\n</file>\n\nWell?'
    assert sent.content == "Well?"


def test_a_question_of_nothing_but_a_file_names_the_conversation_after_it(store: HistoryStore) -> None:
    chat = store.create_conversation().id
    store.add_message(chat, None, "user", "", attachments=[FILE])
    assert store.conversation(chat).title == "报告.txt"


def test_an_edited_question_keeps_its_files_unless_it_gets_others(store: HistoryStore) -> None:
    chat = store.create_conversation().id
    old = store.add_message(chat, None, "user", "a", attachments=[KEPT])
    assert store.edit(old.id, "b").attachments == [KEPT]
    assert store.edit(old.id, "c", attachments=[]).attachments == []
    assert store.message(old.id).attachments == [KEPT]


def test_a_conversation_with_nothing_but_a_file_is_not_empty(store: HistoryStore) -> None:
    chat = store.create_conversation().id
    store.set_draft_files(chat, [FILE])
    assert not store.discard_if_empty(chat)
    assert store.unsent() == chat
    store.set_draft_files(chat, [])
    assert store.unsent() is None
    assert store.discard_if_empty(chat)


def test_files_of_a_draft_go_with_their_conversation(store: HistoryStore) -> None:
    chat = store.create_conversation().id
    store.set_draft_files(chat, [FILE])
    store.delete(chat)
    assert store.purge_deleted(days=-1) == 1
    assert store.problems() == []


def test_earlier_questions_come_latest_first_once_and_not_from_deleted_conversations(store: HistoryStore) -> None:
    one, two, gone = (store.create_conversation().id for _ in range(3))
    for chat, text in ((one, "a"), (two, "b"), (gone, "c"), (one, "b"), (one, "")):
        store.add_message(chat, None, "user", text)
    reply = store.begin_reply(one, store.branch(one)[-1].id, "m")
    store.finish(reply, "an answer")
    store.delete(gone)
    assert store.prompts() == ["b", "a"]
    assert store.prompts(two) == ["b"]
