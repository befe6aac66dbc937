"""Where a conversation stands in the list: folders, the archive, titles by the model."""

from __future__ import annotations

from localchat.history.store import HistoryStore
from localchat.ui.listing import Listing
from localchat.ui.private import PrivateChats


def _titles(store: HistoryStore) -> list[str]:
    return [conversation.title for conversation in store.conversations()]


def test_folders_are_there_while_something_is_in_them(store: HistoryStore) -> None:
    one, two = (store.create_conversation(title=title).id for title in ("one", "two"))
    store.set_folder(one, "  Work \n")
    store.set_folder(two, "工作")
    assert store.folders() == ["Work", "工作"]
    assert store.conversation(one).folder == "Work"
    store.set_folder(one, " ")
    assert store.folders() == ["工作"]
    store.delete(two)
    assert store.folders() == []


def test_an_archived_conversation_is_listed_apart_until_a_message_brings_it_back(store: HistoryStore) -> None:
    one, two = (store.create_conversation(title=title).id for title in ("one", "two"))
    store.set_archived(one, True)
    assert _titles(store) == ["two"]
    assert [conversation.id for conversation in store.archived()] == [one]
    assert store.count_listed() == (1, 1)
    store.add_message(one, None, "user", "again")
    assert _titles(store) == ["one", "two"]
    store.delete(two)
    assert store.count_listed() == (1, 0)


def test_a_limited_list_holds_all_that_are_pinned_or_in_a_folder(store: HistoryStore) -> None:
    ids = [store.create_conversation(title=f"chat {number}").id for number in range(6)]
    store.set_pinned(ids[0], True)
    store.set_folder(ids[1], "Work")
    assert [c.title for c in store.conversations(limit=2)] == ["chat 5", "chat 4", "chat 1", "chat 0"]


def test_the_model_titles_what_the_user_has_not_named(store: HistoryStore) -> None:
    chat = store.create_conversation().id
    first = store.add_message(chat, None, "user", "How is bread made?")
    assert store.set_model_title(chat, "Baking bread")
    assert store.conversation(chat).titled
    store.edit(first.id, "How is rye bread made?")
    assert store.conversation(chat).title == "Baking bread"
    store.rename(chat, "Mine")
    assert not store.conversation(chat).titled
    assert not store.set_model_title(chat, "Baking bread")
    assert store.conversation(chat).title == "Mine"
    store.rename(chat, "")
    assert store.conversation(chat).title == "How is bread made?"
    assert store.set_model_title(chat, "Baking bread")


def test_the_list_is_in_the_order_private_pinned_folders_days_archive(store: HistoryStore) -> None:
    ids = {title: store.create_conversation(title=title).id for title in ("a", "b", "c", "d", "e")}
    store.set_pinned(ids["a"], True)
    store.set_folder(ids["a"], "Work")
    store.set_folder(ids["b"], "Work")
    store.set_folder(ids["c"], "Garden")
    store.set_folded("Garden", True)
    store.set_archived(ids["d"], True)
    private = PrivateChats()
    listing = Listing(store, private, store._now)
    private.begin()
    shown = [(group.heading, [chat.title for chat in group.chats], group.folded) for group in listing.groups()]
    assert shown[1:] == [
        ("Pinned", ["a"], False),
        ("Garden", ["c"], True),
        ("Work", ["b"], False),
        ("Today", ["e"], False),
        ("Archive", [], True),
    ]
    assert [store.conversation(chat_id).title for chat_id in listing.ids()[1:]] == ["a", "b", "e"]
    private.close()
