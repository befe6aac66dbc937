"""Changes between two versions of a text: any of them may be made or left, and the text stays whole."""

from __future__ import annotations

import random
import unicodedata
from itertools import pairwise

import pytest

from localchat.writing.changes import Change, applied, changes, changes_by_line, likeness, with_line_breaks_of
from localchat.writing.review import Review
from localchat.writing.tokens import tokens

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "It's the well-known 3.5% rule, isn't it?",
    "珊瑚礁只占海底面积的不到百分之一，却有大约四分之一的海洋物种依靠它们生存。",
    "我们用 Python 3.11 写了这个 program，效果不错！",
    "ภาษาไทย ê e\u0301le\u0300ve 한국어 문장 ですね",
    "👩‍👩‍👧 and 👍🏽 from 🇨🇳🇫🇷, with 𝒜 and ❤️.",
    "One line\r\nand another\r\n\r\n- item\twith a tab",
]
"""What people write, with everything in it that a careless cut would tear apart."""


def text_and_version(seed: int) -> tuple[str, str]:
    """A text and another version of it: words and characters left out, put in, doubled and exchanged."""
    chance = random.Random(seed)
    text = "\n".join(chance.choices(SENTENCES, k=chance.randint(1, 5)))
    other = []
    for token in tokens(text):
        kind = chance.random()
        if kind < 0.08:
            continue
        other.append(chance.choice(tokens(chance.choice(SENTENCES))) if kind < 0.2 else token)
        if kind > 0.93:
            other.append(chance.choice(tokens(chance.choice(SENTENCES))))
    return text, "".join(other)


@pytest.mark.parametrize("seed", range(60))
def test_all_changes_make_the_new_text_and_none_leave_the_old_one(seed: int) -> None:
    old, new = text_and_version(seed)
    found = changes(old, new)
    assert applied(old, found) == new
    assert applied(old, []) == old
    assert all(old[change.start : change.end] == change.old != change.new for change in found)
    assert all(left.end < right.start for left, right in pairwise(found))


@pytest.mark.parametrize("seed", range(30))
def test_versions_of_a_long_text_are_compared_line_by_line(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [text_and_version(seed * 100 + number) for number in range(12)]
    old = "\r\n".join(text for text, _version in parts)
    new = "\r\n".join(version if number % 3 else text for number, (text, version) in enumerate(parts))
    for longest in (10**6, 100):  # words are compared, and where a part is too long only lines
        monkeypatch.setattr("localchat.writing.changes.LONGEST_COMPARED", longest)
        found = changes_by_line(old, new)
        assert applied(old, found) == new
        assert all(old[change.start : change.end] == change.old != change.new for change in found)
        assert all(left.end < right.start for left, right in pairwise(found))


@pytest.mark.parametrize("seed", range(60))
def test_any_subset_is_made_of_whole_characters_of_both_texts(seed: int) -> None:
    old, new = text_and_version(seed)
    found = changes(old, new)
    subset = [change for change in found if random.Random(seed + 1).random() < 0.5]
    mixed = applied(old, subset)
    assert mixed.encode("utf-8")
    whole = set(tokens(old)) | set(tokens(new)) | {" ", "\n"}
    at = 0
    for change in [*subset, None]:  # what lies between the changes is old, what they bring is new
        kept = old[at : change.start] if change else old[at:]
        for part in (kept, change.new if change else ""):
            assert not part or not _continues(part[0])
            assert all(token in whole or token.isspace() for token in tokens(part))
        at = change.end if change else at


def _continues(char: str) -> bool:
    """Whether a character belongs to the one before it."""
    return unicodedata.category(char) in ("Mn", "Mc", "Me") or char == "\u200d" or "\U0001f3fb" <= char <= "\U0001f3ff"


@pytest.mark.parametrize("text", SENTENCES)
def test_tokens_are_the_text(text: str) -> None:
    assert "".join(tokens(text)) == text


def test_english_is_compared_by_word_and_chinese_by_character() -> None:
    assert tokens("He doesn't know 3.5, 好的 a well-known 𝒜") == [
        *("He", " ", "doesn't", " ", "know", " ", "3.5", ",", " ", "好", "的", " ", "a", " ", "well-known", " ", "𝒜")
    ]
    assert changes("我门用 Python 写程序。", "我们用 Java 写程序。") == [
        Change(1, 2, "门", "们"),
        Change(4, 10, "Python", "Java"),
    ]


@pytest.mark.parametrize("whole", ["👩‍👩‍👧", "👍🏽", "🇨🇳", "e\u0301le\u0300ve", "❤️", "\r\n", "1️⃣", "ที่"])
def test_what_is_one_character_to_a_reader_is_never_torn_apart(whole: str) -> None:
    assert tokens(f"，{whole}，") == ["，", whole, "，"]


def test_two_flags_beside_each_other_are_two() -> None:
    assert tokens("🇨🇳🇫🇷") == ["🇨🇳", "🇫🇷"]


def test_a_correction_beside_another_change_is_decided_about_alone() -> None:
    found = changes("he go hme yesterday", "he went home yesterday")
    assert [(change.old, change.new) for change in found] == [("go", "went"), ("hme", "home")]


def test_neighbouring_words_that_are_all_new_are_one_change() -> None:
    found = changes("reefs cover less than that", "reefs have a small that")
    assert [(change.old, change.new) for change in found] == [("cover less than", "have a small")]


def test_scattered_words_in_common_do_not_break_up_a_new_sentence() -> None:
    old = "The thing about the office is that it takes a long time to get to it."
    new = "Most people are unhappy about how far away the place is."
    assert len(changes(old, new)) <= 2


def test_a_paragraph_is_broken_into_lines_as_it_was() -> None:
    old = "The results was\nsurprising, and nobody\nknew why it were so."
    new = "The results were surprising, and nobody knew why it was so."
    assert with_line_breaks_of(old, new) == "The results were\nsurprising, and nobody\nknew why it was so."


def test_likeness_counts_words_and_not_punctuation() -> None:
    assert likeness("一二三四", "一二三四！") == 1.0
    assert likeness("a b c d", "x y z w") == 0.0


# ---- deciding


def review() -> Review:
    old, new = "one two three four five", "one 2 three 4 five!"
    return Review(old, changes(old, new))


def test_what_is_not_decided_is_not_made() -> None:
    assert review().text == "one two three four five"


def test_each_change_is_accepted_or_rejected_by_itself() -> None:
    choice = review()
    choice.decide("accepted", [1])
    choice.decide("rejected", [0])
    assert choice.text == "one two three 4 five"
    assert choice.undecided == [2]


def test_deciding_about_the_rest_leaves_what_was_decided() -> None:
    choice = review()
    choice.decide("rejected", [1])
    choice.decide_rest("accepted")
    assert choice.text == "one 2 three four five!"


def test_every_step_can_be_taken_back() -> None:
    choice = review()
    choice.decide("accepted")
    choice.decide("rejected", [0])
    assert choice.undo()
    assert choice.text == "one 2 three 4 five!"
    assert choice.undo()
    assert choice.text == "one two three four five"
    assert not choice.undo()
