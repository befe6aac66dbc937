"""Vocabularies for the tests of text: the oracles beside a checkout, the real models, and a tiny one made here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from localchat.text.byte_letters import LETTER_OF_BYTE
from localchat.text.load import tokenizer_from_gguf
from localchat.text.tokenizer import Tokenizer
from localchat.weights.gguf_file import GGUFFile

ORACLES = ("gpt-2", "qwen2", "llama-spm", "phi-3")


@cache
def _from_gguf(path: Path) -> Tokenizer:
    return tokenizer_from_gguf(GGUFFile(path).metadata)


@pytest.fixture(scope="session")
def oracle_tokenizer(shared_dir: Path) -> Callable[[str], Tokenizer]:
    """Tokenizer of one of the vocabularies in the shared folder, by its short name."""
    return lambda name: _from_gguf(shared_dir / "oracles/tokenizers" / f"ggml-vocab-{name}.gguf")


@pytest.fixture(scope="session")
def smollm2(smollm2_gguf: Path) -> Tokenizer:
    return _from_gguf(smollm2_gguf)


@pytest.fixture
def tiny_vocabulary() -> dict[str, Any]:
    """GGUF metadata of a byte-level vocabulary: 256 bytes, `he`, `llo`, two ChatML tokens, one ordinary added token."""
    letters = [LETTER_OF_BYTE[byte] for byte in range(256)]
    tokens = [*letters, "he", "ll", "llo", "hello", "<|im_start|>", "<|im_end|>", "<think>"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * 260 + [3, 3, 4],
        "tokenizer.ggml.merges": ["h e", "l l", "ll o", "he llo"],
        "tokenizer.ggml.eos_token_id": 261,
    }


@pytest.fixture
def tiny_sentencepiece() -> dict[str, Any]:
    """GGUF metadata of a SentencePiece vocabulary: three special tokens, 256 bytes, a few pieces."""
    pieces = ["▁", "h", "e", "l", "o", "he", "ll", "llo", "hello", "▁hello", "你", "好"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * 259 + [-float(index) for index in (20, 20, 20, 20, 20, 3, 2, 1, 0, 0, 5, 5)],
        "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * len(pieces),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def without(metadata: Mapping[str, Any], key: str) -> dict[str, Any]:
    """`metadata` without one key."""
    return {name: value for name, value in metadata.items() if name != key}
