"""A GGUF file that lies or is damaged: one clear sentence, never another exception, never a long wait."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import gguf_writing as writing
import pytest

from localchat.errors import BadWeights, LocalChatError, UnsupportedModel
from localchat.weights.gguf_file import GGUFFile

U32, U64 = struct.Struct("<I").pack, struct.Struct("<Q").pack
HUGE = (1 << 64) - 1
ARRAY, STRING, F32 = 9, 8, 6


def array(kind: int, count: int, content: bytes = b"") -> bytes:
    return U32(kind) + U64(count) + content


DAMAGED = {
    "no bytes": b"",
    "one byte": b"G",
    "another format": b"PK\3\4" + bytes(64),
    "nothing after the magic": b"GGUF",
    "no counts": b"GGUF" + U32(3),
    "more tensors than bytes": writing.header([], [], counts=(1 << 40, 0)),
    "more tensors than numbers": writing.header([], [], counts=(HUGE, 0)),
    "more metadata than bytes": writing.header([], [], counts=(0, HUGE)),
    "an endless key": writing.header([U64(HUGE) + bytes(32)], []),
    "a key that is not text": writing.header([writing.entry(b"\xff\xfe", 4, U32(1))], []),
    "a key twice": writing.header([writing.entry("a", 4, U32(1))] * 2, []),
    "an unknown metadata type": writing.header([writing.entry("a", 13, bytes(8))], []),
    "a long name before the damage": writing.header([writing.entry("k" * 9000, 99, b"")], []),
    "a name of several lines before the damage": writing.header([writing.entry("a\nb", 99, b"")], []),
    "a bool of 2": writing.header([writing.entry("a", 7, b"\2")], []),
    "bools of 2": writing.header([writing.entry("a", ARRAY, array(7, 2, b"\1\2"))], []),
    "an endless string": writing.header([writing.entry("a", STRING, U64(1 << 62))], []),
    "a string that is not text": writing.header([writing.entry("a", STRING, writing.string(b"\xc3("))], []),
    "an endless array of numbers": writing.header([writing.entry("a", ARRAY, array(F32, 1 << 62))], []),
    "an endless array of strings": writing.header([writing.entry("a", ARRAY, array(STRING, 1 << 61))], []),
    "an endless string in an array": writing.header(
        [writing.entry("a", ARRAY, array(STRING, 2, writing.string("b") + U64(HUGE) + bytes(16)))], []
    ),
    "a short array of strings": writing.header([writing.entry("a", ARRAY, array(STRING, 1, U64(1) + b"bcdefg"))], [])[
        :-6
    ],
    "strings that are not text": writing.header(
        [writing.entry("a", ARRAY, array(STRING, 2, writing.string("b") + writing.string(b"\xff")))], []
    ),
    "arrays in arrays": writing.header([writing.entry("a", ARRAY, array(ARRAY, 1) * 5000)], []),
    "an unknown array type": writing.header([writing.entry("a", ARRAY, array(99, 1, bytes(8)))], []),
    "an alignment of 0": writing.header([writing.entry("general.alignment", 4, U32(0))], []),
    "an alignment of 3": writing.header([writing.entry("general.alignment", 4, U32(3))], []),
    "an alignment that is text": writing.header([writing.entry("general.alignment", STRING, writing.string("32"))], []),
    "a tensor twice": writing.header([], [writing.tensor("w", [1], 0, 0)] * 2) + bytes(64),
    "a tensor without dimensions": writing.header([], [writing.tensor("w", [], 0, 0) + bytes(8)]) + bytes(64),
    "a tensor of 5 dimensions": writing.header([], [writing.tensor("w", [1] * 5, 0, 0)]) + bytes(64),
    "a tensor of 4 billion dimensions": writing.header([], [writing.string("w") + b"\xff" * 4 + bytes(64)]),
    "a dimension of 0": writing.header([], [writing.tensor("w", [4, 0], 0, 0)]) + bytes(64),
    "dimensions whose product overflows": writing.header([], [writing.tensor("w", [1 << 33, 1 << 33], 0, 0)])
    + bytes(64),
    "a row that is no whole block": writing.header([], [writing.tensor("w", [48, 2], 2, 0)]) + bytes(256),
    "an unknown tensor type": writing.header([], [writing.tensor("w", [32], 12345, 0)]) + bytes(256),
    "an offset out of line": writing.header([], [writing.tensor("w", [4], 0, 4)]) + bytes(256),
    "an offset outside": writing.header([], [writing.tensor("w", [4], 0, 1 << 40)]) + bytes(256),
    "an offset that overflows": writing.header([], [writing.tensor("w", [4], 0, HUGE - 31)]) + bytes(256),
    "no data": writing.header([], [writing.tensor("w", [4], 0, 0)]),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_file_is_refused_in_one_sentence(what: str, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(DAMAGED[what])
    with pytest.raises(BadWeights) as raised:
        GGUFFile(path)
    assert str(path) in raised.value.message
    assert raised.value.message.endswith(".")
    assert "\n" not in raised.value.message
    assert len(raised.value.message) < len(str(path)) + 200


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.gguf", tmp_path):
        with pytest.raises(BadWeights, match="cannot be read"):
            GGUFFile(path)


@pytest.mark.parametrize(("number", "name"), [(10, "Q2_K"), (20, "IQ4_NL"), (23, "IQ4_XS"), (28, "F64")])
def test_a_type_that_cannot_be_read_is_named(number: int, name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(writing.header([], [writing.tensor("w", [256], number, 0)]) + bytes(4096))
    with pytest.raises(UnsupportedModel, match=name):
        GGUFFile(path)


@pytest.mark.parametrize("version", [1, 4, 0x03000000])
def test_another_version_is_said_to_be_unsupported(version: int, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(writing.header([], [], version=version))
    with pytest.raises(UnsupportedModel, match="big-endian" if version > 4 else f"version {version}"):
        GGUFFile(path)


def read_all(path: Path) -> None:
    file = GGUFFile(path)
    for name in file.tensors:
        file.float32(name)


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    kinds = ["F32", "Q4_1", "Q6_K"]
    tensors = {f"blk.0.{kind}": (kind, writing.random_rows(kind, 3, 256, seed=1)) for kind in kinds}
    return writing.write_gguf(tmp_path / "whole.gguf", tensors).read_bytes()


def test_a_file_cut_anywhere_is_refused(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    end = len(whole.rstrip(b"\0"))  # the padding after the last tensor may be absent
    header_size = whole.index(b"blk.0.Q6_K") + 50
    for size in [*range(0, header_size, 3), *range(header_size, end, 97), end - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(BadWeights):
            GGUFFile(path)


@pytest.mark.parametrize("seed", range(20))
def test_random_damage_to_the_header_never_raises_anything_else(seed: int, whole: bytes, tmp_path: Path) -> None:
    chance = random.Random(seed)
    header_size = whole.index(b"blk.0.Q6_K") + 50
    path = tmp_path / "flipped.gguf"
    refused = 0
    for _ in range(100):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 8))):
            damaged[chance.randrange(header_size)] = chance.choice((0, 255, chance.randrange(256)))
        if chance.random() < 0.2:
            del damaged[chance.randrange(header_size) :]
        path.write_bytes(damaged)
        try:
            read_all(path)
        except LocalChatError as error:
            assert isinstance(error, BadWeights | UnsupportedModel)
            refused += 1
    assert refused > 20  # the others hit a value that may be anything, such as a letter of a word
