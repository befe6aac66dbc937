"""Personas as data: those that come with the program, the user's own, and samples that replies are to resemble."""

from __future__ import annotations

from pathlib import Path

import pytest

from localchat.errors import InvalidSetting
from localchat.writing.language import language_of
from localchat.writing.personas import (
    SAMPLE_TOKENS,
    all_personas,
    find_persona,
    forget_persona,
    like,
    new_name,
    personas_file,
    save_persona,
)
from localchat.writing.pieces import about_tokens


@pytest.fixture(autouse=True)
def at_home(home: Path) -> Path:
    return home


def own(home: Path, text: str) -> None:
    (home / "config").mkdir(parents=True, exist_ok=True)
    personas_file().write_text(text, encoding="utf-8")


def test_all_personas_come_in_both_languages() -> None:
    personas = all_personas()
    assert len(personas) >= 12
    for persona in personas.values():
        assert set(persona.titles) == set(persona.descriptions) == set(persona.prompts) == {"en", "zh"}
        assert all(language_of(text) == language for language, text in persona.prompts.items())
    assert len({persona.title("zh") for persona in personas.values()}) == len(personas)


def test_one_is_found_by_name_and_by_title_in_any_language() -> None:
    assert find_persona("editor") == find_persona("Careful Editor") == find_persona("编辑")
    with pytest.raises(InvalidSetting, match="Did you mean editor"):
        find_persona("edtor")


def test_own_ones_come_first_and_replace_those_of_their_names(home: Path) -> None:
    own(home, '[grandma]\nprompt = "You are my grandma."\n[editor]\ntitle = "Mine"\nprompt = "Edit."\n')
    personas = all_personas()
    assert list(personas)[:2] == ["grandma", "editor"]
    assert personas["grandma"].title("zh") == "grandma"
    assert personas["grandma"].description("en") == "You are my grandma."
    assert personas["editor"].prompt("zh") == "Edit."


def test_a_sample_becomes_a_prompt_in_its_own_language(home: Path) -> None:
    own(home, '[me]\nsample = "今天天气不错，我去公园走了走。湖边的柳树绿了。"\n')
    prompt = find_persona("me").prompt("en")
    assert "风格" in prompt
    assert prompt.endswith("湖边的柳树绿了。")


def test_a_long_sample_ends_with_a_sentence() -> None:
    prompt = like("It rained all day, and nobody came. " * 300)
    assert prompt.endswith("nobody came.")
    assert about_tokens(prompt) < SAMPLE_TOKENS + 100


def test_braces_in_a_sample_are_text() -> None:
    assert like("We write {sample} and {} here.").count("{sample}") == 1


def test_what_is_saved_is_read_again_and_leaves_the_rest_of_the_file_alone(home: Path) -> None:
    own(home, '# my own\n[a]\nprompt = "A." # short\nsampling.temperature = 0.1\n')
    save_persona("b", title="Second", sample="Short words. Few of them.")
    save_persona("a", title="First", prompt="A new\none.")
    personas = all_personas()
    assert personas["a"].prompt("en") == "A new\none."
    assert personas["a"].sampling == {"temperature": 0.1}
    assert personas["b"].sample == "Short words. Few of them."
    assert personas_file().read_text(encoding="utf-8").startswith("# my own\n[a]\n")
    forget_persona("a")
    assert "a" not in all_personas()
    assert all_personas()["b"].title("en") == "Second"


def test_a_text_by_language_is_saved_in_the_one_that_is_spoken(home: Path) -> None:
    own(home, '[a]\nprompt.en = "Hello."\nprompt.zh = "你好。"\n')
    save_persona("a", prompt="Goodbye.")
    assert all_personas()["a"].prompts == {"en": "Goodbye.", "zh": "你好。"}


def test_a_new_name_is_one_that_nothing_has() -> None:
    assert new_name("Editor") == "editor-2"
    assert new_name("写信 给奶奶") == "写信-给奶奶"
    assert new_name("!?") == "persona"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[x]\n", ["x", "prompt", "missing"]),
        ("[x]\nprompt = 1\n", ["prompt", "text"]),
        ('[x]\nprompt = "a"\nsampling.heat = 1\n', ["heat", "top_k"]),
        ('[x]\nprompt = "a"\ncolour = 1\n', ["colour", "sample"]),
        ('[x]\nsample = "a"\nprompt = "b"\n', ["x", "prompt"]),
        ("[x\n", ["personas.toml"]),
    ],
)
def test_what_is_wrong_with_own_personas_is_said(home: Path, text: str, parts: list[str]) -> None:
    own(home, text)
    with pytest.raises(InvalidSetting) as error:
        all_personas()
    assert all(part in str(error.value) for part in parts), str(error.value)
