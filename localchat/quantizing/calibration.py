"""The text that a model reads while it is quantized, as chunks of tokens."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from localchat.errors import InvalidSetting
from localchat.paths import assets_dir
from localchat.text.tokenizer import Tokenizer
from localchat.translation import _

CHUNK_TOKENS = 512
_MOST_CHUNKS = 32  # of all files together: more tokens gain next to nothing and cost time in proportion
_FEWEST_CHUNKS = 2
_OWN_NAMES = ("english.txt", "chinese.txt")


@dataclass(frozen=True, slots=True)
class Calibration:
    """Chunks of `CHUNK_TOKENS` token ids, int64, and what quantization.json says of them."""

    chunks: list[Tensor]
    name: str
    sha256: str

    def about(self) -> dict[str, str | int]:
        return {"text": self.name, "sha256": self.sha256, "tokens": len(self.chunks) * CHUNK_TOKENS}


def load_calibration(tokenizer: Tokenizer, file: Path | None = None) -> Calibration:
    """The user's text, or English and Chinese of our own, about as many tokens of one as of the other.

    Raises:
        InvalidSetting: the file cannot be read, is no text in UTF-8, or is too short.
    """
    files = [file] if file is not None else [assets_dir() / "calibration" / name for name in _OWN_NAMES]
    contents = [_read(path) for path in files]
    by_file = [_chunks(tokenizer, content.decode("utf-8-sig")) for content in contents]
    each = min(_MOST_CHUNKS // len(files), *(len(chunks) for chunks in by_file))
    if each * len(files) < _FEWEST_CHUNKS:
        raise InvalidSetting(
            _("The calibration text has fewer than {least} tokens.").format(least=_FEWEST_CHUNKS * CHUNK_TOKENS),
            _("Give a longer one; about 16,000 tokens are useful."),
        )
    # In turns, so that the first few chunks are of every kind.
    turns = zip(*(_spread(chunks, each) for chunks in by_file), strict=True)
    chunks = [chunk for turn in turns for chunk in turn]
    name = file.name if file is not None else " and ".join(_OWN_NAMES)
    return Calibration(chunks, name, hashlib.sha256(b"\0".join(contents)).hexdigest())


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidSetting(
            _("{path} is not text in UTF-8.").format(path=path), _("Convert it first, for example with iconv.")
        ) from error
    except OSError as error:
        raise InvalidSetting(_("{path} cannot be read: {reason}.").format(path=path, reason=error.strerror)) from error
    return content


def _chunks(tokenizer: Tokenizer, text: str) -> list[Tensor]:
    ids = torch.tensor(tokenizer.encode(text))
    chunks = [chunk.clone() for chunk in torch.split(ids, CHUNK_TOKENS) if len(chunk) == CHUNK_TOKENS]
    if tokenizer.adds_bos and tokenizer.bos_id is not None:
        for chunk in chunks:
            chunk[0] = tokenizer.bos_id
    return chunks


def _spread(chunks: list[Tensor], count: int) -> list[Tensor]:
    """`count` of them, evenly over the whole."""
    return [chunks[place * len(chunks) // count] for place in range(count)]
