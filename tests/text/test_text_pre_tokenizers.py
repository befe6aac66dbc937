"""Rules for cutting text into words, held against those in the models' own tokenizer.json files."""

from __future__ import annotations

import random

import pytest
from tokenizers import Regex
from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Sequence, Split

from localchat.errors import UnsupportedModel
from localchat.text.pre_tokenizers import pre_tokenizer

from .samples import CONTROL_LOOKALIKES, HARD, random_text


def split(pattern: str) -> Split:
    return Split(Regex(pattern), "isolated")


def letters() -> ByteLevel:
    return ByteLevel(add_prefix_space=False, use_regex=False)


_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

MODELS_OWN: dict[str, PreTokenizer] = {
    "gpt-2": ByteLevel(add_prefix_space=False, use_regex=True),
    "smollm": Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]),
    "qwen2": Sequence([split(_WORDS + r"\p{N}" + _TAIL), letters()]),
    "llama-bpe": Sequence([split(_WORDS + r"\p{N}{1,3}" + _TAIL), letters()]),
    "gpt-4o": Sequence(
        [
            split(
                rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_ENDING}|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_ENDING}"
                r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            ),
            letters(),
        ]
    ),
}


@pytest.mark.parametrize("name", MODELS_OWN)
def test_words_are_those_of_the_model_s_own_rule(name: str) -> None:
    ours = Sequence([*map(split, pre_tokenizer(name).patterns), letters()])
    source = random.Random(6)
    texts = [*HARD, *CONTROL_LOOKALIKES, "It's 12345 o'clock, I'LL  go\n\n now\t!", "１２３４ ①② ⅷ x²"]
    for text in (*texts, *(random_text(source) for _ in range(500))):
        text = text.replace("ſ", "s")  # the long s is an s to a pattern that ignores case; llama.cpp says no as well
        assert ours.pre_tokenize_str(text) == MODELS_OWN[name].pre_tokenize_str(text), repr(text)


def test_only_some_rules_take_whole_words_from_the_vocabulary() -> None:
    assert pre_tokenizer("llama-bpe").ignore_merges
    assert not pre_tokenizer("qwen2").ignore_merges


def test_an_unknown_rule_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModel, match="'brand-new'"):
        pre_tokenizer("brand-new")
