"""A text as an editor shows it: whatever is not edited keeps every character, however odd."""

from __future__ import annotations

import random

import pytest

from localchat.ui.document_context import LEFT_OUT, part_in_view, with_document
from localchat.ui.document_lines import DocumentLines
from localchat.writing.pieces import about_tokens

ODD = ["a", "b", "中", "文", "\x1b", "\x07", "\n", "\r\n", "\r", "\u2028", "\v", "\x85", " ", "\t", "\u202e"]


def odd_text(chance: random.Random) -> str:
    return "".join(chance.choices(ODD, k=chance.randint(0, 40)))


@pytest.mark.parametrize("seed", range(200))
def test_a_text_that_is_only_looked_at_is_every_character_of_it(seed: int) -> None:
    text = odd_text(random.Random(seed))
    lines = DocumentLines(text)
    assert lines.text == text
    assert not set(lines.shown) & set("\x1b\x07\r\u2028\v\x85\u202e")
    lines.edit(lines.shown)
    assert lines.text == text


@pytest.mark.parametrize("seed", range(200))
def test_an_edit_is_shown_as_it_was_typed_and_can_be_taken_back(seed: int) -> None:
    chance = random.Random(seed)
    lines = DocumentLines(odd_text(chance))
    shown = lines.shown
    start = chance.randint(0, len(shown))
    end = chance.randint(start, len(shown))
    typed = shown[:start] + "".join(chance.choices(["x", "\n", "字"], k=chance.randint(0, 4))) + shown[end:]
    lines.edit(typed)
    assert lines.shown == typed
    assert DocumentLines(lines.text).shown == typed


def test_lines_that_are_not_edited_keep_their_controls_and_ends() -> None:
    lines = DocumentLines("one\r\ntw\x1bo\nthree\rfour")
    lines.edit("one!\ntwo\nthree\nfour\nfive")
    assert lines.text == "one!\r\ntw\x1bo\nthree\rfour\r\nfive"


@pytest.mark.parametrize(
    ("now", "text"),
    [
        ("Xabcd", "\x1bXab\x07cd\x08"),
        ("abXcd", "\x1bab\x07Xcd\x08"),
        ("abcdX", "\x1bab\x07cd\x08X"),
        ("ad", "\x1bad\x08"),
        ("", "\x1b\x08"),
    ],
)
def test_what_is_not_shown_stays_where_its_line_is_not_edited(now: str, text: str) -> None:
    lines = DocumentLines("\x1bab\x07cd\x08\r\nnext")
    lines.edit(f"{now}\nnext")
    assert lines.shown == f"{now}\nnext"
    assert lines.text == f"{text}\r\nnext"


def test_two_edits_far_apart_leave_everything_between_them() -> None:
    lines = DocumentLines("a\r\n" + "mid\x07dle\n" * 50 + "z\r\n")
    lines.edit(lines.shown.replace("a", "A", 1).replace("z", "Z"))
    assert lines.text == "A\r\n" + "mid\x07dle\n" * 50 + "Z\r\n"


def test_the_model_is_told_all_of_a_text_that_fits() -> None:
    told = with_document("Be kind.", "信.txt", "亲爱的妈妈：", 0, 4096)
    assert told.startswith("Be kind.\n\n用户正在写")
    assert told.endswith('<file name="信.txt">\n亲爱的妈妈：\n</file>')
    assert with_document("Be kind.", "x", " \n", 0, 4096) == "Be kind."


@pytest.mark.parametrize("place", [0, 7_000, 10**9])
def test_of_a_long_text_the_model_is_told_what_stands_around_the_cursor(place: int) -> None:
    text = "\n".join(f"Line {number} of a text that goes on and on." for number in range(500))
    part = part_in_view(text, min(place, len(text)), 1000)
    here = text.splitlines()[min(text.count("\n", 0, place), 499)]
    assert here in part
    assert 300 < about_tokens(part) <= 520
    assert part.startswith(LEFT_OUT) == (place > 0)
    assert part.endswith(LEFT_OUT) == (place < len(text))
