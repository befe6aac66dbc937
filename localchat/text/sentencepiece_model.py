"""Tokenizers of the library `sentencepiece`, from a `tokenizer.model` or from the pieces that a GGUF file lists.

The file format is a protocol buffer. Ours is written by hand, field by field, because the few fields that are needed
do not justify the protobuf runtime. Appending fields to a protocol buffer is a valid edit: lists grow, values change.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Literal

import sentencepiece

from localchat.errors import BadWeights, UnsupportedModel
from localchat.text.tokenizer import Tokenizer
from localchat.text.vocabulary_spec import VocabularySpec
from localchat.translation import _

FILE = "tokenizer.model"

PieceKind = Literal["normal", "unknown", "control", "user_defined", "unused", "byte"]
_KINDS: dict[PieceKind, int] = {
    "normal": 1, "unknown": 2, "control": 3, "user_defined": 4, "unused": 5, "byte": 6
}  # fmt: skip
_BPE = 2  # TrainerSpec.ModelType
_SPACE = "▁"


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece model.

    Args:
        model: the serialized ModelProto; it must not add a space prefix itself (`without_space_prefix`), because where
            one belongs depends on what stands before the text.

    Raises:
        BadWeights: the library cannot read it.
    """

    def __init__(self, model: bytes, spec: VocabularySpec) -> None:
        super().__init__(spec)
        self._model = model
        self._library = load_processor(model)
        self._pieces: int = self._library.get_piece_size()

    def _encode_text(self, text: str, *, first: bool) -> list[int]:
        if self.spec.space_prefix == "every" or (first and self.spec.space_prefix == "first"):
            text = " " + text
        ids: list[int] = self._library.encode(text)
        return ids

    def _spell(self, id: int) -> list[int]:
        piece: str = self._library.id_to_piece(id)
        ids = [self._library.piece_to_id(f"<0x{byte:02X}>") for byte in piece.replace(_SPACE, " ").encode()]
        return [id for id in ids if id != self._library.unk_id()]

    def _read_bytes(self, id: int) -> bytes:
        if not 0 <= id < self._pieces or self._library.is_unused(id):
            return b""
        if self._library.is_unknown(id):
            return "\N{REPLACEMENT CHARACTER}".encode()
        piece: str = self._library.id_to_piece(id)
        if self._library.is_byte(id):
            return bytes([int(piece[1:-1], 16)])
        return piece.replace(_SPACE, " ").encode()

    def _library_files(self) -> dict[str, bytes]:
        return {FILE: self._model}


def load_processor(model: bytes) -> sentencepiece.SentencePieceProcessor:
    """The library's tokenizer.

    Raises:
        BadWeights: it is not a SentencePiece model.
    """
    try:
        return sentencepiece.SentencePieceProcessor(model_proto=model)
    except (RuntimeError, TypeError, ValueError) as error:
        raise BadWeights(
            _("{file} cannot be read ({error}).").format(file=FILE, error=error), _("Fetch the model again.")
        ) from error


def adds_space_prefix(processor: sentencepiece.SentencePieceProcessor) -> bool:
    """Whether the model puts a space before text.

    Raises:
        UnsupportedModel: it rewrites white space in any other way; a chat model that did could not read code.
    """
    normal = processor.normalize(" a  b")
    if normal == f"{_SPACE}a{_SPACE}{_SPACE}b":
        return False
    if normal == f"{_SPACE}{_SPACE}a{_SPACE}{_SPACE}b":
        return True
    raise UnsupportedModel(_("{file} rewrites white space, which localchat does not support.").format(file=FILE))


def without_space_prefix(model: bytes) -> bytes:
    """`model` with `normalizer_spec.add_dummy_prefix` off."""
    return model + _message(3, _number(3, 0))


def with_space_prefix(model: bytes) -> bytes:
    """`model` with `normalizer_spec.add_dummy_prefix` on, as a checkpoint has it."""
    return model + _message(3, _number(3, 1))


def pieces_message(pieces: Iterable[tuple[str, float, PieceKind]]) -> bytes:
    """Pieces (text, score, kind) to append to a model, in the order of their ids."""
    return b"".join(
        _message(1, _text(1, text) + _float(2, score) + _number(3, _KINDS[kind])) for text, score, kind in pieces
    )


def model_message(pieces: Iterable[tuple[str, float, PieceKind]], *, unknown_id: int, byte_fallback: bool) -> bytes:
    """A BPE model of these pieces, without normalization and without space prefix."""
    absent = (1 << 64) - 1  # -1 as a varint
    trainer = b"".join(
        [
            _number(3, _BPE),
            _number(35, int(byte_fallback)),
            _number(40, unknown_id),
            *(_number(field, absent) for field in (41, 42, 43)),  # beginning, end, padding: our business
        ]
    )
    normalizer = _text(1, "identity") + _number(3, 0) + _number(4, 0) + _number(5, 1)
    return pieces_message(pieces) + _message(2, trainer) + _message(3, normalizer)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())
