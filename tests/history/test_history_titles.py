"""Titles made of messages: one line, a sensible width, never empty."""

from __future__ import annotations

import random

import pytest
from rich.cells import cell_len

from localchat.history.titles import TITLE_WIDTH, UNTITLED, title_from


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hello", "Hello"),
        ("  two\t words  \n", "two words"),
        ("\n\n第一行\n第二行", "第一行"),
        ("", UNTITLED),
        (" \n\t \x00\u200b\n", UNTITLED),
        ("???", "???"),
        ("---\nReal text", "Real text"),
        ("```python\nprint(1)\n```", "print(1)"),
        ("## Heading", "Heading"),
        ("> - quoted", "quoted"),
        ("1. first", "first"),
        ("#hashtag", "#hashtag"),
        ("-5 degrees", "-5 degrees"),
        ("\x1b]0;evil\x07 \u202eabc", "]0;evil abc"),
        ("👩‍👩‍👧 family", "👩‍👩‍👧 family"),
        ("a" * 39 + "b", "a" * 39 + "b"),
        ("a" * 41, "a" * 39 + "…"),
        ("字" * 20, "字" * 20),
        ("字" * 21, "字" * 19 + "…"),
        ("Please translate the following paragraph into Chinese", "Please translate the following…"),
        ("请把下面这段话翻译成英文，语气要礼貌一些，谢谢你", "请把下面这段话翻译成英文，语气要礼貌一…"),
        ("👍🏽" * 30, "👍🏽" * 19 + "…"),
        ("🇨🇳" * 30, "🇨🇳" * 19 + "…"),
        ("e\u0301" * 50, "e\u0301" * 39 + "…"),
    ],
)
def test_the_title_of_a_message(text: str, title: str) -> None:
    assert title_from(text) == title


def test_any_text_gives_one_line_that_fits_and_says_something() -> None:
    rng = random.Random(7)
    alphabet = "ab ,.\n\t\r\x00\x1b\u200b\u200d\u202e\ufe0f\u0301字，👩🏽🇨❤#>-`1\u2028\ud800"
    for _ in range(3000):
        title = title_from("".join(rng.choices(alphabet, k=rng.randrange(120))))
        assert title.strip() == title != ""
        assert len(title.splitlines()) == 1
        assert "\x1b" not in title and "\u202e" not in title
        assert cell_len(title) <= TITLE_WIDTH + title.count("❤") + title.count("\ufe0f"), ascii(title)
        title.encode()
