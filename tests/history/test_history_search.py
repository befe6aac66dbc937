"""Search over titles and messages, in Chinese and English, one character or many."""

from __future__ import annotations

from pathlib import Path

import pytest

from localchat.history.store import HistoryStore


@pytest.fixture
def titles(store: HistoryStore) -> dict[str, str]:
    """Ids of four conversations, by title."""
    texts = {
        "诗词赏析": "床前明月光，疑是地上霜。",
        "Plan for Monday": "Write the MAIL to Zoë about 50% of_it",
        "邮件": "把这段话改得更礼貌一些",
        "Paths": r"C:\Users\me and a*b[c] 'quoted' \"x\"",
    }
    ids = {}
    for title, text in texts.items():
        conversation = store.create_conversation(title=title)
        ids[title] = conversation.id
        store.add_message(conversation.id, None, "user", text)
    return ids


def _found(store: HistoryStore, search: str) -> set[str]:
    return {conversation.title for conversation in store.conversations(search)}


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("霜", {"诗词赏析"}),
        ("明月", {"诗词赏析"}),
        ("诗", {"诗词赏析"}),
        ("邮件", {"邮件"}),
        ("礼貌 邮", {"邮件"}),
        ("礼貌　邮件", {"邮件"}),
        ("mail", {"Plan for Monday"}),
        ("monday mail", {"Plan for Monday"}),
        ("Zoë", {"Plan for Monday"}),
        ("monday 霜", set()),
        ("%", {"Plan for Monday"}),
        ("50%", {"Plan for Monday"}),
        ("_", {"Plan for Monday"}),
        ("n_f", set()),
        ("\\", {"Paths"}),
        ("C:\\Users", {"Paths"}),
        ("a*b[c]", {"Paths"}),
        ("'quoted'", {"Paths"}),
        ("' OR 1=1 --", set()),
        ("  ", {"诗词赏析", "Plan for Monday", "邮件", "Paths"}),
    ],
)
def test_every_word_must_occur_in_title_or_messages(
    store: HistoryStore, titles: dict[str, str], search: str, expected: set[str]
) -> None:
    assert len(titles) == 4
    assert _found(store, search) == expected


def test_an_old_version_of_a_reply_is_found_too(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    question = store.add_message(conversation.id, None, "user", "q")
    for text in ("the needle", "hay"):
        store.finish(store.begin_reply(conversation.id, question.id, "m"), text)
    assert [c.id for c in store.conversations("needle")] == [conversation.id]


def test_a_whole_text_pasted_into_the_search_is_no_error(store: HistoryStore, titles: dict[str, str]) -> None:
    assert len(titles) == 4
    assert _found(store, "床 前 明 月 光 疑 是 地 上 霜 诗 词 赏 析 " * 20) == {"诗词赏析"}
    assert _found(store, "x" * 200_000) == set()
    assert _found(store, " ".join(chr(0x4E00 + i) for i in range(5000))) == set()


def test_a_search_reads_each_message_once_at_most(history_path: Path) -> None:
    """Thousands of messages stay quick because nothing is compared pairwise: SQLite's plan says so."""
    with HistoryStore(history_path) as store:
        from localchat.history.queries import search_clause

        clause, values = search_clause("x y")
        rows = store._database.rows(f"EXPLAIN QUERY PLAN SELECT * FROM conversations WHERE 1{clause}", *values)
    plan = [row["detail"] for row in rows]
    assert sum("SCAN conversations" in step for step in plan) == 1
    assert sum("SEARCH messages USING INDEX messages_by_parent (conversation_id=?)" in step for step in plan) == 2
    assert not any("SCAN messages" in step for step in plan)
