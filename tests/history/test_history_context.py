"""What the model keeps seeing, and summaries of what it no longer does, are kept with the messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localchat.errors import HistoryUnavailable
from localchat.history.exporting import as_json
from localchat.history.importing import import_file
from localchat.history.store import HistoryStore


@pytest.fixture
def line(store: HistoryStore) -> list[str]:
    """The ids of a conversation: a question, a reply, a question."""
    chat = store.create_conversation().id
    asked = store.add_message(chat, None, "user", "请记住：我叫王伟。")
    reply = store.begin_reply(chat, asked.id, "tiny")
    store.finish(reply, "好的。")
    return [asked.id, reply, store.add_message(chat, reply, "user", "And now?").id]


def test_a_message_is_pinned_and_its_turn_for_the_model_says_so(store: HistoryStore, line: list[str]) -> None:
    assert not store.message(line[0]).pinned
    store.set_message_pinned(line[0], True)
    assert [m.as_message().pinned for m in store.line_to(line[2])] == [True, False, False]
    store.set_message_pinned(line[0], False)
    assert not store.message(line[0]).pinned


def test_other_windows_hear_of_a_pin_and_of_a_summary(store: HistoryStore, line: list[str]) -> None:
    version = store.version()
    store.set_message_pinned(line[0], True)
    assert store.changed_since(version)
    version = store.version()
    store.set_summary(line[1], "He is Wang Wei.")
    assert store.changed_since(version)


def test_both_stay_in_a_fork_in_an_export_and_in_what_is_read_back(
    store: HistoryStore, line: list[str], tmp_path: Path
) -> None:
    store.set_message_pinned(line[0], True)
    store.set_summary(line[1], "他叫王伟。")
    fork = store.fork(line[2])
    exported = tmp_path / "chat.json"
    exported.write_text(as_json(store, [store.conversation(store.message(line[0]).conversation_id)]), "utf-8")
    with HistoryStore(tmp_path / "other.db") as other:
        import_file(other, exported)
        chat = other.conversations()[0].id
        for there, id in ((store, fork.id), (other, chat)):
            assert [(m.pinned, m.summary) for m in there.branch(id)] == [(True, ""), (False, "他叫王伟。"), (False, "")]


def test_what_an_older_version_exported_has_neither(store: HistoryStore, line: list[str], tmp_path: Path) -> None:
    exported = json.loads(as_json(store, [store.conversation(store.message(line[0]).conversation_id)]))
    for message in exported["conversations"][0]["messages"]:
        del message["pinned"], message["summary"]
    (tmp_path / "old.json").write_text(json.dumps(exported))
    with HistoryStore(tmp_path / "other.db") as other:
        import_file(other, tmp_path / "old.json")
        assert not any(m.pinned or m.summary for m in other.branch(other.conversations()[0].id))


def test_an_edited_question_stays_pinned(store: HistoryStore, line: list[str]) -> None:
    store.set_message_pinned(line[0], True)
    assert store.edit(line[0], "请记住：我叫王维。").pinned


def test_a_message_that_is_gone_cannot_be_pinned(store: HistoryStore) -> None:
    with pytest.raises(HistoryUnavailable):
        store.set_message_pinned("gone", True)
