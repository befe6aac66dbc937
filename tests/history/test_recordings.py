"""What makes replies again: kept compactly beside them, through branches, copies and damage."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from localchat.history.store import HistoryStore
from localchat.recording import Recording

AROUND = {"weights": "0" * 64, "kernel": "reference"}


def recording(prompt: Sequence[int], reply: Sequence[int]) -> Recording:
    return Recording(list(prompt), list(reply), True, {"temperature": 0.7, "seed": 1}, AROUND)


def ids(count: int, seed: int) -> list[int]:
    return random.Random(seed).choices(range(150_000), k=count)


@pytest.fixture
def store() -> HistoryStore:
    return HistoryStore.in_memory()


class Chat:
    """A conversation whose prompts begin with all that came before, as a model's do."""

    def __init__(self, store: HistoryStore) -> None:
        self.store, self.id = store, store.create_conversation().id
        self.leaf: str | None = None
        self.line: list[int] = []

    def turn(self, seed: int = 0, size: int = 50) -> str:
        question = self.store.add_message(self.id, self.leaf, "user", "q")
        self.leaf = self.store.begin_reply(self.id, question.id, "tiny")
        self.kept = recording([*self.line, *ids(size, seed)], ids(size, seed + 1))
        self.store.finish(self.leaf, "r", recording=self.kept)
        self.line = self.kept.line
        return self.leaf

    def packed_bytes(self) -> int:
        return sum(len(row[0]) for row in self.store._database.rows("SELECT recording FROM recordings"))


def test_a_recording_comes_back_as_it_was(store: HistoryStore) -> None:
    chat = Chat(store)
    reply = chat.turn()
    assert store.recording(reply) == chat.kept


def test_what_was_not_recorded_is_none(store: HistoryStore) -> None:
    chat = Chat(store)
    chat.turn()
    question = store.add_message(chat.id, chat.leaf, "user", "q")
    reply = store.begin_reply(chat.id, question.id, "tiny")
    store.finish(reply, "r", "error", error="lost")
    assert store.recording(reply) is None
    assert store.recording(question.id) is None


def test_a_long_conversation_takes_room_for_its_turns_and_comes_back(store: HistoryStore) -> None:
    chat = Chat(store)
    kept = []
    sizes = []
    for turn in range(40):
        before = chat.packed_bytes()
        kept.append((chat.turn(seed=2 * turn), chat.kept))
        sizes.append(chat.packed_bytes() - before)
    assert sorted(sizes)[30] < 2 * sizes[0]  # although the last prompt is forty times the first
    assert [store.recording(reply) for reply, _ in kept] == [recorded for _, recorded in kept]


def test_branches_are_packed_against_their_own_past(store: HistoryStore) -> None:
    chat = Chat(store)
    root, line = chat.turn(), chat.line
    first, first_kept = chat.turn(seed=10), chat.kept
    chat.leaf, chat.line = root, line
    second, second_kept = chat.turn(seed=20), chat.kept
    assert (store.recording(first), store.recording(second)) == (first_kept, second_kept)


def test_a_copied_conversation_keeps_its_recordings(store: HistoryStore) -> None:
    chat = Chat(store)
    chat.turn()
    last = chat.turn(seed=10)
    fork = store.fork(last)
    copy = store.branch(fork.id)[-1]
    assert copy.id != last
    assert store.recording(copy.id) == chat.kept


def test_a_reply_that_goes_on_forgets_what_made_less_of_it(store: HistoryStore) -> None:
    chat = Chat(store)
    reply = chat.turn()
    store.resume_reply(reply)
    assert store.recording(reply) is None
    whole = recording(chat.line, ids(5, 9))
    store.finish(reply, "r more", recording=whole)
    assert store.recording(reply) == whole


def test_finishing_again_without_a_recording_keeps_it(store: HistoryStore) -> None:
    chat = Chat(store)
    reply = chat.turn()
    store.finish(reply, "r")
    assert store.recording(reply) == chat.kept


def test_a_past_that_changed_is_noticed(store: HistoryStore) -> None:
    chat = Chat(store)
    first = chat.turn()
    second = chat.turn(seed=10)
    store.resume_reply(first)
    assert store.recording(second) is None
    store.finish(first, "other", recording=recording(ids(50, 77), ids(50, 78)))
    assert store.recording(second) is None


def test_damage_keeps_no_reply_from_being_saved(store: HistoryStore) -> None:
    chat = Chat(store)
    first = chat.turn()
    with store._database.writing() as connection:
        connection.execute("UPDATE recordings SET recording = x'00'")
    assert store.recording(first) is None
    second = chat.turn(seed=10)
    assert store.message(second).status == "complete"
    assert store.recording(second) == chat.kept


def test_recordings_go_with_their_conversation(store: HistoryStore) -> None:
    chat = Chat(store)
    chat.turn()
    store.delete(chat.id)
    store._now = lambda: 4e9
    store.purge_deleted()
    assert chat.packed_bytes() == 0
    assert store.problems() == []
