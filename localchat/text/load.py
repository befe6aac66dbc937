"""The doors of this package: tokenizer and chat template of a folder or of GGUF metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localchat.errors import BadWeights
from localchat.text import sentencepiece_model, tokenizer_json
from localchat.text.chat_template import ChatTemplate, fallback_template
from localchat.text.gguf_vocabulary import tokenizer_from_gguf
from localchat.text.hugging_face import read_file, template_from_checkpoint, tokenizer_from_checkpoint
from localchat.text.sentencepiece_model import SentencePieceTokenizer
from localchat.text.tokenizer import SPEC_FILE, Tokenizer
from localchat.text.tokenizer_json import TokenizerJson, library_tokenizer
from localchat.text.vocabulary_spec import VocabularySpec
from localchat.translation import _

TEMPLATE_FILE = "chat_template.jinja"

__all__ = [
    "load_template", "load_tokenizer", "template_from_gguf", "text_files", "tokenizer_from_gguf"
]  # fmt: skip


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder of ours, or of a Hugging Face checkpoint.

    Raises:
        BadWeights: files are missing or damaged.
        UnsupportedModel: it is of a kind that is not known here.
    """
    if not (folder / SPEC_FILE).is_file():
        return tokenizer_from_checkpoint(folder)
    try:
        data = json.loads(read_file(folder / SPEC_FILE))
    except ValueError as error:
        raise BadWeights(
            _("{spec_file} is damaged ({error}).").format(spec_file=folder / SPEC_FILE, error=error),
            _("Import the model again."),
        ) from error
    spec = VocabularySpec.from_dict(data)
    if (folder / tokenizer_json.FILE).is_file():
        return TokenizerJson(library_tokenizer(read_file(folder / tokenizer_json.FILE)), spec)
    return SentencePieceTokenizer(read_file(folder / sentencepiece_model.FILE), spec)


def load_template(folder: Path, tokenizer: Tokenizer) -> ChatTemplate:
    """The chat template of a model folder of ours or of a Hugging Face checkpoint; a fallback where there is none.

    Raises:
        BadTemplate: it cannot be parsed.
    """
    return _template(template_from_checkpoint(folder), tokenizer)


def template_from_gguf(metadata: Mapping[str, Any], tokenizer: Tokenizer) -> ChatTemplate:
    """The chat template of a GGUF file; a fallback where there is none.

    Raises:
        BadTemplate: it cannot be parsed.
    """
    source = metadata.get("tokenizer.chat_template")
    return _template(source if isinstance(source, str) else None, tokenizer)


def text_files(tokenizer: Tokenizer, template: ChatTemplate) -> dict[str, bytes]:
    """Name and content of all files of a model folder that have to do with text."""
    own = {} if template.is_fallback else {TEMPLATE_FILE: template.source.encode()}
    return {**tokenizer.files(), **own}


def _template(source: str | None, tokenizer: Tokenizer) -> ChatTemplate:
    if source is None:
        return fallback_template(tokenizer)
    bos, eos = tokenizer.token_text(tokenizer.bos_id), tokenizer.token_text(tokenizer.eos_id)
    return ChatTemplate(source, bos_token=bos, eos_token=eos)
