"""The token view: how sure the model was of every token, what else it might have said, and a branch from there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from textual.color import Color
from textual.theme import Theme

from localchat.errors import InvalidSetting
from localchat.recording import Recording, Replayed, TokenChosen, TokenExplained, TokenProbability
from localchat.ui.screens.replay import ReplayScreen
from localchat.ui.screens.token_view import TokenViewScreen
from localchat.ui.themes import THEMES
from localchat.ui.token_colors import LEGIBLE, STEPS, Ramp, contrast, doubt, step_of
from localchat.ui.token_text import TokenText
from localchat.ui.token_view import TokenView, percent, readable
from localchat.ui.widgets.token_page import TokenPage
from localchat.ui.widgets.token_plots import columns, plotted, without_peaks
from tests.ui.conftest import LARGER, TINY, Desk, FakeShelf, Opener
from tests.ui.fake_engine import FakeEngine, Script

PROMPT = [1, 2, 3]
OTHER = replace(LARGER, name="second", title="Second 1B", path=Path("/nowhere/second"))


def token(
    text: str,
    probability: float = 0.9,
    *others: str,
    before: int = 0,
    entropy: float = 1.0,
    thinking: bool = False,
    origin: Literal["written", "given", "end"] = "written",
    completes: str | None = None,
) -> TokenExplained:
    """A token of the vocabulary in which every character is a token; `others` are half as likely, each."""
    chosen = probable(text, probability)
    alternatives = [chosen, *(probable(each, probability / 2**n) for n, each in enumerate(others, 1))]
    whole = text if completes is None else completes
    return TokenExplained(TokenChosen(chosen, entropy, tuple(alternatives)), whole, thinking, origin, 0, before)


def probable(text: str, probability: float) -> TokenProbability:
    return TokenProbability(ord(text[0]), text, probability, probability * 0.8)


def reply_of(tokens: Sequence[TokenExplained]) -> Recording:
    ids = [each.token.chosen.token for each in tokens]
    return Recording(PROMPT, ids, False, {"temperature": 0.7, "seed": 4}, {}, times=[50] * len(ids))


def tokens_of(text: str, probability: float = 0.9) -> list[TokenExplained]:
    return [token(each, probability, "x", "y", before=len(PROMPT) + n) for n, each in enumerate(text)]


def recorded_chat(desk_or_opener: Opener, tokens: Sequence[TokenExplained], model: str = "tiny") -> tuple[str, str]:
    """A chat with one reply that was recorded; the ids of both."""
    store = desk_or_opener.store
    chat = store.create_conversation().id
    question = store.add_message(chat, None, "user", "Say something")
    reply = store.begin_reply(chat, question.id, model)
    text = "".join(each.text for each in tokens)
    store.finish(reply, text, stats={"left_out": 2}, recording=reply_of(tokens))
    return chat, reply


async def look_inside(desk: Desk, chat: str) -> TokenViewScreen:
    """Open the chat, and its reply token by token."""
    await desk.until(lambda: desk.session.engine_state.phase == "ready")
    desk.session.open_chat(chat)
    await desk.screen.show_chat()
    desk.replies[-1].focus()
    await desk.pilot.press("i")
    await desk.until(lambda: isinstance(desk.app.screen, TokenViewScreen), "the view opened")
    screen = desk.app.screen
    assert isinstance(screen, TokenViewScreen)
    await desk.until(lambda: screen._progress is None, "everything was told")
    await desk.pilot.pause()
    return screen


# ---- tokens as text


def spans_of(*pieces: str) -> list[str]:
    text = TokenText([token(each or "x", completes=each) for each in pieces])
    return [text.text[start:end] for start, end in text.spans]


def test_a_token_that_is_part_of_a_character_stands_on_the_one_that_it_completes() -> None:
    assert spans_of("a", "", "", "鲸", "b") == ["a", "鲸", "鲸", "鲸", "b"]


def test_what_a_reader_takes_for_one_character_is_not_cut() -> None:
    assert spans_of("x", "🇩", "🇪", "!") == ["x", "🇩🇪", "🇩🇪", "!"]
    assert spans_of("e", "\u0301", "!") == ["e\u0301", "e\u0301", "!"]


def test_a_character_that_never_became_whole_is_shown_as_that() -> None:
    assert spans_of("a", "", "") == ["a", "\ufffd", "\ufffd"]


def test_line_breaks_and_the_end_have_signs_of_their_own_and_controls_have_none() -> None:
    text = TokenText([token("a\n\n"), token("b\x1b[2J"), token("x", origin="end")])
    assert text.text == "a↵\n↵\nb[2J■"


def test_every_place_of_a_page_leads_back_to_its_token() -> None:
    words = [" word"[: 1 + n % 5] for n in range(400)] + ["\n", " 鲸鱼", "。"]
    text = TokenText([token(each, completes=each) for each in words])
    for width in (7, 40, 100):
        rows = text.rows(width)
        shown = "".join(text.text[row.start : row.end] for row in rows)
        assert shown == text.text.replace("\n", "")
        for row in rows:
            for offset in range(row.start, row.end):
                start, end = text.spans[text.at(offset)]
                assert start <= offset < end


def test_a_character_of_several_tokens_is_as_doubtful_as_all_of_them_together() -> None:
    parts = [token("a", 0.5, completes=""), token("b", 0.5, completes="鲸"), token("c", 0.25)]
    view = TokenView(reply_of(parts))
    view.add(parts)
    assert view.doubt(0) == view.doubt(1) == view.doubt(2) == doubt(0.25)


# ---- colours

COLORS = ("background", "foreground", "warning", "error")


def colors_of(theme: Theme) -> dict[str, str]:
    return {name: getattr(theme, name) for name in COLORS}


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_text_stays_legible_on_every_step_and_each_is_told_from_the_next(theme: Theme) -> None:
    ramp = Ramp.of(colors_of(theme))
    assert len(ramp.styles) == STEPS + 1 and ramp.styles[0].background is None
    colors = [style.background for style in ramp.styles[1:]]
    for style in ramp.styles[1:]:
        assert style.background is not None and style.foreground is not None
        assert contrast(style.foreground, style.background) >= LEGIBLE
    page = Color.parse(colors_of(theme)["background"])
    away = [contrast(color, page) for color in colors if color is not None]
    assert away == sorted(away) and min(b - a for a, b in pairwise(away)) > 0.03


def test_the_ramp_goes_by_bits_of_surprise_and_marks_the_unsure_without_colour() -> None:
    assert [step_of(doubt(p)) for p in (1.0, 0.97, 0.5, 0.25, 2**-6, 1e-9, 0.0)] == [0, 0, 1, 3, 8, 8, 8]
    ramp = Ramp.of(colors_of(THEMES[0]))
    assert not ramp.styles[1].underline and ramp.styles[3].underline and ramp.styles[8].bold


def test_a_theme_of_the_terminal_has_no_colours_to_mix_but_marks_all_the_same() -> None:
    ramp = Ramp.of({name: "ansi_default" for name in COLORS})
    assert all(style.background is None for style in ramp.styles) and ramp.styles[STEPS].underline


# ---- figures


def test_probabilities_are_written_as_people_read_them() -> None:
    assert [percent(p) for p in (1.0, 0.814, 0.0612, 0.0004, 0.0)] == ["100%", "81%", "6.1%", "<0.1%", "–"]
    assert [readable(text) for text in (" a", "\n", "\\xe9", "b  ", "\t")] == ["␣a", "↵", "\\xe9", "b␣␣", "⇥"]


def test_a_plot_fills_its_height_with_the_largest_value_and_covers_every_token_once() -> None:
    assert plotted([0, 1, 2, 4], 1) == [" ▂▄█"]
    assert plotted([0, 1, 2, 4], 2) == ["   █", " ▄██"]
    for count, width in ((3, 10), (10, 10), (1000, 60)):
        found = columns(count, width)
        assert [each for column in found for each in column] == list(range(count)) and len(found) <= width
    assert without_peaks([10, 11, 1000]) == [10, 11, 11 * 1.6]


# ---- the view in the app


async def test_arrows_move_token_by_token_and_the_panel_tells_of_each(open_desk: Opener) -> None:
    engine = FakeEngine()
    tokens = [
        token("H", 0.95, "Y", before=3),
        token(" there", 0.2, " you", before=4, entropy=3.25),
        token(".", 0.9, before=5),
    ]
    engine.explanation = tokens
    chat, _reply = recorded_chat(open_desk, tokens)
    async with open_desk(engine) as desk:
        await look_inside(desk, chat)
        assert "1 of 3" in desk.shown_text() and "95% drawn · 76% plain" in desk.shown_text()
        await desk.pilot.press("right")
        shown = desk.shown_text()
        assert "“␣there”" in shown and "2 of 3" in shown and "entropy 3.2 bits" in shown and "5 ms" in shown
        assert "␣you" in shown and "10%" in shown
        await desk.pilot.press("end")
        assert "3 of 3" in desk.shown_text()
        await desk.pilot.press("right", "home", "left")
        assert "1 of 3" in desk.shown_text()
        await desk.pilot.press("n")
        assert "2 of 3" in desk.shown_text()
        await desk.pilot.press("n")
        assert "2 of 3" in desk.shown_text() and any("unsure" in notice for notice in desk.notices())
        await desk.pilot.press("escape")
        assert desk.app.screen is desk.screen


async def test_enter_on_a_choice_begins_a_branch_with_exactly_the_tokens_before_it(open_desk: Opener) -> None:
    engine = FakeEngine(Script(["llo."]))
    engine.explanation = tokens = tokens_of("abcd")
    engine.recording = Recording([*PROMPT, ord("a"), ord("b"), ord("y")], [ord("l")], True, {}, {}, begun=3)
    chat, reply = recorded_chat(open_desk, tokens)
    async with open_desk(engine) as desk:
        await look_inside(desk, chat)
        await desk.pilot.press("right", "right", "down", "down", "enter")
        await desk.until(lambda: desk.session.messages()[-1].text == "abyllo." and desk.idle, "the branch was written")
        options = engine.options[-1]
        assert list(options.line) == [*PROMPT, ord("a"), ord("b"), ord("y")] and options.begun == 3
        assert (options.prefill, options.thinking) == ("", "")
        branch = desk.session.messages()[-1]
        assert (branch.version, branch.versions) == (2, 2)
        assert branch.figures is not None and branch.figures.left_out == 2
        kept = desk.store.recording(branch.id)
        assert kept is not None and kept.earlier is not None and kept.tokens == 3
        assert list(kept.earlier.reply) == [ord("a"), ord("b")] and list(kept.given) == [ord("y")]
        first = desk.store.recording(reply)
        assert first is not None and len(first.reply) == 4


async def test_going_on_from_the_first_token_keeps_nothing_of_the_reply(open_desk: Opener) -> None:
    engine = FakeEngine(Script(["llo."]))
    engine.explanation = tokens = tokens_of("ab")
    engine.recording = Recording([*PROMPT, ord("x")], [ord("l")], True, {}, {}, begun=1)
    chat, _reply = recorded_chat(open_desk, tokens)
    async with open_desk(engine) as desk:
        await look_inside(desk, chat)
        await desk.pilot.press("down", "enter")
        await desk.until(lambda: desk.session.messages()[-1].text == "xllo." and desk.idle)
        kept = desk.store.recording(desk.session.messages()[-1].id)
        assert kept is not None and kept.earlier is None and list(kept.given) == [ord("x")]


async def test_leaving_ends_the_reading_and_the_next_question_is_answered(open_desk: Opener) -> None:
    engine = FakeEngine()
    engine.explanation = tokens = tokens_of("abc")
    chat, _reply = recorded_chat(open_desk, tokens)
    engine.may_look.clear()
    async with open_desk(engine) as desk:
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        desk.session.open_chat(chat)
        await desk.screen.show_chat()
        desk.replies[-1].focus()
        await desk.pilot.press("i")
        await desk.until(lambda: "1 of 3" in desk.shown_text(), "what is known is shown at once")
        await desk.pilot.press("escape")
        desk.screen.composer.focus()
        await desk.ask("Next")
        assert desk.session.messages()[-1].text == "Hello there."


async def test_a_reply_without_a_recording_is_one_sentence(open_desk: Opener) -> None:
    async with open_desk() as desk:
        await desk.ask("Hi")
        for key, slash in (("i", ""), ("", "/tokens"), ("", "/replay")):
            desk.app.clear_notifications()
            if key:
                desk.replies[-1].focus()
                await desk.pilot.press(key)
            else:
                desk.screen.composer.focus()
                await desk.write(slash)
                await desk.pilot.press("enter")
            await desk.until(lambda: any("was not kept" in notice for notice in desk.notices()))
            assert desk.app.screen is desk.screen


async def test_what_the_engine_refuses_is_said_and_the_view_closes(open_desk: Opener) -> None:
    engine = FakeEngine()
    chat, _reply = recorded_chat(open_desk, tokens_of("abc"))
    engine.explanation = InvalidSetting("It has other weights now.")
    async with open_desk(engine) as desk:
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        desk.session.open_chat(chat)
        await desk.screen.show_chat()
        desk.replies[-1].focus()
        await desk.pilot.press("i")
        await desk.until(lambda: "It has other weights now." in desk.notices())
        await desk.until(lambda: desk.app.screen is desk.screen)


async def test_another_model_is_brought_for_its_own_reply_and_the_chosen_one_comes_back(open_desk: Opener) -> None:
    engine = FakeEngine()
    engine.explanation = tokens = tokens_of("abc")
    chat, _reply = recorded_chat(open_desk, tokens, "second")
    async with open_desk(engine, shelf=FakeShelf(TINY, OTHER)) as desk:
        await look_inside(desk, chat)
        await desk.until(lambda: engine.loads == ["/nowhere/tiny", "/nowhere/second", "/nowhere/tiny"])


async def test_a_model_that_is_gone_is_named(open_desk: Opener) -> None:
    chat, _reply = recorded_chat(open_desk, tokens_of("abc"), "vanished")
    async with open_desk() as desk:
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        desk.session.open_chat(chat)
        await desk.screen.show_chat()
        desk.replies[-1].focus()
        await desk.pilot.press("i")
        await desk.until(lambda: any("vanished, which wrote this reply" in notice for notice in desk.notices()))


async def test_the_colours_can_mean_something_else(open_desk: Opener) -> None:
    engine = FakeEngine()
    engine.explanation = tokens = tokens_of("abc")
    chat, _reply = recorded_chat(open_desk, tokens)
    async with open_desk(engine) as desk:
        await look_inside(desk, chat)
        for words in ("probability before filters", "Colour: entropy", "probability as drawn"):
            await desk.pilot.press("c")
            assert words in desk.shown_text()


async def test_the_tokens_can_be_taken_along(
    open_desk: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = FakeEngine()
    engine.explanation = tokens = tokens_of("abc")
    chat, _reply = recorded_chat(open_desk, tokens)
    async with open_desk(engine) as desk:
        await look_inside(desk, chat)
        await desk.pilot.press("e")
        await desk.until(lambda: any("Written to" in notice for notice in desk.notices()))
    (path,) = tmp_path.glob("*.json")
    facts = json.loads(path.read_text("utf-8"))
    assert [each["text"] for each in facts["tokens"]] == ["a", "b", "c"]
    assert facts["tokens"][1]["seconds"] == 0.005 and facts["sampling"]["seed"] == 4


async def test_only_the_rows_in_sight_of_a_long_reply_are_drawn(
    open_desk: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine()
    engine.explanation = tokens = [token(" word", 0.4, before=3 + n) for n in range(3000)]
    chat, _reply = recorded_chat(open_desk, tokens)
    async with open_desk(engine) as desk:
        screen = await look_inside(desk, chat)
        page = screen.query_one(TokenPage)
        drawn: list[int] = []
        plain = TokenPage.render_line
        monkeypatch.setattr(TokenPage, "render_line", lambda self, y: drawn.append(y) or plain(self, y))
        await desk.pilot.press("right")
        assert 0 < len(drawn) <= 2 * page.size.height
        await desk.pilot.press("end")
        assert "3000 of 3000" in desk.shown_text() and page.scroll_y > 150
        await desk.pilot.press("pageup")
        assert "3000 of 3000" not in desk.shown_text()


@pytest.mark.parametrize("size", [(80, 24), (110, 30), (200, 60)])
async def test_text_panel_plots_and_keys_are_all_in_sight(open_desk: Opener, size: tuple[int, int]) -> None:
    engine = FakeEngine()
    engine.explanation = tokens = tokens_of("鲸鱼生活在海里")
    chat, _reply = recorded_chat(open_desk, tokens)
    async with open_desk(engine, size=size) as desk:
        await look_inside(desk, chat)
        shown = desk.shown_text()
        for words in ("生活在海里", "1 of 7", "entropy", "speed", "200 tok/s", "esc Back", "Colour"):
            assert words in shown, words


async def test_a_replay_says_that_the_reply_is_identical_or_where_it_differs(open_desk: Opener) -> None:
    engine = FakeEngine()
    chat, _reply = recorded_chat(open_desk, tokens_of("abc"))
    engine.replayed = Replayed(3, False, {})
    async with open_desk(engine) as desk:
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        desk.session.open_chat(chat)
        await desk.screen.show_chat()
        await desk.write("/replay")
        await desk.pilot.press("enter")
        await desk.until(lambda: "identical: 3 tokens" in desk.shown_text())
        await desk.pilot.press("escape")
        engine.replayed = Replayed(
            1, True, {}, "a", "bc", "x", TokenProbability(98, "b", 0.1, 0.1), TokenProbability(120, "x", 0.9, 0.8)
        )
        await desk.write("/replay")
        await desk.pilot.press("enter")
        await desk.until(lambda: "differs at token 2 of 3" in desk.shown_text())
        assert "now:  x" in desk.shown_text()


async def test_closing_a_replay_gives_the_engine_back(open_desk: Opener) -> None:
    engine = FakeEngine()
    chat, _reply = recorded_chat(open_desk, tokens_of("abc"))
    engine.may_look.clear()
    async with open_desk(engine) as desk:
        await desk.until(lambda: desk.session.engine_state.phase == "ready")
        desk.session.open_chat(chat)
        await desk.screen.show_chat()
        await desk.write("/replay")
        await desk.pilot.press("enter")
        await desk.until(lambda: isinstance(desk.app.screen, ReplayScreen) and "50%" in desk.shown_text())
        await desk.pilot.press("escape")
        await desk.until(lambda: desk.app.screen is desk.screen)
        await asyncio.sleep(0)
        await desk.ask("Next")
        assert desk.session.messages()[-1].text == "Hello there."
