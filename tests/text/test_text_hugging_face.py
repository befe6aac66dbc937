"""Tokenizers of Hugging Face folders, held against transformers and sentencepiece on the same files."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tokenizers
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from localchat.errors import BadWeights, UnsupportedModel
from localchat.text.load import load_template, load_tokenizer
from localchat.text.stream_decoder import StreamDecoder
from localchat.text.tokenizer import Tokenizer

from .samples import CONTROL_LOOKALIKES, HARD, random_text

CORPUS = ["the quick brown fox jumps over the lazy dog", "hello world 你好 世界 你好", "a b c d e 1 2 3"] * 20


def texts() -> list[str]:
    source = random.Random(5)
    return [*HARD, *(random_text(source) for _ in range(100))]


def write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data))


@pytest.fixture(scope="module")
def qwen2_json(oracle_tokenizer: Callable[[str], Tokenizer]) -> bytes:
    return oracle_tokenizer("qwen2").files()["tokenizer.json"]


@pytest.fixture
def byte_level_folder(qwen2_json: bytes, tmp_path: Path) -> Path:
    """Qwen2's vocabulary as a checkpoint folder has it."""
    (tmp_path / "tokenizer.json").write_bytes(qwen2_json)
    write_json(tmp_path / "tokenizer_config.json", {"eos_token": "<|im_end|>", "bos_token": None})
    write_json(tmp_path / "generation_config.json", {"eos_token_id": [151645, 151643]})
    return tmp_path


@pytest.fixture
def metaspace_folder(tmp_path: Path) -> Path:
    """A SentencePiece vocabulary in tokenizer.json form, trained here."""
    library = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    library.decoder = decoders.Sequence(steps)
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    library.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=special[:3]))
    data = json.loads(library.to_str())
    vocab = data["model"]["vocab"]
    for byte in special[3:]:
        vocab.setdefault(byte, len(vocab))
    write_json(tmp_path / "tokenizer.json", data)
    write_json(tmp_path / "tokenizer_config.json", {"bos_token": "<s>", "eos_token": {"content": "</s>"}})
    return tmp_path


@pytest.fixture
def sentencepiece_folder(tmp_path: Path) -> Path:
    """A tokenizer.model, trained here, with two tokens added beside it."""
    (tmp_path / "corpus.txt").write_text("\n".join(CORPUS))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "corpus.txt"), model_prefix=str(tmp_path / "tokenizer"), vocab_size=340, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    added = {
        "340": {"content": "<|im_end|>", "special": True, "rstrip": True},
        "342": {"content": "<think>", "special": False},
    }
    write_json(tmp_path / "tokenizer_config.json", {"added_tokens_decoder": added, "eos_token": "<|im_end|>"})
    return tmp_path


def test_byte_level_ids_are_those_of_transformers(byte_level_folder: Path) -> None:
    ours = load_tokenizer(byte_level_folder)
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(byte_level_folder / "tokenizer.json"))
    for text in texts():
        ids = theirs.encode(text, add_special_tokens=False, split_special_tokens=True)
        assert ours.encode(text) == ids, repr(text)
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    rendered = "<|im_start|>user\nhi 你好<|im_end|>\n<|im_start|>assistant\n"
    assert ours.encode_with_specials(rendered) == theirs.encode(rendered, add_special_tokens=False)


def test_special_tokens_come_from_the_small_files(byte_level_folder: Path) -> None:
    tokenizer = load_tokenizer(byte_level_folder)
    assert tokenizer.eos_id == 151645
    assert tokenizer.stop_ids == {151645, 151643}
    assert tokenizer.bos_id is None
    assert not tokenizer.adds_bos


def test_metaspace_ids_are_those_of_the_library(metaspace_folder: Path) -> None:
    ours = load_tokenizer(metaspace_folder)
    theirs = tokenizers.Tokenizer.from_file(str(metaspace_folder / "tokenizer.json"))
    marked = "<s>hello</s> world</s>你好"
    assert ours.encode_with_specials(marked) == theirs.encode(marked, add_special_tokens=False).ids
    theirs.encode_special_tokens = True  # as text
    for text in texts():
        ids = theirs.encode(text, add_special_tokens=False).ids
        assert ours.encode(text) == ids, repr(text)
        decoder = StreamDecoder(ours)
        assert "".join(map(decoder.push, ids)) + decoder.flush() == ours.decode(ids)
    for text in ("hello world", "你好 😀", "a  b"):
        assert ours.decode(ours.encode(text)) == text
    for text in CONTROL_LOOKALIKES:
        assert ours.control_ids.isdisjoint(ours.encode(text))


def test_sentencepiece_ids_are_those_of_the_library(sentencepiece_folder: Path) -> None:
    ours = load_tokenizer(sentencepiece_folder)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(sentencepiece_folder / "tokenizer.model"))
    for text in texts():
        if "<" not in text:  # the added tokens are ours alone
            assert ours.encode(text) == theirs.encode(text), repr(text)
            assert ours.decode(ours.encode(text)) == theirs.decode(theirs.encode(text))


def test_tokens_added_beside_a_sentencepiece_model_keep_their_ids(sentencepiece_folder: Path) -> None:
    tokenizer = load_tokenizer(sentencepiece_folder)
    assert tokenizer.vocab_size == 343
    assert tokenizer.eos_id == 340
    assert 340 in tokenizer.stop_ids
    assert 340 not in tokenizer.encode("<|im_end|>")
    assert 342 in tokenizer.encode("<think>")
    assert tokenizer.decode([340, 341, 342]) == "<think>"
    ids = tokenizer.encode_with_specials("<|im_end|>\n \nhello")
    assert ids == [340, *tokenizer.encode("hello")]  # white space after it is dropped, as its flag says


@pytest.mark.parametrize("folder", ["byte_level_folder", "metaspace_folder", "sentencepiece_folder"])
def test_what_was_imported_loads_the_same_from_our_own_folder(
    folder: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(request.getfixturevalue(folder))
    tokenizer.save(tmp_path / "ours")
    again = load_tokenizer(tmp_path / "ours")
    assert again.spec == tokenizer.spec
    for text in (*HARD, *CONTROL_LOOKALIKES, "<s>hello</s> 你好<|im_end|>"):
        assert again.encode(text) == tokenizer.encode(text)
        assert again.encode_with_specials(text) == tokenizer.encode_with_specials(text)


def test_beginning_of_text_is_found_in_the_post_processor(metaspace_folder: Path) -> None:
    assert not load_tokenizer(metaspace_folder).adds_bos
    library = tokenizers.Tokenizer.from_file(str(metaspace_folder / "tokenizer.json"))
    library.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    library.save(str(metaspace_folder / "tokenizer.json"))
    assert load_tokenizer(metaspace_folder).adds_bos
    write_json(metaspace_folder / "tokenizer_config.json", {"bos_token": "<s>", "add_bos_token": False})
    assert not load_tokenizer(metaspace_folder).adds_bos


def test_templates_are_found_in_all_their_places(byte_level_folder: Path) -> None:
    tokenizer = load_tokenizer(byte_level_folder)
    assert load_template(byte_level_folder, tokenizer).is_fallback
    config = byte_level_folder / "tokenizer_config.json"
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "named"}]
    write_json(config, {"chat_template": named})
    assert load_template(byte_level_folder, tokenizer).source == "named"
    write_json(config, {"chat_template": "in the configuration"})
    assert load_template(byte_level_folder, tokenizer).source == "in the configuration"
    (byte_level_folder / "chat_template.jinja").write_text("in a file")
    template = load_template(byte_level_folder, tokenizer)
    assert template.source == "in a file"
    assert not template.is_fallback


def test_an_unknown_decoder_is_refused(byte_level_folder: Path) -> None:
    library = tokenizers.Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    library.decoder = decoders.WordPiece()
    library.normalizer = normalizers.Lowercase()
    library.save(str(byte_level_folder / "tokenizer.json"))
    with pytest.raises(UnsupportedModel, match="WordPiece"):
        load_tokenizer(byte_level_folder)


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"decoder": {"type": "ByteLevel"}, "added_tokens": 7}'])
def test_a_damaged_checkpoint_is_bad_weights(damage: bytes, byte_level_folder: Path) -> None:
    (byte_level_folder / "tokenizer.json").write_bytes(damage)
    with pytest.raises(BadWeights):
        load_tokenizer(byte_level_folder)


def test_a_damaged_sentencepiece_model_is_bad_weights(sentencepiece_folder: Path) -> None:
    (sentencepiece_folder / "tokenizer.model").write_bytes(b"nonsense")
    with pytest.raises(BadWeights):
        load_tokenizer(sentencepiece_folder)
