"""Masks that hold an answer to a form: every walk along them gives one that matches, on every kind of vocabulary."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from localchat.constraint import Constraint, ConstraintKind
from localchat.engine.constraint_mask import MOST_CHARACTERS, ConstraintMask, Vocabulary, check
from localchat.errors import BadConstraint
from localchat.text.load import tokenizer_from_gguf
from localchat.text.tokenizer import Tokenizer
from localchat.weights.gguf_file import GGUFFile

VOCABULARIES = ("gpt-2", "qwen2", "llama-spm", "phi-3")
PERSON = {
    "type": "object",
    "properties": {
        "名字": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "kind": {"enum": ["cat", "狗"]},
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
    },
    "required": ["名字", "age", "kind", "tags"],
    "additionalProperties": False,
}


@cache
def vocabulary_of(folder: Path, name: str) -> tuple[Tokenizer, Vocabulary]:
    tokenizer = tokenizer_from_gguf(GGUFFile(folder / f"oracles/tokenizers/ggml-vocab-{name}.gguf").metadata)
    return tokenizer, Vocabulary(tokenizer)


@pytest.fixture
def qwen(shared_dir: Path) -> tuple[Tokenizer, Vocabulary]:
    return vocabulary_of(shared_dir, "qwen2")


def mask_for(vocabulary: Vocabulary, size: int, kind: ConstraintKind, text: str) -> ConstraintMask:
    return ConstraintMask(vocabulary, size, Constraint(kind, text))


def walk(tokenizer: Tokenizer, mask: ConstraintMask, source: random.Random) -> str:
    """A text of tokens that the mask allows, each as likely as another, until one ends it."""
    ids: list[int] = []
    for _ in range(300):
        token = source.choice(mask.allowed().nonzero()[0].tolist())
        if token in tokenizer.stop_ids:
            return b"".join(map(tokenizer.token_bytes, ids)).decode()
        ids.append(token)
        mask.accept(token)
    raise AssertionError(f"no end: {tokenizer.decode(ids)!r}")


@pytest.mark.parametrize("name", VOCABULARIES)
def test_every_walk_is_json_that_follows_the_schema(name: str, shared_dir: Path) -> None:
    tokenizer, vocabulary = vocabulary_of(shared_dir, name)
    source = random.Random(3)
    for _ in range(8):
        mask = mask_for(vocabulary, tokenizer.vocab_size, "schema", json.dumps(PERSON))
        found = json.loads(walk(tokenizer, mask, source))
        assert list(found) == ["名字", "age", "kind", "tags"]
        assert len(found["名字"]) <= 6 and 0 <= found["age"] <= 150 and found["kind"] in ("cat", "狗")
        assert len(found["tags"]) <= 3 and all(isinstance(tag, bool) for tag in found["tags"])


@pytest.mark.parametrize("name", VOCABULARIES)
def test_every_walk_matches_the_expression_or_the_grammar(name: str, shared_dir: Path) -> None:
    tokenizer, vocabulary = vocabulary_of(shared_dir, name)
    source = random.Random(5)
    grammar = 'start: name ("、" name)~0..3 "。"\nname: /[A-Z][a-z]{1,4}/ | "小" /[一-龥]/'
    shape = r"(?:[A-Z][a-z]{1,4}|小[一-龥])(?:、(?:[A-Z][a-z]{1,4}|小[一-龥])){0,3}。"
    for _ in range(8):
        mask = mask_for(vocabulary, tokenizer.vocab_size, "regex", r"\d{3}-(中文|[a-f]{2,5})😀?")
        assert re.fullmatch(r"\d{3}-(中文|[a-f]{2,5})😀?", walk(tokenizer, mask, source))
        mask = mask_for(vocabulary, tokenizer.vocab_size, "grammar", grammar)
        assert re.fullmatch(shape, walk(tokenizer, mask, source))


def test_at_the_end_nothing_but_an_end_is_allowed(qwen: tuple[Tokenizer, Vocabulary]) -> None:
    tokenizer, vocabulary = qwen
    mask = mask_for(vocabulary, tokenizer.vocab_size, "regex", "yes|no")
    for token in tokenizer.encode("yes"):
        mask.accept(token)
    assert set(mask.allowed().nonzero()[0].tolist()) == tokenizer.stop_ids


def test_free_text_holds_no_control_tokens(qwen: tuple[Tokenizer, Vocabulary]) -> None:
    tokenizer, vocabulary = qwen
    mask = mask_for(vocabulary, tokenizer.vocab_size, "regex", r"(.|\n)*")
    allowed = set(mask.allowed().nonzero()[0].tolist())
    assert allowed & tokenizer.control_ids == tokenizer.stop_ids
    assert len(allowed) > 0.9 * tokenizer.vocab_size


def test_a_mask_is_as_long_as_the_logits_are(qwen: tuple[Tokenizer, Vocabulary]) -> None:
    tokenizer, vocabulary = qwen
    whole = mask_for(vocabulary, tokenizer.vocab_size, "regex", "[a-z]+").allowed()
    padded = mask_for(vocabulary, tokenizer.vocab_size + 321, "regex", "[a-z]+").allowed()
    short = mask_for(vocabulary, 1000, "regex", "[a-z]+").allowed()
    assert len(padded) == tokenizer.vocab_size + 321 and not padded[tokenizer.vocab_size :].any()
    assert np.array_equal(padded[: tokenizer.vocab_size], whole) and np.array_equal(short, whole[:1000])


def test_a_mask_stays_until_a_token_is_accepted(qwen: tuple[Tokenizer, Vocabulary]) -> None:
    tokenizer, vocabulary = qwen
    mask = mask_for(vocabulary, tokenizer.vocab_size, "regex", "ab")
    before = mask.allowed().copy()
    assert np.array_equal(mask.allowed(), before)
    mask.accept(tokenizer.encode("a")[0])
    assert not np.array_equal(mask.allowed(), before)


def test_json_may_be_indented_but_not_stretched(qwen: tuple[Tokenizer, Vocabulary]) -> None:
    tokenizer, vocabulary = qwen

    def fits(text: str) -> bool:
        mask = mask_for(vocabulary, tokenizer.vocab_size, "schema", '{"type": "array", "items": {"type": "integer"}}')
        for token in tokenizer.encode(text):
            if not mask.allowed()[token]:
                return False
            mask.accept(token)
        return True

    assert fits("[1,2]") and fits("[1, 2]") and fits("[\n  1,\n  2\n]")
    assert not fits("[\n\n\n\n\n\n") and not fits("[" + 40 * " ")


DEEP = '{"type":"array","items":' * 20_000 + "{}" + "}" * 20_000
REFUSED = {
    "no JSON": ("schema", '{"type":'),
    "no schema": ("schema", "[]"),
    "an unknown type": ("schema", '{"type": "person"}'),
    "a keyword that cannot be held": ("schema", '{"not": {}}'),
    "nothing matches": ("schema", "false"),
    "a file elsewhere": ("schema", '{"$ref": "http://example.org/schema.json"}'),
    "too deep": ("schema", DEEP),
    "too many ways": ("schema", json.dumps({"allOf": [{"anyOf": [{"properties": {f"{a}{i}": {}}} for a in "ab"]}
                                                      for i in range(18)]})),
    "too large": ("schema", json.dumps({"type": "object", "properties": {f"p{i}": {} for i in range(20_000)}})),
    "too long": ("regex", "a" * (MOST_CHARACTERS + 1)),
    "no expression": ("regex", "("),
    "look-ahead": ("regex", "(?=a)b"),
    "no rule": ("grammar", "start: other"),
    "no start": ("grammar", 'other: "a"'),
    "parentheses": ("grammar", "start: " + "(" * 5000 + '"a"' + ")" * 5000),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_followed_is_refused_in_a_sentence(name: str) -> None:
    kind, text = REFUSED[name]
    assert kind in ("schema", "regex", "grammar")
    with pytest.raises(BadConstraint, match="cannot be followed: ") as refused:
        check(Constraint(kind, text))
    assert len(refused.value.message) < 320 and "\n" not in str(refused.value)


def test_what_nothing_can_match_is_refused_before_the_first_token(qwen: tuple[Tokenizer, Vocabulary]) -> None:
    tokenizer, vocabulary = qwen
    with pytest.raises(BadConstraint, match="nothing can match it"):
        mask_for(vocabulary, tokenizer.vocab_size, "schema", '{"$ref": "#"}')


def test_a_text_that_left_the_form_is_refused(qwen: tuple[Tokenizer, Vocabulary]) -> None:
    tokenizer, vocabulary = qwen
    mask = mask_for(vocabulary, tokenizer.vocab_size, "regex", "[0-9]+")
    mask.accept(tokenizer.encode("a")[0])
    with pytest.raises(BadConstraint):
        mask.allowed()
