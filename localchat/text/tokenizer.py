"""What every tokenizer can do, whatever library and file stand behind it.

Plain text never becomes a control token: `encode("<|im_end|>")` gives the ids of those ten characters. Only pieces that
are explicitly control tokens (in a rendered chat template) become their ids.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from localchat.errors import StorageFailed
from localchat.text.vocabulary_spec import ControlToken, VocabularySpec
from localchat.translation import _

SPEC_FILE = "text.json"

Piece = str | ControlToken


class Tokenizer(ABC):
    """Text to ids and back."""

    def __init__(self, spec: VocabularySpec) -> None:
        self.spec = spec
        self.vocab_size = spec.vocab_size
        self.bos_id = spec.bos_id
        self.eos_id = spec.eos_id
        self.adds_bos = spec.adds_bos and spec.bos_id is not None
        self.stop_ids = spec.stop_ids
        self.strips_space = spec.strips_space
        self.control_ids = frozenset(token.id for token in spec.control)
        self._control_by_text = {token.text: token for token in spec.control if token.text}
        # Longest first, so that a token wins over another that is its beginning.
        names = sorted(self._control_by_text, key=len, reverse=True)
        self._control_pattern = re.compile(f"({'|'.join(map(re.escape, names))})" if names else r"(?!)()")
        self._bytes: dict[int, bytes] = {}

    # --- text to ids ---------------------------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """Ids of plain text, without a beginning-of-text token; whatever the text says, none is a control token."""
        return self.encode_pieces([text])

    def encode_after(self, text: str) -> list[int]:
        """Ids of plain text that goes on with what stands before it."""
        return self._plain(_well_formed(text), first=False) if text else []

    def encode_with_specials(self, text: str) -> list[int]:
        """Ids of text in which the names of control tokens are control tokens. For text of our own only."""
        return self.encode_pieces(self.split_at_specials(text))

    def split_at_specials(self, text: str) -> list[Piece]:
        """Cut `text` at the names of control tokens; text pieces are never empty."""
        pieces: list[Piece] = []
        for index, part in enumerate(self._control_pattern.split(text)):
            if part:
                pieces.append(self._control_by_text[part] if index % 2 else part)
        return pieces

    def encode_pieces(self, pieces: Iterable[Piece]) -> list[int]:
        """Ids of text pieces (plain text, see `encode`) and control tokens, in order."""
        return [id for ids in self.encode_each(pieces) for id in ids]

    def encode_each(self, pieces: Iterable[Piece]) -> Iterator[list[int]]:
        """What `encode_pieces` gives, piece by piece."""
        sequence = list(pieces)
        for index, piece in enumerate(sequence):
            if isinstance(piece, ControlToken):
                yield [piece.id]
                continue
            text = _well_formed(piece)
            before, after = sequence[index - 1] if index else None, sequence[index + 1 : index + 2]
            if isinstance(before, ControlToken) and before.strip_right:
                text = text.lstrip()
            if after and isinstance(after[0], ControlToken) and after[0].strip_left:
                text = text.rstrip()
            yield self._plain(text, first=index == 0) if text else []

    def control_token(self, text: str) -> ControlToken | None:
        """The control token of this name."""
        return self._control_by_text.get(text)

    def token_text(self, id: int | None) -> str:
        """Name of a token as templates write it, control tokens included; empty for None."""
        if id is None:
            return ""
        for token in self.spec.control:
            if token.id == id:
                return token.text
        return self.token_bytes(id).decode("utf-8", "replace")

    def _plain(self, text: str, *, first: bool) -> list[int]:
        ids = self._encode_text(text, first=first)
        if self.control_ids.isdisjoint(ids):
            return ids
        # A vocabulary whose merges end in a control token: spell those bytes one by one instead.
        spelled: list[int] = []
        for id in ids:
            spelled += self._spell(id) if id in self.control_ids else [id]
        return [id for id in spelled if id not in self.control_ids]

    @abstractmethod
    def _encode_text(self, text: str, *, first: bool) -> list[int]:
        """Ids of non-empty plain text; `first`: nothing stands before it."""

    @abstractmethod
    def _spell(self, id: int) -> list[int]:
        """The bytes of a token as single-byte tokens, as far as the vocabulary has them."""

    # --- ids to text ---------------------------------------------------------------------------------------------

    def token_bytes(self, id: int) -> bytes:
        """The bytes that a token stands for, UTF-8 or a part of it; none for control tokens and unknown ids."""
        known = self._bytes.get(id)
        if known is None:
            known = self._bytes[id] = b"" if id in self.control_ids else self._read_bytes(id)
        return known

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids; control tokens give none, bytes that are no UTF-8 give U+FFFD."""
        data = b"".join(map(self.token_bytes, ids))
        if self.strips_space:
            data = data.removeprefix(b" ")
        return data.decode("utf-8", "replace")

    @abstractmethod
    def _read_bytes(self, id: int) -> bytes:
        """`token_bytes` of a token that is not a control token; no bytes for an id outside the vocabulary."""

    # --- on disk -------------------------------------------------------------------------------------------------

    @abstractmethod
    def _library_files(self) -> dict[str, bytes]:
        """`tokenizer.json` or `tokenizer.model`."""

    def files(self) -> dict[str, bytes]:
        """Name and content of the files from which `load_tokenizer` makes this tokenizer again, exactly."""
        spec = json.dumps(self.spec.to_dict(), ensure_ascii=False, indent=1)
        return {SPEC_FILE: spec.encode(), **self._library_files()}

    def save(self, folder: Path) -> None:
        """Write `files` into `folder`.

        Raises:
            StorageFailed: the folder cannot be written.
        """
        write_files(folder, self.files())


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` (name and content) into `folder`, which is made if need be.

    Raises:
        StorageFailed: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise StorageFailed(
            _("{folder} cannot be written ({reason}).").format(folder=folder, reason=error.strerror or error)
        ) from error


def _well_formed(text: str) -> str:
    """`text` with surrogate pairs joined and lone surrogates, which no UTF-8 can hold, replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
