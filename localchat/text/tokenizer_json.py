"""Tokenizers of the library `tokenizers`: byte-level BPE, and SentencePiece vocabularies in `tokenizer.json` form.

Byte-level vocabularies from GGUF files give every text back as it was. A `tokenizer.json` may bring a normalizer of its
own (Qwen's composes accents, NFC), which is applied as the model was trained with it.
"""

from __future__ import annotations

import json
import re
from typing import Any

import tokenizers

from localchat.errors import BadWeights, UnsupportedModel
from localchat.text.byte_letters import LETTER_OF_BYTE, bytes_of_letters
from localchat.text.tokenizer import Tokenizer
from localchat.text.vocabulary_spec import Spelling, VocabularySpec
from localchat.translation import _

FILE = "tokenizer.json"

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE = "▁"  # U+2581, SentencePiece's visible space


class TokenizerJson(Tokenizer):
    """A `tokenizers.Tokenizer`, held to the house rule that text never becomes a control token.

    Args:
        library: its control tokens must be marked `special`.
    """

    def __init__(self, library: tokenizers.Tokenizer, spec: VocabularySpec) -> None:
        super().__init__(spec)
        self._library = library
        self._library.encode_special_tokens = True  # as text, that is
        self._byte_level = spec.spelling == "byte_letters"
        self._added = {id: token.content for id, token in library.get_added_tokens_decoder().items()}

    def _encode_text(self, text: str, *, first: bool) -> list[int]:
        wanted = self.spec.space_prefix == "every" or (first and self.spec.space_prefix == "first")
        if wanted and not text.startswith((" ", _SPACE)):
            text = " " + text
        ids: list[int] = self._library.encode(text, add_special_tokens=False).ids
        return ids

    def _spell(self, id: int) -> list[int]:
        token = self._library.id_to_token(id) or ""
        if self._byte_level:
            names = [LETTER_OF_BYTE[byte] for byte in bytes_of_letters(token)]
        else:
            names = [f"<0x{byte:02X}>" for byte in token.replace(_SPACE, " ").encode()]
        found = (self._library.token_to_id(name) for name in names)
        return [id for id in found if id is not None]

    def _read_bytes(self, id: int) -> bytes:
        if (added := self._added.get(id)) is not None:
            return added.encode()
        token = self._library.id_to_token(id) if 0 <= id < self.vocab_size else None
        if token is None:
            return b""
        if self._byte_level:
            return bytes_of_letters(token)
        if match := _BYTE_TOKEN.fullmatch(token):
            return bytes([int(match[1], 16)])
        return token.replace(_SPACE, " ").encode()

    def _library_files(self) -> dict[str, bytes]:
        data = json.loads(self._library.to_str())
        merges = data["model"].get("merges", [])
        if not any(" " in part for pair in merges for part in pair):
            # The older form, "a b" instead of ["a", "b"]: every version reads it, and a third faster.
            data["model"]["merges"] = [" ".join(pair) for pair in merges]
        return {FILE: json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()}


def library_tokenizer(data: str | bytes) -> tokenizers.Tokenizer:
    """The library's tokenizer of a `tokenizer.json`.

    Raises:
        BadWeights: the library cannot read it.
    """
    try:
        return tokenizers.Tokenizer.from_buffer(data.encode() if isinstance(data, str) else data)
    except Exception as error:  # the library raises plain Exception
        raise BadWeights(
            _("{file} cannot be read ({error}).").format(file=FILE, error=error), _("Fetch the model again.")
        ) from error


def spelling(decoder: Any) -> Spelling:
    """How tokens are spelled, told from the `decoder` of a parsed `tokenizer.json`.

    Raises:
        UnsupportedModel: in no way that is known here.
    """
    kinds = [step.get("type") for step in _steps(decoder)]
    if kinds == ["ByteLevel"]:
        return "byte_letters"
    if kinds and set(kinds) <= {"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"}:
        return "sentencepiece"
    raise UnsupportedModel(
        _("{file}: unknown decoder {decoder}.").format(file=FILE, decoder=json.dumps(decoder, ensure_ascii=False)[:80])
    )


def strips_space(decoder: Any) -> bool:
    """Whether that `decoder` drops one space at the beginning of a text."""
    for step in _steps(decoder):
        if step.get("type") == "Strip" and step.get("content") == " " and step.get("start") == 1:
            return True
        if step.get("type") == "Metaspace" and step.get("prepend_scheme", "always") != "never":
            return True
    return False


def _steps(component: Any) -> list[dict[str, Any]]:
    """The parts of a `Sequence` of decoders, or the decoder alone."""
    if not isinstance(component, dict):
        return []
    if component.get("type") == "Sequence":
        return [part for part in component.get("decoders", []) if isinstance(part, dict)]
    return [component]
