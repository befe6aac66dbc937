"""What characters count as, where code is, and what a reply may repeat of another language."""

from __future__ import annotations

import pytest

from localchat.text.code_spans import CodeSpans
from localchat.text.quotable import is_chinese, quotable
from localchat.text.scripts import Script, script, scripts_after


@pytest.mark.parametrize(
    ("characters", "kind"),
    [
        ("09 .,!?-—“”…\n\t€°²√≤→☺😀αβΩ\u0301\ufe0f\u200d", Script.NEUTRAL),
        ("azAZéüßñǐàĀẞ", Script.LATIN),
        ("中文繁體字〇々㐀𠀀豈", Script.HAN),
        ("，。！？：；（）「」、《》　￥㎡㈠", Script.EAST),
        ("あアー한Жяעשกहქአ", Script.OTHER),
    ],
)
def test_every_character_counts_as_one_script(characters: str, kind: Script) -> None:
    assert {character: script(character) for character in characters} == dict.fromkeys(characters, kind)


def test_the_beginning_of_a_character_says_what_it_may_become() -> None:
    assert scripts_after("中".encode()[:1]) == {Script.HAN, Script.EAST}
    assert scripts_after("한".encode()[:2]) == {Script.OTHER}
    assert Script.NEUTRAL in scripts_after("😀".encode()[:1])
    assert scripts_after(b"a") == scripts_after("é".encode()) == frozenset()


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("Write ", False),
        ("Write `", True),
        ("Write `ls -la", True),
        ("Write `ls -la`", False),
        ("Write `ls\nand", False),
        ("``a ` b", True),
        ("``a ` b``", False),
        ("```", True),
        ("```python\nprint('`')", True),
        ("```python\nx = 1\n```", False),
        ("```python\nx = 1\n```\nand", False),
        ("1. List:\n   ```\n", True),
        ("~~~\ncode ``` more", True),
        ("~~~\ncode\n```\n", True),
        ("~~~\ncode\n~~~\n", False),
        ("````\n```\nstill", True),
        ("~about~ five", False),
    ],
)
def test_code_is_found_while_it_is_written(text: str, inside: bool) -> None:
    spans = CodeSpans()
    for character in text:
        spans.push(character)
    assert spans.inside is inside


def test_a_reply_may_repeat_the_foreign_words_of_a_text_in_its_own_language() -> None:
    assert quotable("zh", ["解释 overfitting 和 the React hook，Москва 呢？"]) == [
        "Москва",
        "hook",
        "react",
        "overfitting",
    ]
    assert quotable("en", ["Who wrote the novel 红楼梦 and what is 缘分?"]) == ["缘分", "红楼梦"]


def test_of_a_text_in_another_language_only_what_is_marked_may_be_repeated() -> None:
    assert quotable("zh", ["What does the idiom “break the ice” mean for a sailor?"]) == ["ice", "break"]
    assert quotable("en", ["请问“画蛇添足”和《红楼梦》是什么意思？"]) == ["红楼梦", "画蛇添足"]
    assert quotable("en", ["请介绍一下长城。"]) == []


def test_what_may_be_repeated_is_little_and_the_latest() -> None:
    words = [f"词{number}" for number in range(100)] + ["x" * 10 + f"y{chr(97 + number % 26)}" for number in range(300)]
    found = quotable("zh", ["中" * 500 + " ".join(words)])
    assert sum(map(len, found)) <= 800
    assert quotable("zh", ["旧词 oldword", "新词 newword"]) == ["newword", "oldword"]


def test_the_language_of_a_text_is_that_of_most_of_its_words() -> None:
    assert is_chinese("React 和 Vue 有什么不同？")
    assert not is_chinese("Who wrote the novel 红楼梦?")
