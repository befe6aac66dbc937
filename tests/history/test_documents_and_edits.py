"""Texts that conversations are about, and kept edits."""

from __future__ import annotations

from pathlib import Path

from localchat.history.documents import StoredDocument
from localchat.history.store import HistoryStore


def letter(text: str, saved: str = "Dear all") -> StoredDocument:
    return StoredDocument("/home/you/信.txt", "gb18030", b"\xff", saved, text)


def test_a_text_is_there_again_after_the_window_was_killed(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path / "h.db")
    chat = store.create_conversation().id
    store.keep_document(chat, letter("Dear"))
    store.keep_document(chat, letter("Dear all,\r\n\x00 好"))  # and nothing is closed
    again = HistoryStore(tmp_path / "h.db")
    assert again.document(chat) == letter("Dear all,\r\n\x00 好")
    assert again.unsent() == chat


def test_a_conversation_with_unsaved_work_is_not_empty(tmp_path: Path) -> None:
    with HistoryStore(tmp_path / "h.db") as store:
        unsaved, looked_at = store.create_conversation().id, store.create_conversation().id
        store.keep_document(unsaved, letter("Dear you"))
        store.keep_document(looked_at, letter("Dear all"))
        assert not store.discard_if_empty(unsaved)
        assert store.discard_if_empty(looked_at)
        assert store.document(looked_at) is None
        assert store.problems() == []


def test_the_latest_conversation_about_a_file_is_found_unless_it_was_deleted(tmp_path: Path) -> None:
    clock = iter(range(1, 100))
    with HistoryStore(tmp_path / "h.db", now=lambda: next(clock)) as store:
        first, second = store.create_conversation().id, store.create_conversation().id
        for chat in (first, second):
            store.keep_document(chat, letter("Dear all"))
        assert store.conversation_about("/home/you/信.txt") == second
        store.delete(second)
        assert store.conversation_about("/home/you/信.txt") == first
        store.put_document_away(first)
        assert store.conversation_about("/home/you/信.txt") is None


def test_edits_come_back_as_they_were_kept_and_in_order(tmp_path: Path) -> None:
    with HistoryStore(tmp_path / "h.db", now=lambda: 7.0) as store:
        store.keep_edits([{"action": "proofread", "original": f"第{number}句"} for number in range(450)])
        found = list(store.edits())
        assert store.count_edits() == len(found) == 450
        assert found[449] == {"created_at": 7.0, "action": "proofread", "original": "第449句"}


def test_nothing_of_erased_edits_is_left_in_any_file(tmp_path: Path) -> None:
    with HistoryStore(tmp_path / "h.db") as store:
        store.keep_edits([{"original": "a very secret sentence " * 300}] * 20)
        assert store.erase_edits() == 20
        assert store.count_edits() == 0
        assert not any(b"very secret" in file.read_bytes() for file in tmp_path.iterdir())
