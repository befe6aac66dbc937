"""The interface in other languages: nothing is missing from the catalogues, and nothing is shown past them."""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from localchat import translation
from localchat.engine.client import EngineClient
from localchat.errors import ContextOverflow
from localchat.messages import Message, ReplyOptions
from localchat.translation import wanted
from tests.catalogues import LANGUAGES, LOCALE, ROOT, TAKES, read, strings, texts_in_code, untranslated

PLACEHOLDER = re.compile(r"{[^{}]*}")


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_text_of_the_interface_is_in_the_catalogue_and_no_other(language: str) -> None:
    known = {message.id for message in read(language) if message.id}
    in_code = {message.id for message in texts_in_code() if message.id}
    assert sorted(map(str, in_code - known)) == [], "run python -m tests.catalogues"
    assert sorted(map(str, known - in_code)) == [], "run python -m tests.catalogues"


def test_every_text_has_a_translation_that_was_looked_at(language: str) -> None:
    catalog = read(language)
    assert untranslated(catalog) == []
    assert [message.id for message in catalog if message.id and message.fuzzy] == []


def test_translations_fill_in_the_same_placeholders(language: str) -> None:
    for message in read(language):
        if message.id:
            forms = strings(message.id)
            for string in strings(message.string):
                assert set(PLACEHOLDER.findall(string)) == set(PLACEHOLDER.findall(forms[-1])), forms


def test_the_compiled_catalogue_is_that_of_the_source(language: str) -> None:
    compiled = gettext.translation("localchat", LOCALE, [language])
    for message in read(language):
        if message.id:
            forms, string = strings(message.id), strings(message.string)[0]
            got = compiled.ngettext(*forms[:2], 7) if len(forms) > 1 else compiled.gettext(forms[0])
            assert got == string, "run python -m tests.catalogues"


@pytest.mark.parametrize(
    ("setting", "environment", "language"),
    [
        ("", {"LANG": "zh_CN.UTF-8"}, "zh"),
        ("", {"LANG": "zh-Hans"}, "zh"),
        ("", {"LC_ALL": "en_GB.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
        ("", {"LC_ALL": "", "LC_MESSAGES": "zh_TW.UTF-8", "LANG": "de_DE.UTF-8"}, "zh"),
        ("", {"LANG": "fr_FR.UTF-8"}, "en"),
        ("", {"LANG": "C.UTF-8"}, "en"),
        ("", {}, "en"),
        ("zh", {"LC_ALL": "en_US.UTF-8"}, "zh"),
    ],
)
def test_the_setting_goes_before_the_system(setting: str, environment: dict[str, str], language: str) -> None:
    assert wanted(setting, environment) == language


def test_a_language_without_a_catalogue_is_english() -> None:
    translation.use("xx", LOCALE)
    assert translation._("Settings") == "Settings"
    assert translation.plural("{count} token", "{count} tokens", 1) == "{count} token"


async def test_the_engine_speaks_the_language_of_the_interface(home: Path, smollm2_folder: Path) -> None:
    translation.use("zh", LOCALE)
    engine = EngineClient(log=home / "log")
    try:
        async for _event in engine.load(str(smollm2_folder), 256):
            pass
        with pytest.raises(ContextOverflow, match="你的消息"):
            async for _event in engine.reply([Message("user", "word " * 500)], ReplyOptions()):
                pass
        translation.use("en", LOCALE)
        with pytest.raises(ContextOverflow, match="Your message"):
            async for _event in engine.reply([Message("user", "word " * 500)], ReplyOptions()):
                pass
    finally:
        translation.use("en", LOCALE)
        await engine.close()


# ---- texts past the catalogues

WORDS = re.compile(r"[A-Za-z]{2,}[,;:]? [A-Za-z]{2,}|^[A-Z][a-z]{2,}[.:!?…]?$")
"""What reads like something for people: two words, or one with a capital."""
PLACES = ("ui", "commands", "documents", "writing")
"""The packages where one word with a capital is something for people too. In the others it is a name of the field."""
NOT_SHOWN = frozenset(
    {"Binding", "TypeVar", "cast", "getattr", "setattr", "compile", "ValueError", "TypeError", "AssertionError"}
    | {"PermissionError", "NotFetchableError", "seen"}
)
"""Calls whose texts nobody sees, or only those who mend the program. Of a binding, the screen shows our own words."""
TECHNICAL = frozenset({"classes", "group", "name", "style", "help"})
"""Keywords whose values are names for the program, or the help of a command, which is translated when it is shown."""
TOLD_TO_OTHERS = frozenset(
    {"DEFAULT_CSS", "ENGLISH", "CHATML", "PLAIN", "COMPLAINTS", "attempt", "_PRODUCTS", "_PROBE", "_OFFLINE", "_CUT"}
    | {"LANGUAGE"}
)
"""Names of what is told to Textual, to a tokenizer, to another process, to models in the language of the chat, or
what libraries say to us."""
NAMES = frozenset(
    {"SmolLM2", "Markdown", "JSON", "Enter", "Esc", "Tab", "Tab, Shift+Tab", "no model", "torch float32", "tool result"}
    | {"out of memory", "List Bullet", "noopener noreferrer", "red strike", "green underline", "bold underline"}
    | {"true, false"}
)
LANGUAGE_OF_PROGRAMS = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH RECURSIVE|CREATE|ALTER|DROP|BEGIN|PRAGMA|ATTACH|DETACH|NOT IN|ORDER|WHERE)"
    r"\b|[^a-z]*</?[a-z!]|\" rel=|@media"
)
"""SQL, HTML and CSS."""


@pytest.mark.parametrize("package", sorted(path.name for path in (ROOT / "localchat").iterdir() if path.is_dir()))
def test_no_text_of_the_program_goes_past_the_catalogues(package: str) -> None:
    found: list[str] = []
    for path in sorted((ROOT / "localchat" / package).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in _shown_texts(tree):
            if (package in PLACES or " " in node.value) and not LANGUAGE_OF_PROGRAMS.match(node.value):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.value!r}")
    assert not found, "\n".join(found)


def _shown_texts(tree: ast.Module) -> Iterator[ast.Constant]:
    """Literals that read like words for people and are neither translated, nor documentation, nor technical."""
    passed_over = {id(node) for top in ast.walk(tree) for node in _passed_over(top)}
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in passed_over
        if is_text and WORDS.search(node.value) and node.value not in NAMES and not node.value.startswith("$"):
            yield node


def _passed_over(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        yield node.value  # a docstring
    if isinstance(node, (ast.AnnAssign, ast.arg)) and node.annotation is not None:
        yield from ast.walk(node.annotation)
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in TAKES:
            yield from node.args[: TAKES[name]]
        elif name in NOT_SHOWN:
            yield from ast.walk(node)
        yield from (keyword.value for keyword in node.keywords if keyword.arg in TECHNICAL)
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("query", "query_one", "set_class"):
        yield from ast.walk(node)
    if isinstance(node, ast.Attribute) and node.attr == "split":
        yield node.value  # a list of names
    if isinstance(node, ast.Assign) and any(getattr(target, "id", "") in TOLD_TO_OTHERS for target in node.targets):
        yield from ast.walk(node)
