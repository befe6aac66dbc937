"""The pieces of a SentencePiece model, as GGUF lists them: the protocol buffer read field by field.

The library tells text and score of a piece, but not whether a user defined it, nor how the model cuts words.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from localchat.errors import BadWeights, UnsupportedModel
from localchat.text.sentencepiece_model import FILE
from localchat.translation import _

_PIECES, _TRAINER = 1, 2  # fields of ModelProto
_NORMAL, _UNKNOWN = 1, 2  # SentencePiece.Type
_BPE = 2  # TrainerSpec.ModelType
_MODEL_TYPE = 3  # field of TrainerSpec


@dataclass(frozen=True, slots=True)
class ModelPiece:
    """One piece; `kind` has the values of SentencePiece.Type, which are those of `tokenizer.ggml.token_type`."""

    text: str
    score: float
    kind: int


def read_pieces(model: bytes) -> list[ModelPiece]:
    """All pieces in the order of their ids.

    Raises:
        UnsupportedModel: the model cuts words otherwise than by merging pairs, which GGUF files cannot say.
        BadWeights: the bytes are not a SentencePiece model.
    """
    pieces, kind = [], 1
    for field, value in _fields(model):
        if field == _PIECES and isinstance(value, bytes):
            pieces.append(_piece(value))
        elif field == _TRAINER and isinstance(value, bytes):
            kind = next((number for key, number in _fields(value) if key == _MODEL_TYPE and type(number) is int), kind)
    if kind != _BPE:
        raise UnsupportedModel(
            _("{file} is not of the kind BPE, and no other kind can be written to a GGUF file.").format(file=FILE)
        )
    return pieces


def _piece(message: bytes) -> ModelPiece:
    text, score, kind = "", 0.0, _NORMAL
    for field, value in _fields(message):
        if field == 1 and isinstance(value, bytes):
            text = value.decode()
        elif field == 2 and isinstance(value, bytes):
            (score,) = struct.unpack("<f", value)
        elif field == 3 and isinstance(value, int):
            kind = value
    return ModelPiece(text, score, kind)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field: varints as numbers, all else as bytes."""
    at = 0
    try:
        while at < len(message):
            key, at = _varint(message, at)
            if key & 7 == 0:
                value, at = _varint(message, at)
                yield key >> 3, value
                continue
            size = {1: 8, 5: 4}.get(key & 7)
            if size is None:
                size, at = _varint(message, at)
            if key & 7 not in (1, 2, 5) or at + size > len(message):
                raise IndexError
            yield key >> 3, message[at : at + size]
            at += size
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise BadWeights(
            _("{file} is damaged.").format(file=FILE), _("Remove the model and import it again.")
        ) from error


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
