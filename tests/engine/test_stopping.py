"""A reply ends before a stop string, however the text was cut into pieces."""

from __future__ import annotations

import random

import pytest

from localchat.engine.stopping import StopStrings
from localchat.errors import InvalidSetting


def _feed(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    """All that was shown, and whether a stop string was found."""
    matcher, shown = StopStrings(stops), ""
    for piece in pieces:
        text, hit = matcher.push(piece)
        shown += text
        if hit:
            return shown, True
    return shown + matcher.flush(), False


def _naive(stops: list[str], text: str) -> tuple[str, bool]:
    """Look at every beginning of the text: the first that ends with a stop string ends the reply."""
    for end in range(len(text) + 1):
        if found := [stop for stop in stops if text[:end].endswith(stop)]:
            return text[: end - max(map(len, found))], True
    return text, False


def test_without_stop_strings_everything_is_shown_at_once() -> None:
    assert StopStrings([]).push("anything") == ("anything", False)


def test_a_stop_string_that_spans_pieces_is_found_and_never_shown() -> None:
    matcher = StopStrings(["<end>"])
    assert matcher.push("text <e") == ("text ", False)
    assert matcher.push("nd") == ("", False)
    assert matcher.push("> more") == ("", True)


def test_what_only_looked_like_a_stop_string_is_shown_as_soon_as_that_is_clear() -> None:
    matcher = StopStrings(["<end>"])
    assert matcher.push("a <en") == ("a ", False)
    assert matcher.push("ough") == ("<enough", False)


def test_what_was_held_back_at_the_end_of_the_text_is_text() -> None:
    matcher = StopStrings(["\n\nUser:"])
    assert matcher.push("done\n") == ("done", False)
    assert matcher.flush() == "\n"
    assert matcher.flush() == ""


def test_after_a_hit_nothing_is_shown() -> None:
    matcher = StopStrings(["x"])
    assert matcher.push("axb") == ("a", True)
    assert matcher.push("c") == ("", True)
    assert matcher.flush() == ""


def test_the_string_that_is_complete_first_wins() -> None:
    assert _feed(["abcd", "bc"], ["xabcd"]) == ("xa", True)


def test_of_two_complete_at_once_the_longer_wins() -> None:
    assert _feed(["c", "abc"], ["xabc"]) == ("x", True)


def test_strings_that_overlap_themselves_are_found() -> None:
    assert _feed(["aab"], ["a", "a", "a", "b"]) == ("a", True)
    assert _feed(["ababac"], ["abab", "abac"]) == ("ab", True)


def test_chinese_and_emoji_are_characters_like_others() -> None:
    assert _feed(["用户：", "🛑"], ["好的。用", "户名是", "🛑"]) == ("好的。用户名是", True)


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(InvalidSetting):
        StopStrings(["ok", ""])


def test_random_texts_end_where_a_naive_search_says_however_they_are_cut() -> None:
    generator = random.Random(0)
    hits = 0
    for _ in range(3000):
        stops = ["".join(generator.choices("abc", k=generator.randint(1, 5))) for _ in range(generator.randint(1, 3))]
        text = "".join(generator.choices("abcd", k=generator.randint(0, 25)))
        cuts = sorted(generator.choices(range(len(text) + 1), k=generator.randint(0, 6)))
        pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        expected = _naive(stops, text)
        hits += expected[1]
        assert _feed(stops, pieces) == expected, (stops, pieces)
    assert 1000 < hits < 2900  # both outcomes were tried


def test_no_more_is_held_back_than_may_still_become_a_stop_string() -> None:
    generator = random.Random(1)
    for _ in range(1000):
        stops = ["".join(generator.choices("ab", k=generator.randint(2, 5)))]
        text = "".join(generator.choices("abc", k=10))
        shown, hit = StopStrings(stops).push(text)
        if not hit:
            held = text[len(shown) :]
            longest = max(n for n in range(len(stops[0])) if text.endswith(stops[0][:n]))
            assert len(held) == longest
