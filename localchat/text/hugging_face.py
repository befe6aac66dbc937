"""Tokenizer and chat template from a Hugging Face checkpoint folder.

`tokenizer.json` wins over `tokenizer.model` where both are there, as it does in transformers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from localchat.errors import BadWeights
from localchat.text import sentencepiece_model, tokenizer_json
from localchat.text.sentencepiece_model import PieceKind, SentencePieceTokenizer
from localchat.text.tokenizer import Tokenizer
from localchat.text.tokenizer_json import TokenizerJson
from localchat.text.vocabulary_spec import END_OF_GENERATION, ControlToken, SpacePrefix, VocabularySpec, end_ids
from localchat.translation import _


def tokenizer_from_checkpoint(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint folder.

    Raises:
        BadWeights: there is none, or its files are damaged.
        UnsupportedModel: it is of a kind that is not known here.
    """
    try:
        if (folder / tokenizer_json.FILE).is_file():
            return _from_tokenizer_json(folder)
        if (folder / sentencepiece_model.FILE).is_file():
            return _from_sentencepiece(folder)
    except (TypeError, KeyError, ValueError, AttributeError) as error:  # a text where an object should be, and the like
        raise BadWeights(
            _("The tokenizer files in {folder} are damaged ({error}).").format(folder=folder, error=error),
            _("Fetch them again."),
        ) from error
    raise BadWeights(
        _("{folder} has neither tokenizer.json nor tokenizer.model.").format(folder=folder),
        _("Fetch the whole repository."),
    )


def template_from_checkpoint(folder: Path) -> str | None:
    """Source of the folder's chat template; of several named ones, the default."""
    if (file := folder / "chat_template.jinja").is_file():
        return read_file(file).decode("utf-8", "replace")
    for name in ("chat_template.json", "tokenizer_config.json"):
        template = _json(folder / name).get("chat_template")
        if isinstance(template, list):
            named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
            template = named.get("default", next(iter(named.values()), None))
        if isinstance(template, str):
            return template
    return None


def _from_tokenizer_json(folder: Path) -> Tokenizer:
    raw = read_file(folder / tokenizer_json.FILE)
    data = _object(raw, tokenizer_json.FILE)
    names = _SpecialNames(folder)
    spelling = tokenizer_json.spelling(data.get("decoder"))
    space_prefix = _take_space_prefix(data)
    added = {int(token["id"]): token for token in data.get("added_tokens") or []}
    ids = {str(token["content"]): id for id, token in added.items()}
    library = tokenizer_json.library_tokenizer(raw if space_prefix == "never" else json.dumps(data))
    library.no_truncation()
    library.no_padding()

    def id_of(name: str | None) -> int | None:
        return None if name is None else ids.get(name, library.token_to_id(name))

    bos, eos = id_of(names.bos), id_of(names.eos)
    named = [eos, *names.end_ids]
    special = {id for id in (bos, *named) if id is not None}
    control = []
    for id in sorted(special | added.keys()):
        token = added.get(id) or {"content": library.id_to_token(id)}
        text = token["content"]
        if text and (id in special or token.get("special") or text in END_OF_GENERATION):
            control.append(ControlToken(id, text, bool(token.get("lstrip")), bool(token.get("rstrip"))))
    library.add_special_tokens([_added_token(token) for token in control])
    first = library.encode("", add_special_tokens=True).ids[:1]
    spec = VocabularySpec(
        vocab_size=max([library.get_vocab_size(), *(id + 1 for id in added)]),
        bos_id=bos,
        eos_id=eos,
        adds_bos=names.adds_bos if names.adds_bos is not None else (bos is not None and first == [bos]),
        stop_ids=end_ids(control, named),
        control=tuple(control),
        spelling=spelling,
        space_prefix=space_prefix,
        strips_space=tokenizer_json.strips_space(data.get("decoder")),
    )
    return TokenizerJson(library, spec)


def _added_token(token: ControlToken) -> AddedToken:
    return AddedToken(token.text, normalized=False, special=True, lstrip=token.strip_left, rstrip=token.strip_right)


def _take_space_prefix(data: dict[str, Any]) -> SpacePrefix:
    """Move the prefix of the very first word from the library to us: it cannot know what stands before a piece."""
    component = data.get("pre_tokenizer") or {}
    found: SpacePrefix = "never"
    for step in component.get("pretokenizers", [component]):
        if step.get("type") == "Metaspace" and step.get("prepend_scheme") == "first":
            step["prepend_scheme"] = "never"
            found = "first"
    return found


def _from_sentencepiece(folder: Path) -> Tokenizer:
    model = read_file(folder / sentencepiece_model.FILE)
    library = sentencepiece_model.load_processor(model)
    prefix = sentencepiece_model.adds_space_prefix(library)
    names = _SpecialNames(folder)
    size: int = library.get_piece_size()
    added = _added_tokens(folder)
    pieces: list[tuple[str, float, PieceKind]] = []
    for id in range(size, max([size, *(id + 1 for id in added)])):
        token = added.get(id)
        if token is None:
            pieces.append((f"[UNUSED_{id}]", 0.0, "unused"))
        else:
            control = token.get("special") or token["content"] in END_OF_GENERATION
            pieces.append((token["content"], 0.0, "control" if control else "user_defined"))
    model = sentencepiece_model.without_space_prefix(model) + sentencepiece_model.pieces_message(pieces)
    library = sentencepiece_model.load_processor(model)
    size = library.get_piece_size()

    def id_of(name: str | None, default: int) -> int | None:
        id = default if name is None else library.piece_to_id(name)
        return id if id >= 0 and (name is None or library.id_to_piece(id) == name) else None

    bos, eos = id_of(names.bos, library.bos_id()), id_of(names.eos, library.eos_id())
    named = [eos, *names.end_ids]
    special = {id for id in (bos, *named) if id is not None and id < size}
    control_tokens = []
    for id in range(size):
        flags = added.get(id, {})
        if library.is_control(id) or id in special or flags.get("special"):
            text = library.id_to_piece(id)
            control_tokens.append(ControlToken(id, text, bool(flags.get("lstrip")), bool(flags.get("rstrip"))))
    spec = VocabularySpec(
        vocab_size=size,
        bos_id=bos,
        eos_id=eos,
        adds_bos=names.adds_bos is not False,
        stop_ids=end_ids(control_tokens, named),
        control=tuple(control_tokens),
        spelling="sentencepiece",
        # "legacy" is how transformers calls the space after every control token; it is the default
        space_prefix="never" if not prefix else "first" if names.config.get("legacy") is False else "every",
        strips_space=prefix,
    )
    return SentencePieceTokenizer(model, spec)


class _SpecialNames:
    """What the small files of a checkpoint say of special tokens."""

    def __init__(self, folder: Path) -> None:
        self.config = _json(folder / "tokenizer_config.json")
        special = {**_json(folder / "special_tokens_map.json"), **self.config}
        self.bos = _content(special.get("bos_token"))
        self.eos = _content(special.get("eos_token"))
        adds_bos = self.config.get("add_bos_token")
        self.adds_bos = adds_bos if isinstance(adds_bos, bool) else None
        self.end_ids: list[int] = []
        for name in ("generation_config.json", "config.json"):
            ids = _json(folder / name).get("eos_token_id")
            self.end_ids += [id for id in (ids if isinstance(ids, list) else [ids]) if type(id) is int]


def _content(token: Any) -> str | None:
    """A special token is written as its text or as an object with its text and flags."""
    value = token.get("content") if isinstance(token, dict) else token
    return value if isinstance(value, str) and value else None


def _added_tokens(folder: Path) -> Mapping[int, Mapping[str, Any]]:
    """Tokens beyond `tokenizer.model`, by id."""
    decoder = _json(folder / "tokenizer_config.json").get("added_tokens_decoder") or {}
    found: dict[int, Mapping[str, Any]] = {int(id): token for id, token in decoder.items()}
    for text, id in _json(folder / "added_tokens.json").items():
        found.setdefault(int(id), {"content": text, "special": False})
    return found


def _json(path: Path) -> dict[str, Any]:
    """The object in a file; an empty one when the file is not there."""
    return _object(read_file(path), path.name) if path.is_file() else {}


def _object(raw: bytes, name: str) -> dict[str, Any]:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadWeights(
            _("{name} is damaged ({error}).").format(name=name, error=error), _("Fetch the model again.")
        ) from error
    if not isinstance(data, dict):
        raise BadWeights(
            _("{name} is damaged (it is not a JSON object).").format(name=name), _("Fetch the model again.")
        )
    return data


def read_file(path: Path) -> bytes:
    """The content of a file.

    Raises:
        BadWeights: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadWeights(
            _("{path} cannot be read ({reason}).").format(path=path, reason=error.strerror or error)
        ) from error
