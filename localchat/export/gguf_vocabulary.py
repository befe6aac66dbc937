"""A tokenizer as the metadata of a GGUF file: the inverse of `localchat.text.gguf_vocabulary`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import tokenizers
from tokenizers import pre_tokenizers

from localchat.errors import UnsupportedModel
from localchat.export.sentencepiece import ModelPiece, read_pieces
from localchat.text import sentencepiece_model, tokenizer_json
from localchat.text.chat_text import ChatText
from localchat.text.load import tokenizer_from_gguf
from localchat.text.pre_tokenizers import pre_tokenizer, rule_names
from localchat.text.tokenizer import Tokenizer
from localchat.text.vocabulary_spec import VocabularySpec, end_ids
from localchat.translation import _

Metadata = dict[str, Any]

# Values of tokenizer.ggml.token_type.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6

_PROBE = (
    "I'll say: WE'VE it's\tHello  world\n\n  x=1; y=12, z=123 and 1234567.89\r\n\r\n#include <a.h>//c\n"
    "camelCase HTTPServer Ünïcödé ﬁ Straße ǅ 你好，世界！我在北京住了3年。 こんにちは カタカナ 한국어 नमस्ते สวัสดี "
    "😀👍🏽 ~~~ $5.00 €7 a_b __init__ --x (y) [z] {q} ... ½ ² ١٢٣ e-mail@x.y  \u00a0\u3000 end   "
)
"""Cut into words differently by every two rules; composed, so that a normalizer leaves it alone."""


def vocabulary_metadata(text: ChatText, rows: int) -> tuple[Metadata, list[str]]:
    """What a GGUF file says of tokenizer and chat template, and sentences on what it cannot say.

    Args:
        rows: of the embedding; a smaller vocabulary is filled up, as llama.cpp wants one token for each.

    Raises:
        UnsupportedModel: the tokenizer is of a kind that GGUF files have not, or would read back as another one.
    """
    tokenizer = text.tokenizer
    files = tokenizer.files()
    notes: list[str] = []
    if tokenizer_json.FILE in files:
        data = json.loads(files[tokenizer_json.FILE])
        if data["model"].get("type") != "BPE":
            raise UnsupportedModel(
                _("A GGUF file cannot hold a tokenizer of the kind {kind!r}.").format(kind=data["model"].get("type"))
            )
        if tokenizer.spec.spelling == "byte_letters":
            library = tokenizer_json.library_tokenizer(files[tokenizer_json.FILE])
            keys = {"pre": _rule_name(library, bool(data["model"].get("ignore_merges")))}
            keys |= _byte_level(data, tokenizer.spec, rows)
            if data.get("normalizer") is not None:
                notes.append(_("A GGUF file cannot say how text is normalized before it is cut into tokens."))
        else:
            keys = _from_merges(data, tokenizer.spec, rows)
    else:
        pieces = read_pieces(files[sentencepiece_model.FILE])
        keys = _sentencepiece(pieces, tokenizer.spec, rows)
    keys |= _special_tokens(tokenizer.spec)
    metadata = {f"tokenizer.ggml.{key}": value for key, value in keys.items()}
    if tokenizer.spec.space_prefix == "first":
        notes.append(
            _("A GGUF file cannot say that a space belongs before the first word only, not after control tokens.")
        )
    if any(token.strip_left or token.strip_right for token in tokenizer.spec.control):
        notes.append(_("A GGUF file cannot say that white space beside some control tokens is dropped."))
    if not text.template.is_fallback:
        metadata["tokenizer.chat_template"] = text.template.source
    _check(tokenizer, metadata)
    return metadata, notes


def _check(tokenizer: Tokenizer, metadata: Metadata) -> None:
    again = tokenizer_from_gguf(metadata)
    if again.encode(_PROBE) != tokenizer.encode(_PROBE) or again.stop_ids != tokenizer.stop_ids:
        raise UnsupportedModel(
            _("A GGUF file cannot hold this model's tokenizer: it would cut text into other tokens.")
        )


def _byte_level(data: dict[str, Any], spec: VocabularySpec, rows: int) -> Metadata:
    tokens, types = _tokens(data, spec, rows)
    return {
        "model": "gpt2",
        "tokens": tokens,
        "token_type": types,
        "merges": [merge if isinstance(merge, str) else " ".join(merge) for merge in data["model"]["merges"]],
        "add_space_prefix": False,
    }


def _from_merges(data: dict[str, Any], spec: VocabularySpec, rows: int) -> Metadata:
    """SentencePiece in `tokenizer.json` form: of two merges the earlier one goes first, and so its score is higher."""
    tokens, types = _tokens(data, spec, rows)
    byte_names = {f"<0x{byte:02X}>" for byte in range(256)}
    types = [
        _BYTE if kind == _NORMAL and token in byte_names else kind for token, kind in zip(tokens, types, strict=True)
    ]
    unknown = data["model"].get("unk_token")
    if unknown in tokens:
        types[tokens.index(unknown)] = _UNKNOWN
    scores: dict[str, float] = {}
    for rank, merge in enumerate(data["model"]["merges"]):
        scores.setdefault("".join(merge.split(" ") if isinstance(merge, str) else merge), -float(rank))
    least = -float(len(data["model"]["merges"]))
    return {
        "model": "llama",
        "tokens": tokens,
        "scores": [scores.get(token, least) for token in tokens],
        "token_type": types,
        "add_space_prefix": spec.space_prefix != "never",
    }


def _sentencepiece(pieces: Sequence[ModelPiece], spec: VocabularySpec, rows: int) -> Metadata:
    control = {token.id for token in spec.control}
    filling = [ModelPiece(f"[PAD{id}]", 0.0, _UNUSED) for id in range(len(pieces), rows)]
    _check_rows(len(pieces), rows)
    return {
        "model": "llama",
        "tokens": [piece.text for piece in (*pieces, *filling)],
        "scores": [piece.score for piece in (*pieces, *filling)],
        "token_type": [_CONTROL if id in control else piece.kind for id, piece in enumerate((*pieces, *filling))],
        "unknown_token_id": next(id for id, piece in enumerate(pieces) if piece.kind == _UNKNOWN),
        "add_space_prefix": spec.space_prefix != "never",
    }


def _tokens(data: dict[str, Any], spec: VocabularySpec, rows: int) -> tuple[list[str], list[int]]:
    """Tokens and their types by id, from a parsed `tokenizer.json`."""
    found: dict[int, str] = {id: token for token, id in data["model"]["vocab"].items()}
    added = {int(token["id"]): token["content"] for token in data.get("added_tokens") or []}
    found |= added
    _check_rows(max(found) + 1, rows)
    control = {token.id for token in spec.control}
    types = [
        _CONTROL if id in control else _USER_DEFINED if id in added else _NORMAL if id in found else _UNUSED
        for id in range(rows)
    ]
    return [found.get(id, f"[PAD{id}]") for id in range(rows)], types


def _check_rows(tokens: int, rows: int) -> None:
    if tokens > rows:
        raise UnsupportedModel(
            _("The tokenizer has {tokens} tokens and the model knows {rows}, which a GGUF file cannot say.").format(
                tokens=tokens, rows=rows
            )
        )


def _special_tokens(spec: VocabularySpec) -> Metadata:
    keys: Metadata = {"add_bos_token": spec.adds_bos}
    for name, id in (("bos", spec.bos_id), ("eos", spec.eos_id)):
        if id is not None:
            keys[f"{name}_token_id"] = id
    more = sorted(spec.stop_ids - end_ids(spec.control, [spec.eos_id]))
    if len(more) > 2:
        raise UnsupportedModel(
            _("A GGUF file names at most 3 tokens that end a reply, and this model has {count}.").format(
                count=len(more) + 1
            )
        )
    keys |= dict(zip(("eot_token_id", "eom_token_id"), more, strict=False))
    return keys


def _rule_name(library: tokenizers.Tokenizer, ignore_merges: bool) -> str:
    """The name of the rule that cuts text into words as this tokenizer does.

    Raises:
        UnsupportedModel: there is none.
    """
    words = None if library.pre_tokenizer is None else library.pre_tokenizer.pre_tokenize_str(_PROBE)
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for name in rule_names():
        rule = pre_tokenizer(name)
        splits = [pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated") for pattern in rule.patterns]
        same = pre_tokenizers.Sequence([*splits, letters]).pre_tokenize_str(_PROBE) == words
        if same and rule.ignore_merges == ignore_merges:
            return name
    raise UnsupportedModel(_("The tokenizer cuts text into words by a rule that no GGUF file can name."))
