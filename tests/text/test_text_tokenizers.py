"""Tokenizers: the oracles' ids, text that stays text, and bytes that come back."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from localchat.text.load import tokenizer_from_gguf
from localchat.text.tokenizer import Tokenizer

from .conftest import ORACLES
from .samples import CONTROL_LOOKALIKES, HARD, random_text

OracleTokenizer = Callable[[str], Tokenizer]


@pytest.mark.parametrize("name", ORACLES)
def test_oracle_cases_give_the_oracle_ids(name: str, oracle_tokenizer: OracleTokenizer, shared_dir: Path) -> None:
    tokenizer = oracle_tokenizer(name)
    base = shared_dir / "oracles/tokenizers" / f"ggml-vocab-{name}.gguf"
    # llama.cpp wrote them without beginning-of-text token and without reading control tokens in the text
    cases = Path(f"{base}.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    expected = [[int(id) for id in line.split()] for line in Path(f"{base}.out").read_text().split("\n")]
    assert len(cases) == len(expected) == 47
    for text, ids in zip(cases, expected, strict=True):
        assert tokenizer.encode(text) == ids, repr(text)
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("name", ORACLES)
def test_text_comes_back_from_its_ids(name: str, oracle_tokenizer: OracleTokenizer) -> None:
    tokenizer = oracle_tokenizer(name)
    source = random.Random(1)
    for text in (*HARD, *CONTROL_LOOKALIKES, *(random_text(source) for _ in range(300))):
        # SentencePiece writes a space as U+2581 and so cannot tell the two apart
        expected = text if tokenizer.spec.spelling == "byte_letters" else text.replace("▁", " ")
        assert tokenizer.decode(tokenizer.encode(text)) == expected, repr(text)


@pytest.mark.parametrize("name", ORACLES)
def test_no_text_becomes_a_control_token(name: str, oracle_tokenizer: OracleTokenizer) -> None:
    tokenizer = oracle_tokenizer(name)
    assert tokenizer.control_ids
    source = random.Random(2)
    names = [token.text for token in tokenizer.spec.control]
    texts = [*names, *CONTROL_LOOKALIKES, "".join(names), *(random_text(source) for _ in range(300))]
    for text in texts:
        assert tokenizer.control_ids.isdisjoint(tokenizer.encode(text)), repr(text)


@pytest.mark.parametrize("name", ORACLES)
def test_specials_are_read_where_asked_for(name: str, oracle_tokenizer: OracleTokenizer) -> None:
    tokenizer = oracle_tokenizer(name)
    token = tokenizer.spec.control[-1]
    ids = tokenizer.encode_with_specials(f"one{token.text}two{token.text}")
    assert ids.count(token.id) == 2
    assert ids[-1] == token.id
    assert ids[: len(tokenizer.encode("one"))] == tokenizer.encode("one")


def test_lone_surrogates_are_replaced_and_pairs_joined(tiny_vocabulary: dict[str, object]) -> None:
    tokenizer = tokenizer_from_gguf(tiny_vocabulary)
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a\ufffdb"
    assert tokenizer.decode(tokenizer.encode("\ud83d\ude00")) == "😀"


def test_ids_outside_the_vocabulary_decode_to_nothing(
    tiny_vocabulary: dict[str, object], tiny_sentencepiece: dict[str, object]
) -> None:
    for metadata in (tiny_vocabulary, tiny_sentencepiece):
        tokenizer = tokenizer_from_gguf(metadata)
        assert tokenizer.decode([10**6, -1, tokenizer.vocab_size]) == ""


def test_a_vocabulary_that_merges_into_a_control_token_spells_it_instead(tiny_vocabulary: dict[str, object]) -> None:
    for pre in ("qwen2", "llama-bpe"):  # the latter takes whole words from the vocabulary
        types = [1] * 256 + [1, 1, 1, 3, 3, 3, 4]  # "hello" is a control token
        tokenizer = tokenizer_from_gguf(
            {**tiny_vocabulary, "tokenizer.ggml.pre": pre, "tokenizer.ggml.token_type": types}
        )
        ids = tokenizer.encode("hello hello")
        assert 259 not in ids
        assert tokenizer.decode(ids) == "hello hello"


def test_an_ordinary_added_token_is_found_in_text(tiny_vocabulary: dict[str, object]) -> None:
    tokenizer = tokenizer_from_gguf(tiny_vocabulary)
    assert tokenizer.encode("hello<think>") == [259, 262]
    assert tokenizer.decode([259, 262]) == "hello<think>"


def test_sentencepiece_puts_one_space_before_text_and_takes_it_away(tiny_sentencepiece: dict[str, object]) -> None:
    tokenizer = tokenizer_from_gguf(tiny_sentencepiece)
    assert tokenizer.encode("hello") == [268]
    assert tokenizer.decode([268]) == "hello"
    assert tokenizer.decode([268, 268]) == "hello hello"
    assert tokenizer.decode(tokenizer.encode(" hello")) == " hello"
    bare = tokenizer_from_gguf({**tiny_sentencepiece, "tokenizer.ggml.add_space_prefix": False})
    assert bare.encode("hello") == [267]
    assert bare.decode([268]) == " hello"


def test_sentencepiece_falls_back_to_bytes(tiny_sentencepiece: dict[str, object]) -> None:
    tokenizer = tokenizer_from_gguf(tiny_sentencepiece)
    assert tokenizer.encode("你é")[1:] == [269, 3 + 0xC3, 3 + 0xA9]
    assert tokenizer.decode(tokenizer.encode("你é😀\x00")) == "你é😀\x00"
