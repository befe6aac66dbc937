"""Writing actions as data: those that come with the program, and the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from localchat.errors import InvalidSetting
from localchat.writing.actions import actions_file, all_actions, find_action, read_actions
from localchat.writing.language import known_language, language_of

NAMES = [
    *("rewrite", "shorten", "expand", "proofread", "translate", "tone"),
    *("continue", "summarise", "explain", "outline"),
]


@pytest.fixture(autouse=True)
def at_home(home: Path) -> Path:
    return home


def own(home: Path, text: str) -> None:
    (home / "config").mkdir(parents=True)
    actions_file().write_text(text, encoding="utf-8")


def test_all_actions_come_in_both_languages() -> None:
    actions = all_actions()
    assert list(actions) == NAMES
    for action in actions.values():
        assert set(action.prompts) == set(action.description) == {"en", "zh"}
        for language, prompt in action.prompts.items():
            assert language_of(prompt.instruction.replace("{text}", "")) == language
            for example in prompt.examples:
                asked_for = known_language(example.variables.get("language", language))
                assert language_of(example.text) == language
                assert language_of(example.result) == asked_for


def test_own_actions_come_after_and_replace_those_of_their_names(home: Path) -> None:
    own(
        home,
        '[polite]\nprompt = "Say {text} in a {mood} way."\nvariables.mood = "warm"\n[shorten]\nprompt = "Short!"\n',
    )
    actions = all_actions()
    assert list(actions) == [*NAMES, "polite"]
    assert actions["polite"].is_own
    assert actions["polite"].prompt("zh")[1].filled("hi", {"mood": "cold", "language": "en"}) == "Say hi in a cold way."
    assert actions["shorten"].prompts["en"].filled("hi", {}) == "Short!\n\nhi"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[x]\n", ["x", "prompt", "missing"]),
        ('[x]\nprompt = "{nothing}"\n', ["x", "{nothing}", "{text}"]),
        ('[x]\nprompt = "a"\nresult = "best"\n', ["result", "best", "replace"]),
        ('[x]\nprompt = "a"\nsampling.temperature = 9\n', ["temperature", "9"]),
        ('[x]\nprompt = "a"\nsampling.heat = 1\n', ["heat", "top_k"]),
        ('[x]\nprompt = "a"\nlength = [2, 1]\n', ["length"]),
        ('[x]\nprompt = "a"\ncolour = 1\n', ["colour", "similarity"]),
        ('[x]\nprompt.fr = "a"\n', ["prompt", "fr"]),
        ('[x]\nprompt = "a"\nvariables.text = "b"\n', ["variables", "text"]),
        ("x = 1\n", ["x", "table"]),
        ("[x\n", ["actions.toml"]),
    ],
)
def test_what_is_wrong_with_own_actions_is_said(home: Path, text: str, parts: list[str]) -> None:
    own(home, text)
    with pytest.raises(InvalidSetting) as error:
        all_actions()
    assert all(part in str(error.value) for part in parts), str(error.value)


def test_braces_that_are_no_variables_are_text(home: Path) -> None:
    own(home, "[json]\nprompt = 'Answer as {\"a\": 1} or {} or {B}. {text}'\n")
    assert find_action("json").prompts["en"].filled("hi", {}) == 'Answer as {"a": 1} or {} or {B}. hi'


def test_a_text_cannot_take_a_variable() -> None:
    prompt = find_action("translate").prompts["en"]
    assert "{language}" in prompt.filled("the {language} of {text}", {"language": "Chinese"})


def test_a_misspelt_action_gets_a_hint() -> None:
    with pytest.raises(InvalidSetting, match="proofread"):
        find_action("profread")


def test_variables_have_wordings_in_the_language_of_the_prompt() -> None:
    tone = find_action("tone").variables["tone"]
    assert tone.worded("Polite", "zh") == "礼貌客气"
    assert tone.worded("like a pirate", "zh") == "like a pirate"


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"none\.toml"):
        read_actions(tmp_path / "none.toml", own=True)
