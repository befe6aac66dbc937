"""Finding chats again: pinning, folders, the archive, and searching, with the keys that a user presses."""

from __future__ import annotations

import pytest
from textual.content import Content

from localchat.history.search_words import Search
from localchat.history.store import HistoryStore
from localchat.ui.reading.lines import Line
from localchat.ui.reading.marking import marks
from localchat.ui.screens.folder import FolderScreen
from localchat.ui.widgets.chat_list import ChatLine, ChatList, FoldLine
from localchat.ui.widgets.sidebar import SearchBox, Sidebar
from tests.ui.conftest import NOW, Desk, Opener

WIDE = (120, 40)


def lines(desk: Desk) -> list[str]:
    """The list as it reads: headings, folders and chats, without indents and excerpts."""
    options = desk.screen.query_one(ChatList).options
    return [str(option.prompt).strip().splitlines()[0].lstrip("▌ ") for option in options]


def excerpts(desk: Desk) -> list[str]:
    options = desk.screen.query_one(ChatList).options
    chats = [str(option.prompt).splitlines() for option in options if isinstance(option, ChatLine)]
    return [chat[1].strip() for chat in chats if len(chat) > 1]


def fill(store: HistoryStore, *titles: str) -> dict[str, str]:
    """Chats of today, the last one the latest; returns their ids."""
    ids = {}
    for age, title in enumerate(reversed(titles)):
        store._now = lambda age=age: NOW - age * 60  # type: ignore[misc]
        chat = store.create_conversation(title=title).id
        question = store.add_message(chat, None, "user", f"A question about {title}")
        store.finish(store.begin_reply(chat, question.id, "tiny"), f"What there is to say about {title}: 月光 shines.")
        ids[title] = chat
    store._now = lambda: NOW  # type: ignore[method-assign]
    return ids


async def under_cursor(desk: Desk, title: str) -> None:
    """Put the cursor of the list on this line."""
    chat_list = desk.screen.query_one(ChatList)
    chat_list.focus()
    wanted = [index for index, line in enumerate(lines(desk)) if line.startswith(title)]
    chat_list.highlighted = wanted[0]
    await desk.pilot.pause()


async def test_alt_p_pins_the_open_chat_and_unpins_it_again(open_desk: Opener) -> None:
    fill(open_desk.store, "One", "Two")
    async with open_desk(size=WIDE) as desk:
        await desk.pilot.press("alt+down", "alt+down")
        await desk.until(lambda: desk.session.title == "One")
        await desk.pilot.press("alt+p")
        await desk.until(lambda: lines(desk) == ["Pinned", "One", "Today", "Two"])
        await desk.pilot.press("alt+p")
        await desk.until(lambda: lines(desk) == ["Today", "Two", "One"])


async def test_p_in_the_list_pins_the_chat_under_the_cursor_and_the_cursor_goes_along(open_desk: Opener) -> None:
    fill(open_desk.store, "One", "Two")
    async with open_desk(size=WIDE) as desk:
        await under_cursor(desk, "One")
        await desk.pilot.press("p")
        await desk.until(lambda: lines(desk) == ["Pinned", "One", "Today", "Two"])
        assert desk.screen.sidebar.highlighted == desk.store.conversations()[1].id


async def test_m_moves_a_chat_into_a_new_folder_which_folds(open_desk: Opener) -> None:
    fill(open_desk.store, "One", "Two")
    async with open_desk(size=WIDE) as desk:
        await under_cursor(desk, "One")
        await desk.pilot.press("m")
        await desk.until(lambda: isinstance(desk.app.screen, FolderScreen))
        await desk.pilot.press("W", "o", "r", "k", "enter")
        await desk.until(lambda: lines(desk) == ["▾ Work", "One", "Today", "Two"])
        await desk.pilot.press("left")
        await desk.until(lambda: lines(desk) == ["▸ Work  1", "Today", "Two"])
        await desk.pilot.press("right")
        await desk.until(lambda: lines(desk) == ["▾ Work", "One", "Today", "Two"])
        await desk.pilot.press("enter")
        await desk.until(lambda: lines(desk) == ["▸ Work  1", "Today", "Two"])
    async with open_desk(size=WIDE) as desk:
        assert lines(desk) == ["▸ Work  1", "Today", "Two"]  # still folded after a restart


async def test_an_old_folder_is_offered_by_the_letters_typed_and_a_chat_leaves_it_again(open_desk: Opener) -> None:
    ids = fill(open_desk.store, "One", "Two", "Three")
    open_desk.store.set_folder(ids["One"], "Work")
    open_desk.store.set_folder(ids["Two"], "工作")
    async with open_desk(size=WIDE) as desk:
        await under_cursor(desk, "Three")
        await desk.pilot.press("alt+m")
        await desk.until(lambda: isinstance(desk.app.screen, FolderScreen))
        await desk.pilot.press("o", "r", "enter")
        await desk.until(lambda: lines(desk) == ["▾ Work", "Three", "One", "▾ 工作", "Two"])
        await desk.pilot.press("m")
        await desk.until(lambda: isinstance(desk.app.screen, FolderScreen))
        await desk.pilot.press("down", "down", "enter")
        await desk.until(lambda: lines(desk) == ["▾ Work", "One", "▾ 工作", "Two", "Today", "Three"])
        await desk.pilot.press("m", "escape")
        await desk.until(lambda: not isinstance(desk.app.screen, FolderScreen))
        assert lines(desk) == ["▾ Work", "One", "▾ 工作", "Two", "Today", "Three"]


async def test_alt_k_archives_and_the_archive_unfolds_at_the_end_of_the_list(open_desk: Opener) -> None:
    fill(open_desk.store, "One", "Two")
    async with open_desk(size=WIDE) as desk:
        await under_cursor(desk, "One")
        await desk.pilot.press("a")
        await desk.until(lambda: lines(desk) == ["Today", "Two", "▸ Archive  1"])
        await under_cursor(desk, "▸ Archive")
        await desk.pilot.press("enter")
        await desk.until(lambda: lines(desk) == ["Today", "Two", "▾ Archive", "One"])
        await desk.pilot.press("down", "enter")
        await desk.until(lambda: desk.session.title == "One")
        await desk.pilot.press("alt+k")
        await desk.until(lambda: lines(desk) == ["Today", "Two", "One"])


async def test_a_message_in_an_archived_chat_brings_it_back(open_desk: Opener) -> None:
    ids = fill(open_desk.store, "One")
    open_desk.store.set_archived(ids["One"], True)
    async with open_desk(size=WIDE) as desk:
        desk.session.open_chat(ids["One"])
        await desk.screen.show_chat()
        await desk.ask("Again")
        assert lines(desk) == ["Today", "One"]


async def test_a_private_chat_cannot_be_put_anywhere_and_that_is_said(open_desk: Opener) -> None:
    async with open_desk(size=WIDE) as desk:
        await desk.pilot.press("alt+n", "alt+p")
        await desk.until(desk.notices)
        assert "private" in desk.notices()[0].lower()


async def test_folders_can_be_renamed_chats_deleted_and_brought_back_in_place(open_desk: Opener) -> None:
    ids = fill(open_desk.store, "One", "Two")
    open_desk.store.set_folder(ids["One"], "Work")
    async with open_desk(size=WIDE) as desk:
        await under_cursor(desk, "One")
        await desk.pilot.press("d")
        await desk.until(lambda: lines(desk) == ["Today", "Two"])
        await desk.pilot.press("u")
        await desk.until(lambda: lines(desk) == ["▾ Work", "One", "Today", "Two"])


async def test_a_search_shows_where_the_words_stand_and_leads_to_the_message(open_desk: Opener) -> None:
    store = open_desk.store
    ids = fill(store, "One", "Two")
    parent = store.branch(ids["One"])[-1].id
    for number in range(60):
        role = "user" if number % 2 == 0 else "assistant"
        text = "A needle 床前\n明月 here" if number == 7 else f"message {number}"
        parent = store.add_message(ids["One"], parent, role, text).id  # type: ignore[arg-type]
    async with open_desk(size=WIDE) as desk:
        await desk.pilot.press("ctrl+f")
        desk.screen.query_one(SearchBox).value = "needle 明月"
        await desk.until(lambda: lines(desk) == ["Today", "One"])
        assert excerpts(desk) == ["A needle 床前 明月 here"]
        prompt = desk.screen.query_one(ChatList).options[1].prompt
        assert isinstance(prompt, Content)
        marked = {prompt.plain[span.start : span.end] for span in prompt.spans if "primary" in str(span.style)}
        assert {"needle", "明月"} <= marked
        assert "-searching" in desk.screen.query_one(Sidebar).classes
        await desk.pilot.press("enter", "enter")
        await desk.until(lambda: desk.session.title == "One")
        await desk.until(lambda: desk.screen.transcript.focused_view)
        view = desk.screen.transcript.focused_view
        assert view is not None and "needle" in view.message.text
        await desk.until(lambda: desk.screen.transcript.region.contains_region(view.region), "it is in sight")
        await desk.until(lambda: marked_words(view) == ["needle", "明月"])


def marked_words(view: object) -> list[str]:
    body = view.body  # type: ignore[attr-defined]
    found = marks(body._rows, body._search)
    return [body._rows[y].content.plain[start:end] for y, spans in sorted(found.items()) for start, end in spans]


async def test_f7_goes_from_message_to_message_and_says_where_it_ends(open_desk: Opener) -> None:
    store = open_desk.store
    chat, parent = store.create_conversation(title="Long").id, None
    for number in range(40):
        text = f"the needle {number}" if number in (2, 9, 30) else "hay"
        parent = store.add_message(chat, parent, "user" if number % 2 == 0 else "assistant", text).id
    async with open_desk(size=WIDE) as desk:
        await desk.pilot.press("ctrl+f")
        desk.screen.query_one(SearchBox).value = "needle"
        await desk.until(lambda: lines(desk)[-1] == "Long")
        await desk.pilot.press("enter", "enter")

        def at(number: int) -> bool:
            view = desk.screen.transcript.focused_view
            return view is not None and view.message.text == f"the needle {number}"

        await desk.until(lambda: at(30))  # the newest first
        await desk.pilot.press("shift+f7")
        await desk.until(lambda: at(9))
        await desk.pilot.press("shift+f7")
        await desk.until(lambda: at(2))
        await desk.pilot.press("f7")
        await desk.until(lambda: at(9))
        await desk.pilot.press("f7", "f7")
        await desk.until(desk.notices)
        assert at(30)


async def test_a_word_in_another_version_of_a_reply_brings_that_version_to_show(open_desk: Opener) -> None:
    store = open_desk.store
    chat = store.create_conversation(title="Chat").id
    question = store.add_message(chat, None, "user", "q")
    for text in ("the needle", "hay"):
        store.finish(store.begin_reply(chat, question.id, "tiny"), text)
    async with open_desk(size=WIDE) as desk:
        await desk.pilot.press("ctrl+f")
        desk.screen.query_one(SearchBox).value = "needle"
        await desk.until(lambda: lines(desk) == ["Today", "Chat"])
        await desk.pilot.press("enter", "enter")
        await desk.until(lambda: [m.text for m in desk.session.messages()] == ["q", "the needle"])


async def test_escape_in_the_list_ends_the_search_and_takes_the_marks_away(open_desk: Opener) -> None:
    fill(open_desk.store, "One", "Two")
    async with open_desk(size=WIDE) as desk:
        await desk.pilot.press("ctrl+f")
        desk.screen.query_one(SearchBox).value = "月光"
        await desk.until(lambda: len(excerpts(desk)) == 2)
        await desk.pilot.press("enter", "enter")
        await desk.until(lambda: bool(desk.replies) and marked_words(desk.replies[0]) == ["月光"])
        desk.screen.query_one(ChatList).focus()
        await desk.pilot.press("escape")
        await desk.until(lambda: lines(desk) == ["Today", "Two", "One"])
        await desk.until(lambda: marked_words(desk.replies[0]) == [])
        assert desk.screen.focused is desk.screen.composer


async def test_more_than_one_page_of_results_unfolds(open_desk: Opener) -> None:
    for number in range(60):
        open_desk.store.create_conversation(title=f"needle {number}")
    async with open_desk(size=WIDE) as desk:
        await desk.pilot.press("ctrl+f")
        desk.screen.query_one(SearchBox).value = "needle"
        await desk.until(lambda: lines(desk)[-1] == "↓ More chats")
        options = desk.screen.query_one(ChatList).options
        assert sum(isinstance(option, ChatLine) for option in options) == 30
        await under_cursor(desk, "↓ More")
        await desk.pilot.press("enter")
        await desk.until(lambda: "↓ More chats" not in lines(desk))
        options = desk.screen.query_one(ChatList).options
        assert sum(isinstance(option, ChatLine) for option in options) == 60


async def test_older_chats_are_listed_when_they_are_asked_for(open_desk: Opener) -> None:
    fill(open_desk.store, *(f"Chat {number}" for number in range(8)))
    async with open_desk(size=WIDE) as desk:
        desk.session.listing._limit = 5
        desk.screen.show_chats()
        assert lines(desk)[-1] == "↓ Older chats  3"
        await under_cursor(desk, "↓ Older")
        await desk.pilot.press("enter")
        await desk.until(lambda: len(lines(desk)) == 9)
        assert not any(isinstance(option, FoldLine) for option in desk.screen.query_one(ChatList).options)


def test_a_phrase_is_marked_also_where_a_row_ends_in_it() -> None:
    rows = [
        Line(Content("▌ 床前明"), decoration=2),
        Line(Content("▌ 月光 and"), decoration=2, joint=""),
        Line(Content("moon")),
        Line(Content("light"), joint=" "),
    ]
    assert marks(rows, Search("明月光")) == {0: [(4, 5)], 1: [(2, 4)]}
    assert marks(rows, Search("moon")) == {2: [(0, 4)]}
    assert marks(rows, Search("前明")) == {0: [(3, 5)]}
    assert marks(rows, Search("")) == {}


async def test_n_on_a_message_goes_on_to_the_next_one_found(open_desk: Opener) -> None:
    store = open_desk.store
    chat = store.create_conversation(title="Chat").id
    first = store.add_message(chat, None, "user", "the needle")
    store.add_message(chat, first.id, "assistant", "another needle")
    async with open_desk(size=WIDE) as desk:
        await desk.pilot.press("ctrl+f")
        desk.screen.query_one(SearchBox).value = "needle"
        await desk.until(lambda: excerpts(desk) == ["another needle"])
        await desk.pilot.press("enter", "enter")
        await desk.until(lambda: desk.screen.transcript.focused_view)
        await desk.pilot.press("N")
        await desk.until(lambda: (view := desk.screen.transcript.focused_view) and view.message.text == "the needle")
        await desk.pilot.press("n")
        await desk.until(
            lambda: (view := desk.screen.transcript.focused_view) and view.message.text == "another needle"
        )


async def test_slash_commands_find_move_and_rename(open_desk: Opener) -> None:
    fill(open_desk.store, "One", "Two")
    async with open_desk(size=WIDE) as desk:
        await desk.pilot.press("alt+down")
        await desk.until(lambda: desk.session.title == "Two")
        for command, expected in (
            ("/folder Work", ["▾ Work", "Two", "Today", "One"]),
            ("/rename Three", ["▾ Work", "Three", "Today", "One"]),
            ("/pin", ["Pinned", "Three", "Today", "One"]),
            ("/archive", ["Today", "One", "▸ Archive  1"]),
            ("/find One", ["Today", "One"]),
        ):
            desk.screen.composer.focus()
            await desk.write(command)
            await desk.pilot.press("enter")
            await desk.until(lambda expected=expected: lines(desk) == expected, command)


async def test_enter_right_after_the_last_letter_opens_what_was_searched_for(open_desk: Opener) -> None:
    fill(open_desk.store, "needle", "One", "Two")
    async with open_desk(size=WIDE) as desk:
        await desk.pilot.press("ctrl+f", "n", "e", "e", "d", "enter", "enter")
        await desk.until(lambda: desk.session.title == "needle")


async def test_a_history_that_is_not_searchable_yet_becomes_so_while_nobody_waits(open_desk: Opener) -> None:
    store = open_desk.store
    with store._database.writing() as connection:
        for number in range(2000):
            connection.execute(
                "INSERT INTO conversations (id, title, created_at, updated_at) VALUES (?, ?, ?, ?)",
                (f"c{number}", f"title {number}", NOW - number * 60, NOW - number * 60),
            )
    assert store.unindexed() == 2000
    async with open_desk(size=WIDE) as desk:
        await desk.until(lambda: store.unindexed() == 0)


async def test_a_search_says_that_older_chats_are_still_being_read(
    open_desk: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(open_desk.store, "One")
    async with open_desk(size=WIDE) as desk:
        await desk.until(lambda: open_desk.store.unindexed() == 0)
        monkeypatch.setattr(desk.session.listing._store, "unindexed", lambda: 7)
        await desk.pilot.press("ctrl+f", "z", "z")
        await desk.until(lambda: lines(desk) == ["Older chats are still being read …"])


async def test_a_folder_is_completed_after_its_command(open_desk: Opener) -> None:
    ids = fill(open_desk.store, "One", "Two")
    open_desk.store.set_folder(ids["One"], "Work")
    async with open_desk(size=WIDE) as desk:
        await desk.pilot.press("alt+down", "alt+down")
        await desk.until(lambda: desk.session.title == "Two")
        desk.screen.composer.focus()
        await desk.pilot.press(*"/folder", "space", "w", "tab", "enter")
        await desk.until(lambda: lines(desk) == ["▾ Work", "Two", "One"])


async def test_words_are_marked_also_in_messages_that_are_laid_out_later(open_desk: Opener) -> None:
    store = open_desk.store
    chat, parent = store.create_conversation(title="Long").id, None
    for number in range(80):
        text = "the needle" if number in (1, 79) else "hay"
        parent = store.add_message(chat, parent, "user" if number % 2 == 0 else "assistant", text).id
    async with open_desk(size=WIDE) as desk:
        await desk.pilot.press("ctrl+f")
        desk.screen.query_one(SearchBox).value = "needle"
        await desk.until(lambda: excerpts(desk))
        await desk.pilot.press("enter", "enter")
        await desk.until(lambda: desk.screen.transcript.focused_view)
        transcript = desk.screen.transcript
        while transcript._above:
            before = len(transcript._above)
            transcript._show_earlier()
            await desk.until(lambda before=before: len(transcript._above) < before and not transcript._filling)
        await desk.until(lambda: marked_words(transcript.views[1]) == ["needle"])


async def test_the_bottom_line_names_the_keys_of_the_list_while_it_has_the_focus(open_desk: Opener) -> None:
    fill(open_desk.store, "One")
    async with open_desk(size=WIDE) as desk:
        desk.screen.query_one(ChatList).focus()
        await desk.until(lambda: "p Pin" in str(desk.screen.key_bar.render()))
        desk.screen.composer.focus()
        await desk.until(lambda: "p Pin" not in str(desk.screen.key_bar.render()))


async def test_a_page_of_a_list_that_is_not_laid_out_is_not_turned(open_desk: Opener) -> None:
    fill(open_desk.store, *[f"Chat {number}" for number in range(40)])
    async with open_desk(size=WIDE) as desk:
        chat_list = desk.screen.query_one(ChatList)
        chat_list.focus()
        desk.screen.add_class("-folded")
        await desk.pilot.pause()
        chat_list.set_options(list(chat_list.options))
        chat_list.highlighted = 10
        chat_list.action_page_up()
        assert chat_list.highlighted == 10
