"""The vocabulary of Gemma 4 in GGUF files: its ids are those of the tokenizer.json that it was made from."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tokenizers

from localchat.errors import BadWeights
from localchat.text.gguf_vocabulary import tokenizer_from_gguf

WORDS = ["你", "好", "\n", "\n\n", "▁", *"abcdefghi", "ab", "▁ab", "▁abc", "▁▁", "你好"]
MERGES = ["\n \n", "▁ ▁", "a b", "▁ ab", "▁ab c", "你 好"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>"]
TOKENS = [*SPECIAL, *BYTES, *WORDS, "<|turn>", "<turn|>", "<|channel>"]
TYPES = [3, 3, 3, 2, *[6] * 256, *[1] * len(WORDS), 3, 3, 4]
KEYS: dict[str, Any] = {
    "model": "gemma4",
    "tokens": TOKENS,
    "scores": [0.0] * len(TOKENS),
    "token_type": TYPES,
    "merges": MERGES,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "unknown_token_id": 3,
    "add_bos_token": True,
    "add_space_prefix": False,
}
TEXTS = ["ab abc  ab", "你好，世界 🙂", "a\n\nb\n c\n\n\n", " abc", "<|turn>ab<turn|>", "gh<|channel>i", "é\t", ""]


def _published() -> tokenizers.Tokenizer:
    """As the family's tokenizer.json has it."""
    vocabulary = {token: id for id, token in enumerate(TOKENS)}
    model = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    return tokenizers.Tokenizer.from_str(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [
                    {"id": id, "content": token, "special": TYPES[id] == 3, "normalized": False}
                    | {"single_word": False, "lstrip": False, "rstrip": False}
                    for id, token in enumerate(TOKENS)
                    if TYPES[id] in (3, 4)
                ],
                "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
                "pre_tokenizer": {
                    "type": "Split",
                    "pattern": {"String": " "},
                    "behavior": "MergedWithPrevious",
                    "invert": False,
                },
                "post_processor": None,
                "decoder": None,
                "model": {**model, "vocab": vocabulary, "merges": [merge.split(" ") for merge in MERGES]},
            }
        )
    )


def _metadata(**changed: Any) -> dict[str, Any]:
    return {f"tokenizer.ggml.{key}": value for key, value in (KEYS | changed).items()}


@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_those_of_the_tokenizer_json_and_give_the_text_back(text: str) -> None:
    ours, library = tokenizer_from_gguf(_metadata()), _published()
    assert ours.encode_with_specials(text) == library.encode(text).ids
    assert ours.decode(ours.encode(text)) == text


def test_text_never_becomes_a_control_token_and_turns_end_replies() -> None:
    ours = tokenizer_from_gguf(_metadata())
    assert TOKENS.index("<turn|>") not in ours.encode("<turn|>")
    assert TOKENS.index("<turn|>") in ours.stop_ids
    assert ours.adds_bos


def test_a_vocabulary_without_its_bytes_is_damaged() -> None:
    with pytest.raises(BadWeights, match="bytes"):
        tokenizer_from_gguf(_metadata(token_type=[1] * len(TOKENS)))
