"""A tokenizer from the metadata of a GGUF file (`tokenizer.ggml.*`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from localchat.errors import BadWeights, UnsupportedModel
from localchat.text.pre_tokenizers import pre_tokenizer
from localchat.text.sentencepiece_model import PieceKind, SentencePieceTokenizer, model_message
from localchat.text.tokenizer import Tokenizer
from localchat.text.tokenizer_json import TokenizerJson
from localchat.text.vocabulary_spec import END_OF_GENERATION, ControlToken, Spelling, VocabularySpec, end_ids
from localchat.translation import _, mark

# Values of tokenizer.ggml.token_type; those of SentencePiece, and the format's documentation says so.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_PIECE_KINDS: dict[int, PieceKind] = {
    _NORMAL: "normal", _CONTROL: "control", _USER_DEFINED: "user_defined", _UNUSED: "unused", _BYTE: "byte"
}  # fmt: skip

_HINT = mark("The file is damaged or was converted wrongly; fetch it again.")


def tokenizer_from_gguf(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that a GGUF file describes.

    Raises:
        UnsupportedModel: a kind of vocabulary, or a rule for splitting words, that is not known here.
        BadWeights: lists are missing, of different lengths, or contradict each other.
    """
    keys = {key.removeprefix("tokenizer.ggml."): value for key, value in metadata.items() if "tokenizer.ggml." in key}
    kind = keys.get("model")
    try:
        if kind == "gpt2":
            return _byte_level(keys)
        if kind == "llama":
            return _sentencepiece(keys)
        if kind == "gemma4":
            return _gemma4(keys)
    except (TypeError, ValueError) as error:  # a text where a number should be, and the like
        raise BadWeights(_("The GGUF file's vocabulary is damaged ({error}).").format(error=error), _(_HINT)) from error
    if kind is None:
        raise BadWeights(_("The GGUF file has no vocabulary (tokenizer.ggml.model)."), _(_HINT))
    raise UnsupportedModel(
        _("The model's vocabulary is of the kind {kind!r}, which localchat does not know.").format(kind=kind)
    )


def _byte_level(keys: Mapping[str, Any]) -> Tokenizer:
    rule = pre_tokenizer(str(keys.get("pre", "default")))
    tokens, types = _tokens(keys)
    library = _bpe(keys, tokens, ignore_merges=rule.ignore_merges)
    splits = [pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated") for pattern in rule.patterns]
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.pre_tokenizer = pre_tokenizers.Sequence([*splits, letters])
    library.decoder = decoders.ByteLevel()
    spec = _spec(keys, tokens, types, adds_bos=rule.adds_bos, spelling="byte_letters", space_prefix=False)
    _add_whole_tokens(library, spec, tokens, types)
    return TokenizerJson(library, spec)


def _gemma4(keys: Mapping[str, Any]) -> Tokenizer:
    """Merges as in byte-level BPE, over characters spelled as SentencePiece spells them; never across lines."""
    tokens, types = _tokens(keys)
    unknown = _id(keys, "unknown_token_id", len(tokens))
    if unknown is None or types.count(_BYTE) != 256:
        raise BadWeights(_("The GGUF file's vocabulary lacks tokens for bytes, or one for what is unknown."), _(_HINT))
    library = _bpe(keys, tokens, unk_token=tokens[unknown], fuse_unk=True, byte_fallback=True)
    library.normalizer = normalizers.Replace(" ", "▁")
    library.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"\n+"), "isolated")
    library.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    space_prefix = _flag(keys, "add_space_prefix", False)
    spec = _spec(keys, tokens, types, adds_bos=True, spelling="sentencepiece", space_prefix=space_prefix)
    _add_whole_tokens(library, spec, tokens, types)
    return TokenizerJson(library, spec)


def _bpe(keys: Mapping[str, Any], tokens: Sequence[str], **options: Any) -> tokenizers.Tokenizer:
    """The library's tokenizer of the file's merges, which does nothing before and after."""
    vocabulary = {token: id for id, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise BadWeights(_("The GGUF file lists the same token twice."), _(_HINT))
    merges = _list(keys, "merges")
    try:
        # "a b": the first space after the first letter, because a token may begin with a space
        pairs = [(merge[: (cut := merge.index(" ", 1))], merge[cut + 1 :]) for merge in merges]
        return tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, **options))
    except Exception as error:  # the library raises plain Exception
        raise BadWeights(
            _("The GGUF file's list of merges is wrong ({error}).").format(error=error), _(_HINT)
        ) from error


def _add_whole_tokens(
    library: tokenizers.Tokenizer, spec: VocabularySpec, tokens: Sequence[str], types: Sequence[int]
) -> None:
    """Tokens that no merge makes."""
    control = {token.id for token in spec.control}
    library.add_tokens(
        [
            tokenizers.AddedToken(token, normalized=False, special=id in control)
            for id, (token, kind) in enumerate(zip(tokens, types, strict=True))
            if token and (id in control or kind == _USER_DEFINED)
        ]
    )


def _sentencepiece(keys: Mapping[str, Any]) -> Tokenizer:
    tokens, types = _tokens(keys)
    scores = [float(score) for score in _list(keys, "scores")]
    if len(scores) != len(tokens) or not all(map(math.isfinite, scores)):
        raise BadWeights(_("The GGUF file's list of scores does not fit its list of tokens."), _(_HINT))
    if _flag(keys, "remove_extra_whitespaces", False):
        raise UnsupportedModel(_("The model's vocabulary rewrites white space, which localchat does not support."))
    spec = _spec(
        keys, tokens, types, adds_bos=True, spelling="sentencepiece", space_prefix=_flag(keys, "add_space_prefix", True)
    )
    unknown = _id(keys, "unknown_token_id", len(tokens))
    if unknown is None:
        unknown = types.index(_UNKNOWN) if _UNKNOWN in types else 0
    control = {token.id for token in spec.control}

    def kind(id: int) -> PieceKind:
        # The library wants exactly one unknown piece; files mark padding as unknown, and the unknown piece as control.
        if id == unknown:
            return "unknown"
        return "control" if id in control else _PIECE_KINDS.get(types[id], "unused")

    pieces = [(token, scores[id], kind(id)) for id, token in enumerate(tokens)]
    model = model_message(pieces, unknown_id=unknown, byte_fallback=types.count(_BYTE) == 256)
    return SentencePieceTokenizer(model, spec)


def _spec(
    keys: Mapping[str, Any],
    tokens: Sequence[str],
    types: Sequence[int],
    *,
    adds_bos: bool,
    spelling: Spelling,
    space_prefix: bool,
) -> VocabularySpec:
    size = len(tokens)
    bos, eos = _id(keys, "bos_token_id", size), _id(keys, "eos_token_id", size)
    named = [eos, _id(keys, "eot_token_id", size), _id(keys, "eom_token_id", size)]
    special = {id for id in (bos, *named) if id is not None}
    control = tuple(
        ControlToken(id, token)
        for id, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind == _CONTROL or id in special or _ends_generation(token, kind)
    )
    return VocabularySpec(
        vocab_size=size,
        bos_id=bos,
        eos_id=eos,
        adds_bos=_flag(keys, "add_bos_token", adds_bos),
        stop_ids=end_ids(control, named),
        control=control,
        spelling=spelling,
        # llama.cpp, for which these files are made, puts the space after every control token too
        space_prefix="every" if space_prefix else "never",
        strips_space=space_prefix,
    )


def _ends_generation(token: str, kind: int) -> bool:
    """Whether a token that is not marked as a control token is one. An ordinary `</s>` is a word: HTML has that tag."""
    return token in END_OF_GENERATION and (kind == _USER_DEFINED or (kind == _NORMAL and token.startswith("<|")))


def _tokens(keys: Mapping[str, Any]) -> tuple[list[str], list[int]]:
    """Tokens and their types; an empty token gets a name that no text has, because libraries refuse empty ones."""
    tokens = [token or f"[EMPTY_{id}]" for id, token in enumerate(_list(keys, "tokens"))]
    if not tokens or not all(isinstance(token, str) for token in tokens):
        raise BadWeights(_("The GGUF file's list of tokens is not a list of texts."), _(_HINT))
    types = [int(kind) for kind in keys["token_type"]] if "token_type" in keys else [_NORMAL] * len(tokens)
    if len(types) != len(tokens):
        raise BadWeights(_("The GGUF file's list of token types does not fit its list of tokens."), _(_HINT))
    return tokens, types


def _list(keys: Mapping[str, Any], name: str) -> list[Any]:
    value = keys.get(name)
    if value is None or isinstance(value, (str, bytes, int, float)):
        raise BadWeights(_("The GGUF file has no list tokenizer.ggml.{name}.").format(name=name), _(_HINT))
    return list(value)


def _flag(keys: Mapping[str, Any], name: str, default: bool) -> bool:
    return bool(keys.get(name, default))


def _id(keys: Mapping[str, Any], name: str, vocab_size: int) -> int | None:
    """A token id of the metadata; some files carry nonsense like 0xFFFFFFFF for none."""
    value = keys.get(name)
    return int(value) if value is not None and 0 <= int(value) < vocab_size else None
