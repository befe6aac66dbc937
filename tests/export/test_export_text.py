"""Tokenizers that we export: read back from GGUF metadata or from a checkpoint's files, they give the same ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tiny_exports import TOKENS, VOCABULARY
from tokenizers import decoders, models, normalizers, pre_tokenizers

from localchat.errors import BadWeights, UnsupportedModel
from localchat.export.gguf_vocabulary import vocabulary_metadata
from localchat.export.huggingface_text import huggingface_text_files
from localchat.export.sentencepiece import read_pieces
from localchat.text.chat_template import CHATML, ChatTemplate
from localchat.text.chat_text import ChatText, load_chat_text
from localchat.text.load import load_tokenizer, tokenizer_from_gguf
from localchat.text.pre_tokenizers import pre_tokenizer, rule_names
from localchat.text.sentencepiece_model import model_message
from localchat.text.tokenizer import Tokenizer, write_files
from localchat.weights.gguf_file import GGUFFile

TEXTS = [
    "hello world 12",
    "  two  spaces\n\n\t",
    "你好，世界。e\u0301 é",
    "<|im_end|></s>",
    "I'Ve 'LL 12345 camelCase {x}",
]
PIECES = ["▁", "h", "e", "l", "o", "he", "ll", "llo", "hello", "▁hello", "你", "好"]
SENTENCEPIECE: dict[str, Any] = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *PIECES, "<think>"],
    "tokenizer.ggml.scores": [0.0] * 259 + [-float(n) for n in (20, 20, 20, 20, 20, 3, 2, 1, 0, 0, 5, 5)] + [0.0],
    "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * len(PIECES) + [4],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.unknown_token_id": 0,
}


def with_template(tokenizer: Tokenizer) -> ChatText:
    return ChatText(tokenizer, ChatTemplate(CHATML))


def from_json(folder: Path, **parts: Any) -> ChatText:
    """A checkpoint's tokenizer with the tiny vocabulary and these parts of the library."""
    merges = [tuple(merge.split(" ")) for merge in VOCABULARY["tokenizer.ggml.merges"]]
    vocabulary = {token: id for id, token in enumerate(TOKENS)}
    library = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    for name, part in parts.items():
        setattr(library, name, part)
    library.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|endoftext|>"])
    library.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    return with_template(load_tokenizer(folder))


@pytest.mark.parametrize("vocabulary", [VOCABULARY, SENTENCEPIECE], ids=["byte-level", "sentencepiece"])
def test_a_gguf_file_gives_the_same_tokenizer(vocabulary: dict[str, Any]) -> None:
    ours = tokenizer_from_gguf(vocabulary)
    metadata, notes = vocabulary_metadata(with_template(ours), ours.vocab_size)
    theirs = tokenizer_from_gguf(metadata)
    assert theirs.spec == ours.spec
    assert [theirs.encode(text) for text in TEXTS] == [ours.encode(text) for text in TEXTS]
    assert not notes
    for name in ("tokens", "token_type", "scores", "merges", "pre"):
        assert metadata.get(f"tokenizer.ggml.{name}") == vocabulary.get(f"tokenizer.ggml.{name}"), name


@pytest.mark.parametrize("vocabulary", [VOCABULARY, SENTENCEPIECE], ids=["byte-level", "sentencepiece"])
@pytest.mark.parametrize("adds_bos", [True, False])
def test_a_checkpoint_gives_the_same_tokenizer(tmp_path: Path, vocabulary: dict[str, Any], adds_bos: bool) -> None:
    ours = tokenizer_from_gguf({**vocabulary, "tokenizer.ggml.add_bos_token": adds_bos})
    write_files(tmp_path, huggingface_text_files(with_template(ours), 512))
    theirs = load_tokenizer(tmp_path)
    assert theirs.spec == ours.spec
    assert [theirs.encode(text) for text in TEXTS] == [ours.encode(text) for text in TEXTS]


@pytest.mark.parametrize("name", ["llama-spm", "phi-3"])
def test_vocabularies_of_real_models_come_back(tmp_path: Path, shared_dir: Path, name: str) -> None:
    path = shared_dir / f"oracles/tokenizers/ggml-vocab-{name}.gguf"
    ours, source = load_chat_text(path), GGUFFile(path).metadata
    metadata, _ = vocabulary_metadata(ours, ours.tokenizer.vocab_size)
    assert metadata["tokenizer.ggml.tokens"] == source["tokenizer.ggml.tokens"]
    assert metadata["tokenizer.ggml.scores"] == list(source["tokenizer.ggml.scores"])
    write_files(tmp_path, huggingface_text_files(ours, 512))
    again = load_tokenizer(tmp_path)
    assert again.spec == ours.tokenizer.spec
    for theirs in (tokenizer_from_gguf(metadata), again):
        assert [theirs.encode(text) for text in TEXTS] == [ours.tokenizer.encode(text) for text in TEXTS]


@pytest.mark.parametrize("name", rule_names())
def test_the_rule_that_cuts_words_is_found_again(name: str) -> None:
    ours = tokenizer_from_gguf({**VOCABULARY, "tokenizer.ggml.pre": name})
    metadata, _ = vocabulary_metadata(with_template(ours), ours.vocab_size)
    found, wanted = pre_tokenizer(metadata["tokenizer.ggml.pre"]), pre_tokenizer(name)
    assert (found.patterns, found.ignore_merges) == (wanted.patterns, wanted.ignore_merges)


def test_a_rule_in_other_words_is_recognized(tmp_path: Path) -> None:
    digits = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    text = from_json(tmp_path, pre_tokenizer=pre_tokenizers.Sequence(digits))
    metadata, _ = vocabulary_metadata(text, 288)
    assert metadata["tokenizer.ggml.pre"] == "smollm"
    assert metadata["tokenizer.ggml.tokens"][-1] == "[PAD287]"


def test_a_rule_that_has_no_name_is_refused(tmp_path: Path) -> None:
    text = from_json(tmp_path, pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    with pytest.raises(UnsupportedModel, match="rule"):
        vocabulary_metadata(text, 288)


def test_a_normalizer_is_what_a_gguf_file_cannot_say(tmp_path: Path) -> None:
    _, notes = vocabulary_metadata(from_json(tmp_path, normalizer=normalizers.NFC()), 288)
    assert len(notes) == 1
    assert "normalized" in notes[0]


def test_more_tokens_than_the_model_knows_are_refused() -> None:
    with pytest.raises(UnsupportedModel, match="200"):
        vocabulary_metadata(with_template(tokenizer_from_gguf(VOCABULARY)), 200)


def test_pieces_of_a_sentencepiece_model_are_read_as_they_were_written() -> None:
    written = [
        ("<unk>", 0.0, "unknown"),
        ("▁the", -1.5, "normal"),
        ("<x>", 0.0, "user_defined"),
        ("<0x0A>", 0.0, "byte"),
    ]
    pieces = read_pieces(model_message(written, unknown_id=0, byte_fallback=False))  # type: ignore[arg-type]
    assert [(piece.text, piece.score, piece.kind) for piece in pieces] == [
        ("<unk>", 0.0, 2), ("▁the", -1.5, 1), ("<x>", 0.0, 4), ("<0x0A>", 0.0, 6)
    ]  # fmt: skip


def test_a_damaged_sentencepiece_model_is_bad_weights() -> None:
    model = model_message([("<unk>", 0.0, "unknown"), ("a", 0.0, "normal")], unknown_id=0, byte_fallback=False)
    for cut in (3, len(model) - 1):
        with pytest.raises(BadWeights):
            read_pieces(model[:cut])


def test_a_sentencepiece_model_of_another_kind_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="BPE"):
        read_pieces(b"")
