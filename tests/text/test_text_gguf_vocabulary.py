"""Vocabularies from GGUF metadata: where replies end, what is refused, what is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localchat.errors import BadWeights, UnsupportedModel
from localchat.text.load import load_tokenizer, tokenizer_from_gguf
from localchat.text.tokenizer import Tokenizer

from .conftest import ORACLES, without
from .samples import CONTROL_LOOKALIKES, HARD


def names(tokenizer: Tokenizer) -> set[str]:
    return {tokenizer.token_text(id) for id in tokenizer.stop_ids}


def test_a_reply_ends_at_the_end_of_text_and_at_the_end_of_a_turn(
    oracle_tokenizer: Callable[[str], Tokenizer], smollm2: Tokenizer
) -> None:
    assert names(oracle_tokenizer("gpt-2")) == {"<|endoftext|>"}
    assert names(oracle_tokenizer("llama-spm")) == {"</s>"}
    assert names(oracle_tokenizer("phi-3")) == {"<|endoftext|>", "<|end|>", "</s>"}
    assert names(oracle_tokenizer("qwen2")) == {"<|endoftext|>", "<|im_end|>"}
    assert {"<|im_end|>", "<|endoftext|>"} <= names(smollm2)
    assert "<|im_start|>" not in names(smollm2)


def test_beginning_of_text_is_added_where_the_file_or_the_kind_of_vocabulary_says_so(
    oracle_tokenizer: Callable[[str], Tokenizer], smollm2: Tokenizer, tiny_vocabulary: dict[str, Any]
) -> None:
    assert oracle_tokenizer("llama-spm").adds_bos
    assert oracle_tokenizer("llama-spm").bos_id == 1
    assert not oracle_tokenizer("qwen2").adds_bos
    assert not smollm2.adds_bos
    llama3 = {**tiny_vocabulary, "tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.bos_token_id": 260}
    assert tokenizer_from_gguf(llama3).adds_bos
    assert not tokenizer_from_gguf({**llama3, "tokenizer.ggml.add_bos_token": False}).adds_bos


def test_a_turn_end_that_the_file_calls_ordinary_is_still_a_control_token(tiny_vocabulary: dict[str, Any]) -> None:
    tokenizer = tokenizer_from_gguf({**tiny_vocabulary, "tokenizer.ggml.token_type": [1] * 260 + [3, 1, 4]})
    assert 261 in tokenizer.control_ids
    assert 261 not in tokenizer.encode("<|im_end|>")
    assert tokenizer.encode_with_specials("<|im_end|>") == [261]


def test_an_ordinary_word_that_looks_like_the_end_is_a_word(oracle_tokenizer: Callable[[str], Tokenizer]) -> None:
    qwen2 = oracle_tokenizer("qwen2")  # its 128247 is "</s>", the end of struck-out text in HTML
    assert 128247 not in qwen2.stop_ids
    assert qwen2.decode([128247]) == "</s>"


def test_a_channel_end_does_not_end_the_reply(tiny_vocabulary: dict[str, Any]) -> None:
    tokens = [*tiny_vocabulary["tokenizer.ggml.tokens"][:260], "<|return|>", "<|end|>", "<|call|>"]
    harmony = {
        **tiny_vocabulary,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * 260 + [3] * 3,
        "tokenizer.ggml.eos_token_id": 260,
    }
    assert names(tokenizer_from_gguf(harmony)) == {"<|return|>", "<|call|>"}


@pytest.mark.parametrize("name", ORACLES)
def test_a_saved_tokenizer_is_the_same_when_loaded(
    name: str, oracle_tokenizer: Callable[[str], Tokenizer], tmp_path: Path
) -> None:
    tokenizer = oracle_tokenizer(name)
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert again.spec == tokenizer.spec
    for text in (*HARD, *CONTROL_LOOKALIKES):
        assert again.encode(text) == tokenizer.encode(text)
        assert again.encode_with_specials(text) == tokenizer.encode_with_specials(text)
    some = range(0, tokenizer.vocab_size, 97)
    assert [again.token_bytes(id) for id in some] == [tokenizer.token_bytes(id) for id in some]


def test_an_unknown_kind_or_rule_is_refused_by_name(tiny_vocabulary: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedModel, match="'no-such-rule'"):
        tokenizer_from_gguf({**tiny_vocabulary, "tokenizer.ggml.pre": "no-such-rule"})
    with pytest.raises(UnsupportedModel, match="'bert'"):
        tokenizer_from_gguf({**tiny_vocabulary, "tokenizer.ggml.model": "bert"})


@pytest.mark.parametrize("missing", ["model", "tokens", "merges"])
def test_a_missing_part_is_said(missing: str, tiny_vocabulary: dict[str, Any]) -> None:
    with pytest.raises(BadWeights, match=missing):
        tokenizer_from_gguf(without(tiny_vocabulary, f"tokenizer.ggml.{missing}"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("token_type", [1, 2]),
        ("token_type", ["x"] * 263),
        ("tokens", [1, 2, 3]),
        ("tokens", "tokens"),
        ("tokens", []),
        ("tokens", ["same", "same"]),
        ("merges", ["no-space"]),
        ("merges", ["not there"]),
        ("merges", [7]),
        ("eos_token_id", "seven"),
    ],
)
def test_damaged_byte_level_metadata_is_bad_weights(key: str, value: Any, tiny_vocabulary: dict[str, Any]) -> None:
    with pytest.raises(BadWeights):
        tokenizer_from_gguf({**tiny_vocabulary, f"tokenizer.ggml.{key}": value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scores", [0.0]),
        ("scores", [float("nan")] * 271),
        ("tokens", ["<unk>"] * 271),
        ("token_type", [6] * 271),
        ("token_type", [3] * 270),
    ],
)
def test_damaged_sentencepiece_metadata_is_bad_weights(
    key: str, value: Any, tiny_sentencepiece: dict[str, Any]
) -> None:
    with pytest.raises(BadWeights):
        tokenizer_from_gguf({**tiny_sentencepiece, f"tokenizer.ggml.{key}": value})


def test_special_ids_outside_the_vocabulary_are_none(tiny_vocabulary: dict[str, Any]) -> None:
    tokenizer = tokenizer_from_gguf({**tiny_vocabulary, "tokenizer.ggml.bos_token_id": 0xFFFFFFFF})
    assert tokenizer.bos_id is None
    assert not tokenizer.adds_bos


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"stop_ids": 1}'])
def test_a_damaged_text_json_is_bad_weights(damage: str, tiny_vocabulary: dict[str, Any], tmp_path: Path) -> None:
    tokenizer_from_gguf(tiny_vocabulary).save(tmp_path)
    (tmp_path / "text.json").write_text(damage)
    with pytest.raises(BadWeights):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", b'{"model": {"type": "BPE"}}'])
def test_a_damaged_tokenizer_json_is_bad_weights(
    damage: bytes, tiny_vocabulary: dict[str, Any], tmp_path: Path
) -> None:
    tokenizer_from_gguf(tiny_vocabulary).save(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(damage)
    with pytest.raises(BadWeights):
        load_tokenizer(tmp_path)


def test_a_folder_without_tokenizer_is_bad_weights(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)
