"""The list of chats, versions of replies, and copying."""

from __future__ import annotations

from localchat.history.store import HistoryStore
from localchat.ui.screens.rename import RenameScreen
from localchat.ui.widgets.chat_list import ChatLine, ChatList
from localchat.ui.widgets.sidebar import SearchBox
from tests.ui.conftest import NOW, Desk, Opener
from tests.ui.fake_engine import FakeEngine, Script


def listed(desk: Desk) -> list[str]:
    """The lines of the list that are chats, without the mark of the open one."""
    chat_list = desk.screen.query_one(ChatList)
    return [str(option.prompt).splitlines()[0][2:] for option in chat_list.options if isinstance(option, ChatLine)]


def headings(desk: Desk) -> list[str]:
    return [str(o.prompt).strip() for o in desk.screen.query_one(ChatList).options if o.id is None]


async def test_chats_stand_under_their_days_the_latest_first(open_desk: Opener) -> None:
    store = open_desk.store
    for title, age in (("Old", 40), ("Wednesday's", 3), ("Of yesterday", 1), ("Of today", 0)):
        store._now = lambda age=age: NOW - age * 86400  # type: ignore[misc]
        store.add_message(store.create_conversation().id, None, "user", title)
    async with open_desk(size=(120, 40)) as desk:
        assert listed(desk) == ["Of today", "Of yesterday", "Wednesday's", "Old"]
        assert headings(desk) == ["Today", "Yesterday", "Wednesday", "October"]


async def test_arrows_and_enter_open_a_chat_from_the_list_also_where_it_lies_over_the_page(open_desk: Opener) -> None:
    async with open_desk(size=(80, 24)) as desk:
        await desk.ask("One")
        await desk.pilot.press("ctrl+n")
        await desk.ask("Two")
        assert not desk.screen.query_one("#sidebar").display
        await desk.pilot.press("ctrl+b")
        await desk.until(lambda: desk.screen.query_one("#sidebar").display)
        await desk.pilot.press("down", "enter")
        await desk.until(lambda: desk.session.title == "One")
        assert not desk.screen.query_one("#sidebar").display
        assert desk.screen.focused is desk.screen.composer
        assert [m.text for m in desk.screen.transcript.shown] == ["One", "Hello there."]


async def test_the_list_folds_away_on_a_wide_screen(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40)) as desk:
        sidebar = desk.screen.query_one("#sidebar")
        assert sidebar.display
        await desk.pilot.press("ctrl+b")
        assert not sidebar.display
        await desk.pilot.press("ctrl+b")
        assert sidebar.display


async def test_alt_up_and_alt_down_walk_through_the_chats(open_desk: Opener) -> None:
    async with open_desk() as desk:
        for question in ("One", "Two", "Three"):
            await desk.pilot.press("ctrl+n")
            await desk.ask(question)
        await desk.pilot.press("alt+down", "alt+down")
        await desk.until(lambda: desk.session.title == "One")
        await desk.pilot.press("alt+up")
        await desk.until(lambda: desk.session.title == "Two")


async def test_search_finds_words_in_messages_and_chinese_ones(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["床前明月光"]), Script(["Bread"])), size=(120, 40)) as desk:
        await desk.ask("A poem")
        await desk.pilot.press("ctrl+n")
        await desk.ask("A recipe")
        await desk.pilot.press("ctrl+f")
        desk.screen.query_one(SearchBox).value = "明月"
        await desk.until(lambda: listed(desk) == ["A poem"])
        await desk.pilot.press("enter", "enter")
        await desk.until(lambda: desk.session.title == "A poem")


async def test_a_search_without_result_says_so_and_escape_ends_it(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40)) as desk:
        await desk.ask("Hi")
        await desk.pilot.press("ctrl+f", "z", "z")
        await desk.until(lambda: headings(desk) == ["Nothing found"])
        await desk.pilot.press("escape")
        await desk.until(lambda: listed(desk) == ["Hi"])
        assert desk.screen.focused is desk.screen.composer


async def test_f2_renames_and_markup_in_a_title_stays_text(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40)) as desk:
        await desk.ask("Hi")
        await desk.pilot.press("f2")
        await desk.until(lambda: isinstance(desk.app.screen, RenameScreen))
        desk.app.screen.query_one("Input").value = "[red]Mine[/red]"  # type: ignore[attr-defined]
        await desk.pilot.press("enter")
        await desk.until(lambda: listed(desk) == ["[red]Mine[/red]"])
        assert desk.store.conversations()[0].renamed
        assert "[red]Mine[/red]" in str(desk.screen.title_bar.render())


async def test_a_deleted_chat_is_gone_until_ctrl_z_brings_it_back(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40)) as desk:
        await desk.ask("Keep")
        await desk.pilot.press("ctrl+n")
        await desk.ask("Away")
        await desk.pilot.press("f8")
        await desk.until(lambda: listed(desk) == ["Keep"])
        assert desk.session.title == "Keep"
        assert any("Away" in notice for notice in desk.notices())
        await desk.pilot.press("ctrl+z")
        await desk.until(lambda: listed(desk) == ["Away", "Keep"])
        assert desk.session.title == "Away"
        assert [m.text for m in desk.screen.transcript.shown] == ["Away", "Hello there."]


async def test_deleting_in_the_list_takes_the_chat_under_the_cursor(open_desk: Opener) -> None:
    async with open_desk(size=(80, 24)) as desk:
        await desk.ask("One")
        await desk.pilot.press("ctrl+n")
        await desk.ask("Two")
        await desk.pilot.press("ctrl+b", "down", "delete")
        await desk.until(lambda: listed(desk) == ["Two"])
        assert desk.session.title == "Two"


async def test_ctrl_r_writes_another_reply_and_both_stay_reachable(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["First."]), Script(["Second."]))) as desk:
        await desk.ask("Hi")
        await desk.pilot.press("ctrl+r")
        await desk.until(lambda: desk.idle and desk.session.messages()[-1].text == "Second.")
        assert "2/2" in str(desk.replies[-1]._foot.content)
        await desk.pilot.press("alt+left")
        await desk.until(lambda: desk.session.messages()[-1].text == "First.")
        assert "1/2" in str(desk.replies[-1]._foot.content)
        await desk.pilot.press("alt+right")
        await desk.until(lambda: desk.session.messages()[-1].text == "Second.")


async def test_a_version_in_the_middle_brings_the_conversation_that_followed_it(open_desk: Opener) -> None:
    engine = FakeEngine(Script(["A1"]), Script(["B1"]), Script(["A2"]))
    async with open_desk(engine) as desk:
        await desk.ask("A")
        await desk.ask("B")
        await desk.pilot.press("shift+tab")
        await desk.until(lambda: desk.screen.transcript.focused_view is desk.replies[-1])
        await desk.pilot.press("up", "up")
        await desk.until(lambda: desk.screen.transcript.focused_view is desk.replies[0])
        await desk.pilot.press("ctrl+r")
        await desk.until(lambda: desk.idle and [m.text for m in desk.session.messages()] == ["A", "A2"])
        await desk.pilot.press("alt+left")
        await desk.until(lambda: [m.text for m in desk.session.messages()] == ["A", "A1", "B", "B1"])


async def test_brackets_move_between_versions_of_the_message_in_focus(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["First."]), Script(["Second."]))) as desk:
        await desk.ask("Hi")
        await desk.pilot.press("ctrl+r")
        await desk.until(lambda: desk.idle and desk.session.messages()[-1].text == "Second.")
        await desk.pilot.press("shift+tab", "left_square_bracket")
        await desk.until(lambda: desk.session.messages()[-1].text == "First.")
        await desk.pilot.press("right_square_bracket")
        await desk.until(lambda: desk.session.messages()[-1].text == "Second.")


async def test_ctrl_y_copies_the_last_reply_and_y_the_message_in_focus(open_desk: Opener) -> None:
    async with open_desk(FakeEngine(Script(["The **reply**."]))) as desk:
        await desk.ask("The question")
        await desk.pilot.press("ctrl+y")
        await desk.until(lambda: desk.app.clipboard == "The **reply**.")
        await desk.pilot.press("shift+tab", "up", "y")
        await desk.until(lambda: desk.app.clipboard == "The question")


async def test_a_long_chat_lays_out_its_end_first_and_the_rest_when_it_is_reached(open_desk: Opener) -> None:
    store = open_desk.store
    chat, parent = store.create_conversation().id, None
    for number in range(60):
        parent = store.add_message(chat, parent, "user" if number % 2 == 0 else "assistant", f"message {number}").id
    async with open_desk() as desk:
        await desk.pilot.press("alt+down")
        transcript = desk.screen.transcript
        await desk.until(lambda: len(desk.screen.query("MessageView")) == 12)
        assert transcript.shown[-1].text == "message 59"
        assert len(transcript.shown) == 60
        await desk.pilot.press("ctrl+home")
        await desk.until(lambda: len(desk.screen.query("MessageView")) == 24)
        for _ in range(3):
            await desk.pilot.press("ctrl+home")
        await desk.until(lambda: len(desk.screen.query("MessageView")) == 60)


async def test_what_another_window_writes_appears(open_desk: Opener) -> None:
    async with open_desk(size=(120, 40)) as desk:
        await desk.ask("Here")
        other = HistoryStore(open_desk.store.path, now=lambda: NOW)  # type: ignore[arg-type]
        other.add_message(other.create_conversation().id, None, "user", "There")
        branch = other.branch(desk.session.chat_id or "")
        other.add_message(desk.session.chat_id or "", branch[-1].id, "user", "Also here")
        other.close()
        await desk.screen._look_at_other_windows()
        await desk.until(lambda: sorted(listed(desk)) == ["Here", "There"])
        assert desk.screen.transcript.shown[-1].text == "Also here"
