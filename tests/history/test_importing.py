"""Imports: our JSON comes back whole, ChatGPT's exports keep their branches, and nothing is added twice."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localchat.errors import UnreadableImport
from localchat.history.exporting import as_json
from localchat.history.importing import import_file
from localchat.history.records import StoredMessage
from localchat.history.store import HistoryStore
from tests.history.samples import chatgpt, fill, node


@pytest.fixture
def other(tmp_path: Path) -> Iterator[HistoryStore]:
    """A history on another machine."""
    with HistoryStore(tmp_path / "other" / "history.db") as opened:
        yield opened


def written(folder: Path, document: Any, name: str = "conversations.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def imported(store: HistoryStore, folder: Path, *conversations: dict[str, Any]) -> list[StoredMessage]:
    """The messages of the first conversation of ChatGPT's."""
    import_file(store, written(folder, list(conversations)))
    return store.all_messages(store.everything()[-1].id)


# ---- our own


def test_our_json_comes_back_with_everything(store: HistoryStore, other: HistoryStore, tmp_path: Path) -> None:
    chat = fill(store)
    path = tmp_path / "all.json"
    path.write_text(as_json(store, store.everything()), encoding="utf-8")
    result = import_file(other, path)
    assert (result.added, result.messages) == (1, 5)
    assert other.conversation(chat.id) == chat
    assert other.all_messages(chat.id) == store.all_messages(chat.id)
    assert [m.content for m in other.branch(chat.id)] == [m.content for m in store.branch(chat.id)]
    assert other.problems() == []
    assert [found.conversation.id for found in other.find("明月")] == [chat.id]


def test_the_same_file_twice_adds_nothing(store: HistoryStore, other: HistoryStore, tmp_path: Path) -> None:
    chat = fill(store)
    path = tmp_path / "all.json"
    path.write_text(as_json(store, [chat]), encoding="utf-8")
    import_file(other, path)
    other.delete(chat.id)
    result = import_file(other, path)
    assert (result.added, result.extended, result.known, result.messages) == (0, 0, 1, 0)
    assert len(other.all_messages(chat.id)) == 5
    assert other.conversation(chat.id).deleted_at is not None  # what was thrown away stays so


def test_a_conversation_that_went_on_elsewhere_gets_its_new_messages(
    store: HistoryStore, other: HistoryStore, tmp_path: Path
) -> None:
    chat = fill(store)
    path = tmp_path / "all.json"
    path.write_text(as_json(store, [chat]), encoding="utf-8")
    import_file(other, path)
    here = other.add_message(chat.id, other.branch(chat.id)[-1].id, "user", "added here")
    store.add_message(chat.id, store.branch(chat.id)[-1].id, "user", "added there")
    path.write_text(as_json(store, [chat]), encoding="utf-8")
    result = import_file(other, path)
    assert (result.extended, result.messages) == (1, 1)
    assert other.siblings(here.id).ids != (here.id,)
    assert other.branch(chat.id)[-1].content == "added here"


def test_a_message_id_of_another_conversation_gets_a_new_one_every_time_the_same(
    store: HistoryStore, tmp_path: Path
) -> None:
    chat = fill(store)
    document = json.loads(as_json(store, [chat]))
    document["conversations"][0]["id"] = "f" * 32
    path = written(tmp_path, document)
    assert import_file(store, path).added == 1
    assert import_file(store, path).known == 1
    assert [m.content for m in store.branch("f" * 32)] == [m.content for m in store.branch(chat.id)]
    assert store.problems() == []


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("version",), 2, "newer localchat"),
        (("version",), "1", "version"),
        (("conversations", 0), [], "conversations[0] must be an object"),
        (("conversations", 0, "title"), None, "conversations[0].title is None"),
        (("conversations", 0, "created_at"), "yesterday", "conversations[0].created_at"),
        (("conversations", 0, "created_at"), 1e300, "conversations[0].created_at"),
        (("conversations", 0, "sampling"), {"temperature": 99}, "conversations[0].sampling.temperature is 99"),
        (("conversations", 0, "options"), {"context_length": "x"}, "options.context_length"),
        (("conversations", 0, "options"), {"thinking": "maybe"}, "options.thinking"),
        (("conversations", 0, "messages", 1, "role"), "tool", "conversations[0].messages[1].role is 'tool'"),
        (("conversations", 0, "messages", 1, "parent_id"), "nobody", "conversations[0].messages[1].parent_id"),
        (("conversations", 0, "messages", 1, "status"), "odd", "messages[1].status"),
        (("conversations", 0, "messages", 1, "stats"), {"completion_tokens": "many"}, "stats.completion_tokens"),
        (("conversations", 0, "messages", 0, "attachments"), [{"name": 1}], "attachments[0].name"),
        (("conversations", 0, "messages", 0, "id"), "", "messages[0].id"),
    ],
)
def test_what_is_not_right_is_refused_with_its_place_and_nothing_is_added(
    store: HistoryStore, other: HistoryStore, tmp_path: Path, place: tuple[str | int, ...], value: object, said: str
) -> None:
    document = json.loads(as_json(store, [fill(store)]))
    table = document
    for step in place[:-1]:
        table = table[step]
    table[place[-1]] = value
    with pytest.raises(UnreadableImport) as caught:
        import_file(other, written(tmp_path, document))
    assert said in str(caught.value)
    assert other.everything() == []


def test_any_damage_to_our_json_is_one_error_and_never_a_broken_history(
    store: HistoryStore, other: HistoryStore, tmp_path: Path
) -> None:
    fill(store)
    text = as_json(store, store.everything())
    chance = random.Random(5)
    path = tmp_path / "damaged.json"
    for _ in range(150):
        start = chance.randrange(len(text))
        piece = chance.choice(["", "null", "[]", "{}", '"x"', "-1", "1e999", "NaN"])
        path.write_text(text[:start] + piece + text[start + chance.randrange(1, 40) :], encoding="utf-8")
        try:
            import_file(other, path)
        except UnreadableImport:
            continue
    assert other.problems() == []
    for conversation in other.everything():
        as_json(other, [conversation])
        other.branch(conversation.id)


@pytest.mark.parametrize(
    "content", [b"", b"not json", b"\xff\xfe\x00", b"[]", b"{}", b'[{"a": 1}]', b"[" * 100_000, b"3"]
)
def test_a_file_of_another_kind_is_refused_in_one_sentence(store: HistoryStore, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UnreadableImport, match=r"x\.json"):
        import_file(store, tmp_path / "x.json")


# ---- ChatGPT's


def test_the_branches_of_chatgpt_are_kept_and_the_one_on_show_is_shown(store: HistoryStore, tmp_path: Path) -> None:
    tree = chatgpt(
        node("root", None),
        node("hidden", "root", "system", "", at=None),
        node("q1", "hidden", "user", "Green or black?", at=10.0),
        node("a1", "q1", "assistant", "Green.", at=11.0, metadata={"model_slug": "gpt-4"}),
        node("a2", "q1", "assistant", "Black.", at=15.0),
        node("q2", "a1", "user", "为什么？", at=12.0),
        node("a3", "q2", "assistant", "因为清香。", at=13.0),
        current="a3",
    )
    messages = imported(store, tmp_path, tree)
    chat = store.everything()[0]
    assert (chat.title, chat.created_at, chat.updated_at) == ("Tea", 1_700_000_000.5, 1_700_000_900.0)
    assert [m.content for m in store.branch(chat.id)] == ["Green or black?", "Green.", "为什么？", "因为清香。"]
    assert [m.content for m in messages] == ["Green or black?", "Green.", "为什么？", "因为清香。", "Black."]
    assert str(store.siblings(messages[1].id)) == "1/2"
    assert messages[1].model == "gpt-4"
    assert messages[0].parent_id is None
    assert store.problems() == []


def test_chatgpt_twice_adds_nothing_and_a_longer_one_only_what_is_new(store: HistoryStore, tmp_path: Path) -> None:
    short = [node("q", None, "user", "Hi", at=1.0), node("a", "q", "assistant", "Hello", at=2.0)]
    imported(store, tmp_path, chatgpt(*short))
    again = import_file(store, tmp_path / "conversations.json")
    assert (again.added, again.known, again.messages) == (0, 1, 0)
    short = [node("q", None, "user", "Hi", at=1.0), node("a", "q", "assistant", "Hello", at=2.0)]
    longer = import_file(store, written(tmp_path, [chatgpt(*short, node("b", "a", "user", "More", at=3.0))]))
    assert (longer.extended, longer.messages) == (1, 1)


def test_parts_that_are_no_text_are_named(store: HistoryStore, tmp_path: Path) -> None:
    image = {
        "content_type": "image_asset_pointer",
        "asset_pointer": "file-service://file-abc",
        "width": 640,
        "height": 480,
    }
    voice = {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://file_9"}
    heard = {"content_type": "audio_transcription", "text": "What is this?"}
    tree = chatgpt(
        node(
            "q",
            None,
            "user",
            at=1.0,
            content={"content_type": "multimodal_text", "parts": [image, voice, heard, "Say."]},
            metadata={
                "attachments": [
                    {"id": "file-abc", "name": "cat.png"},
                    {"id": "file-x", "name": "report.pdf"},
                ]
            },
        ),
        node("odd", "q", "assistant", at=2.0, content={"content_type": "holograph", "result": "shimmer"}),
    )
    path = written(tmp_path, [tree])
    result = import_file(store, path)
    question, odd = store.all_messages(store.everything()[0].id)
    assert question.content == (
        "[file: report.pdf]\n\n[image: cat.png, 640 × 480]\n\n[recording: file_9]\n\nWhat is this?\n\nSay."
    )
    assert odd.content == "[part of another kind: holograph]\n\nshimmer"
    assert dict(result.named) == {"image": 1, "audio": 1, "file": 1, "other": 1}


def test_code_results_and_thoughts_stay_with_the_reply(store: HistoryStore, tmp_path: Path) -> None:
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "s", "content": "Sum it."}]}
    code = {"content_type": "code", "language": "unknown", "text": "1 + 1"}
    messages = imported(
        store,
        tmp_path,
        chatgpt(
            node("q", None, "user", "Sum?", at=1.0),
            node("t", "q", "assistant", at=2.0, content=thoughts),
            node("r", "t", "assistant", at=2.5, content={"content_type": "reasoning_recap", "content": "Thought"}),
            node("c", "r", "assistant", at=3.0, content=code, recipient="python"),
            node("o", "c", "tool", at=4.0, content={"content_type": "execution_output", "text": "2\n"}),
            node("a", "o", "assistant", "Two.", at=5.0, status="finished_partial_completion"),
        ),
    )
    assert [(m.role, m.content) for m in messages] == [
        ("user", "Sum?"),
        ("assistant", "```python\n1 + 1\n```"),
        ("assistant", "```\n2\n```"),
        ("assistant", "Two."),
    ]
    assert messages[1].thinking == "Sum it."
    assert messages[3].status == "stopped"


def test_what_the_user_told_chatgpt_about_all_chats_becomes_the_system_prompt(
    store: HistoryStore, tmp_path: Path
) -> None:
    context = {"content_type": "user_editable_context", "user_profile": "I am Ada.", "user_instructions": "Be brief."}
    hidden = {"is_visually_hidden_from_conversation": True}
    imported(
        store,
        tmp_path,
        chatgpt(
            node("root", None),
            node("i", "root", "user", content=context, metadata=hidden),
            node("q", "i", "user", "Hi", at=1.0),
        ),
    )
    assert store.everything()[0].system_prompt == "I am Ada.\n\nBe brief."
    assert [m.content for m in store.branch(store.everything()[0].id)] == ["Hi"]


def test_the_first_form_without_a_tree_is_read(store: HistoryStore, tmp_path: Path) -> None:
    old = {
        "id": "old",
        "title": None,
        "create_time": "2023-01-02T03:04:05+00:00",
        "messages": [
            {"id": "1", "role": "user", "content": "Is anybody there?"},
            {"id": "2", "role": "assistant", "content": {"content_type": "text", "parts": ["Yes."]}},
        ],
    }
    messages = imported(store, tmp_path, old)
    assert [(m.role, m.content) for m in messages] == [("user", "Is anybody there?"), ("assistant", "Yes.")]
    assert messages[1].parent_id == messages[0].id
    chat = store.everything()[0]
    assert chat.title == "Is anybody there?"
    assert chat.created_at == 1_672_628_645.0


def test_the_zip_is_read_in_its_old_and_in_its_new_form(store: HistoryStore, tmp_path: Path) -> None:
    def tea(number: int) -> dict[str, Any]:
        return chatgpt(node("q", None, "user", f"Question {number}", at=1.0), conversation_id=str(number))

    with zipfile.ZipFile(tmp_path / "old.zip", "w") as archive:
        archive.writestr("chat.html", "<html>")
        archive.writestr("conversations.json", json.dumps([tea(1)]))
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        archive.writestr("export/export_manifest.json", "{}")
        for number in (2, 3):
            archive.writestr(f"export/conversations-00{number}.json", json.dumps([tea(number)]))
    assert import_file(store, tmp_path / "old.zip").added == 1
    assert import_file(store, tmp_path / "new.zip").added == 2
    assert import_file(store, tmp_path / "new.zip").known == 2


def test_the_folder_that_was_in_the_zip_is_read_too(store: HistoryStore, tmp_path: Path) -> None:
    written(tmp_path, {"email": "ada@example"}, "user.json")
    written(tmp_path, [chatgpt(node("q", None, "user", "Hi", at=1.0))], "conversations-000.json")
    assert import_file(store, tmp_path).added == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableImport, match="no JSON files"):
        import_file(store, tmp_path / "empty")


def test_a_zip_without_conversations_and_a_damaged_one_are_refused(store: HistoryStore, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("photo.jpg", "x" * 500)
    with pytest.raises(UnreadableImport, match="holds no conversations"):
        import_file(store, tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "y.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations.json", json.dumps([chatgpt(node("q", None, "user", "x" * 5000, at=1.0))]))
    data = bytearray((tmp_path / "y.zip").read_bytes())
    data[60:80] = b"\xff" * 20
    (tmp_path / "y.zip").write_bytes(data)
    with pytest.raises(UnreadableImport, match=r"y\.zip"):
        import_file(store, tmp_path / "y.zip")


def test_a_tree_that_bites_its_tail_or_has_gaps_is_survived(store: HistoryStore, tmp_path: Path) -> None:
    first, second = node("a", "b", "user", "A", at=1.0), node("b", "a", "user", "B", at=1.0)
    orphan = node("c", "gone", "user", "C", at=2.0)
    messages = imported(store, tmp_path, chatgpt(first, second, orphan, current="b"))
    assert [m.content for m in messages] == ["C"]


@pytest.mark.parametrize(
    "broken", [{"q": 1}, {"q": {"message": 5}}, {"q": {"message": {"role": "user", "content": {"parts": 3}}}}]
)
def test_a_tree_that_is_built_otherwise_is_refused_by_number(
    store: HistoryStore, tmp_path: Path, broken: dict[str, Any]
) -> None:
    path = written(tmp_path, [chatgpt(node("q", None, "user", "x", at=1.0)), {"mapping": broken}])
    with pytest.raises(UnreadableImport, match="conversation 2"):
        import_file(store, path)


def test_thousands_of_messages_in_a_row_are_imported(store: HistoryStore, tmp_path: Path) -> None:
    nodes = [node(str(n), str(n - 1) if n else None, "user", f"m{n}", at=float(n + 1)) for n in range(3000)]
    messages = imported(store, tmp_path, chatgpt(*nodes))
    assert len(messages) == 3000
