"""Search over titles and messages, in Chinese and English, one character or many."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from localchat.history.migrations import MIGRATIONS, migrate
from localchat.history.search_words import Search
from localchat.history.store import HistoryStore

from .conftest import Clock


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
    return {found.conversation.title for found in store.find(search)}


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
        ("  ", set()),
        ("zoe", {"Plan for Monday"}),
        ("ＭＡＩＬ", {"Plan for Monday"}),
        ("mon", {"Plan for Monday"}),
        ("onday", set()),
        ("m", set()),
        ("月霜", set()),
        ("月光，疑", {"诗词赏析"}),
        ("月光,疑", {"诗词赏析"}),
        ("\x00", set()),
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
    assert [(found.conversation.id, found.excerpt) for found in store.find("needle")] == [
        (conversation.id, "the needle")
    ]


def test_a_whole_text_pasted_into_the_search_is_no_error(store: HistoryStore, titles: dict[str, str]) -> None:
    assert len(titles) == 4
    assert _found(store, "床 前 明 月 光 疑 是 地 上 霜 诗 词 赏 析 " * 20) == {"诗词赏析"}
    assert _found(store, "x" * 200_000) == set()
    assert _found(store, " ".join(chr(0x4E00 + i) for i in range(5000))) == set()


def test_a_word_may_stand_in_the_title_and_another_in_a_message(store: HistoryStore) -> None:
    conversation = store.create_conversation(title="Monday 计划")
    question = store.add_message(conversation.id, None, "user", "write letters")
    store.add_message(conversation.id, question.id, "assistant", "Dear Zoë, all letters are written.")
    found = store.find("计划 letters")
    assert [hit.conversation.id for hit in found] == [conversation.id]
    assert found[0].excerpt.startswith("Dear Zoë")
    assert store.find("计划 telegrams") == []


def test_a_message_with_all_words_goes_before_a_newer_one_with_some(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    both = store.add_message(conversation.id, None, "user", "a red door and a blue window")
    store.add_message(conversation.id, both.id, "assistant", "The red one?")
    assert [hit.message_id for hit in store.find("red blue")] == [both.id]
    assert [hit.message_id for hit in store.find("red")] != [both.id]


def test_a_hit_in_the_title_alone_names_no_message(store: HistoryStore) -> None:
    conversation = store.create_conversation(title="诗词赏析")
    store.add_message(conversation.id, None, "user", "hello")
    assert [(hit.message_id, hit.excerpt) for hit in store.find("诗")] == [(None, "")]


def test_an_excerpt_begins_shortly_before_the_word(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    store.add_message(conversation.id, None, "user", "word " * 300 + "the needle\nin it" + " word" * 300)
    (hit,) = store.find("needle")
    assert hit.excerpt.startswith("…word word")
    assert hit.excerpt.index("needle in it") < 40


def test_what_changes_is_found_as_it_is_now(store: HistoryStore, clock: Clock) -> None:
    conversation = store.create_conversation()
    question = store.add_message(conversation.id, None, "user", "q")
    reply = store.begin_reply(conversation.id, question.id, "m")
    store.checkpoint(reply, "half of the 答案")
    assert _found(store, "答案") == set()  # while it is written, it is on screen
    store.finish(reply, "the whole 答案")
    assert _found(store, "whole 答案") == {"q"}
    store.rename(conversation.id, "mine")
    assert _found(store, "mine") == {"mine"}
    store.rename(conversation.id, "yours")
    assert _found(store, "mine") == set()
    store.delete(conversation.id)
    assert _found(store, "答案") == set()
    store.undelete(conversation.id)
    assert _found(store, "答案") == {"yours"}
    store.delete(conversation.id)
    clock.pass_days(40)
    store.purge_deleted()
    assert store._database.rows("SELECT count(*) FROM search_index")[0][0] == 0
    assert store.problems() == []


def test_archived_conversations_are_found_after_the_others(store: HistoryStore) -> None:
    ids = [store.create_conversation(title=f"needle {number}").id for number in range(3)]
    store.set_archived(ids[2], True)
    assert [hit.conversation.id for hit in store.find("needle")] == [ids[1], ids[0], ids[2]]


def test_a_file_given_with_a_message_is_found_by_its_name(store: HistoryStore) -> None:
    conversation = store.create_conversation()
    message = store.add_message(conversation.id, None, "user", "Sum this up")
    with store._database.writing() as connection:
        connection.execute(
            "UPDATE messages SET attachments = ? WHERE id = ?",
            ('[{"name": "年报 2025.pdf", "kind": "pdf", "text": "secret"}]', message.id),
        )
    assert _found(store, "年报") == {"Sum this up"}
    assert _found(store, "secret") == set()


def test_an_older_history_is_searchable_at_once_and_whole_after_a_while(history_path: Path) -> None:
    history_path.parent.mkdir()
    connection = sqlite3.connect(history_path, isolation_level=None)
    migrate(connection, MIGRATIONS[:1])
    connection.execute("BEGIN")
    for number in range(300):
        connection.execute(
            "INSERT INTO conversations (id, title, created_at, updated_at) VALUES (?, ?, ?, ?)",
            (f"c{number}", f"Title {number}", number, number),
        )
        connection.execute(
            "INSERT INTO messages (id, conversation_id, role, content, status, created_at)"
            " VALUES (?, ?, 'user', ?, 'complete', 1)",
            (f"m{number}", f"c{number}", f"第{number}章 needle"),
        )
    connection.execute("COMMIT")
    connection.close()
    with HistoryStore(history_path) as store:
        assert store.unindexed() == 600
        while store.index_some(0.01):
            pass
        assert store.unindexed() == 0
        assert [hit.conversation.id for hit in store.find("第7章")] == ["c7"]
        assert len(store.find("needle", limit=1000)) == 300
        assert len(store.find("needle", limit=20)) == 20


@pytest.mark.parametrize(
    ("typed", "text", "expected"),
    [
        ("明月", "床前明 月光，明月", ["明 月", "明月"]),
        ("zoe", "Dear Zoë and Zoes", ["Zoë", "Zoe"]),
        ("mail", "e-mail MAILING hotmail", ["mail", "MAIL"]),
        ("c++", "C++ and c", ["C++"]),
        ("手机", "iPhone手机", ["手机"]),
        ("fin", "ﬁnd ½fin", ["ﬁn"]),
        ("の", "日本の山", ["の"]),
        ("ไทย", "ภาษาไทย", ["ไทย"]),
        ("한국", "한국어", ["한국"]),
        ("red blue", "blue or red", ["blue", "red"]),
        ("", "anything", []),
    ],
)
def test_the_words_that_were_found_are_marked_where_they_stand(typed: str, text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in Search(typed).spans(text)] == expected


def test_marking_and_the_index_agree(store: HistoryStore) -> None:
    """On random texts, a message is found if and only if there is something in it to mark."""
    letters = random.Random(5)
    pieces = ["ab", "abc", "b", "山", "水", "，", ",", "*", " ", "é", "Ａ", "1", "_", "\u200b", "ﬁ", "ー", "한"]
    texts = {}
    for _ in range(60):
        text = "".join(letters.choices(pieces, k=8))
        conversation = store.create_conversation(title="t")
        texts[conversation.id] = text
        store.add_message(conversation.id, None, "user", text)
    for _ in range(120):
        typed = "".join(letters.choices([piece for piece in pieces if piece != " "], k=letters.randint(1, 3)))
        if not Search(typed) or typed.casefold().startswith("t"):
            continue
        expected = {chat for chat, text in texts.items() if Search(typed).spans(text)}
        assert {hit.conversation.id for hit in store.find(typed, limit=1000)} == expected, typed
