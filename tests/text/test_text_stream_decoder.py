"""The stream decoder: the same text as decoding at once, and never half a character."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from localchat.text.load import tokenizer_from_gguf
from localchat.text.stream_decoder import StreamDecoder
from localchat.text.tokenizer import Tokenizer

from .conftest import ORACLES
from .samples import HARD, random_text

OracleTokenizer = Callable[[str], Tokenizer]


def stream(tokenizer: Tokenizer, ids: Sequence[int]) -> tuple[list[str], str]:
    decoder = StreamDecoder(tokenizer)
    return [decoder.push(id) for id in ids], decoder.flush()


@pytest.mark.parametrize("name", ORACLES)
def test_random_ids_stream_to_what_they_decode_to(name: str, oracle_tokenizer: OracleTokenizer) -> None:
    tokenizer = oracle_tokenizer(name)
    source = random.Random(3)
    for _ in range(300):
        ids = [source.randrange(tokenizer.vocab_size) for _ in range(source.randrange(40))]
        if source.random() < 0.5:
            ids = [source.choice(tokenizer.encode("é你😀 \n")) for _ in ids]  # mostly broken UTF-8
        pushed, rest = stream(tokenizer, ids)
        assert "".join(pushed) + rest == tokenizer.decode(ids)


@pytest.mark.parametrize("name", ORACLES)
def test_real_text_streams_in_whole_characters(name: str, oracle_tokenizer: OracleTokenizer) -> None:
    tokenizer = oracle_tokenizer(name)
    source = random.Random(4)
    for text in (*HARD, *(random_text(source) for _ in range(200))):
        text = text.replace("\ufffd", "").replace("▁", "")
        pushed, rest = stream(tokenizer, tokenizer.encode(text))
        assert "".join(pushed) == text
        assert rest == ""
        assert not any("\ufffd" in part for part in pushed)


def test_a_character_waits_for_its_last_byte(tiny_vocabulary: dict[str, object]) -> None:
    tokenizer = tokenizer_from_gguf(tiny_vocabulary)
    pushed, rest = stream(tokenizer, [*"你".encode(), *"😀".encode()])
    assert pushed == ["", "", "你", "", "", "", "😀"]
    assert rest == ""


def test_an_unfinished_character_is_replaced_at_the_end(tiny_vocabulary: dict[str, object]) -> None:
    tokenizer = tokenizer_from_gguf(tiny_vocabulary)
    pushed, rest = stream(tokenizer, [*b"ok", *"你".encode()[:2]])
    assert pushed == ["o", "k", "", ""]
    assert rest == "\ufffd"


def test_bytes_that_are_no_utf8_are_replaced_at_once(tiny_vocabulary: dict[str, object]) -> None:
    tokenizer = tokenizer_from_gguf(tiny_vocabulary)
    pushed, rest = stream(tokenizer, [0xFF, 0xE4, ord("a")])
    assert pushed == ["\ufffd", "", "\ufffda"]
    assert rest == ""


def test_control_tokens_are_silent_and_the_first_space_goes_after_them(tiny_sentencepiece: dict[str, object]) -> None:
    tokenizer = tokenizer_from_gguf(tiny_sentencepiece)
    ids = [1, 268, 2, 268]
    pushed, rest = stream(tokenizer, ids)
    assert pushed == ["", "hello", "", " hello"]
    assert "".join(pushed) + rest == tokenizer.decode(ids)
