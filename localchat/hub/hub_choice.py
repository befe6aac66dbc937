"""Which files of a repository are fetched: one GGUF file (with all its parts), or a checkpoint in safetensors.

Pickle (`*.bin`, `*.pt`) is never among them: reading it can run its author's code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from localchat.errors import BadWeights, DownloadFailed, ModelNotFound, UnsupportedModel
from localchat.hub.hub_client import RemoteFile, Repository
from localchat.translation import _

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_DESCRIPTIONS = frozenset(
    """
    config.json generation_config.json quantize_config.json quant_config.json model.safetensors.index.json
    tokenizer.json tokenizer.model tokenizer_config.json special_tokens_map.json added_tokens.json
    chat_template.jinja chat_template.json
    """.split()  # noqa: SIM905
)
_TOKENIZERS = ("tokenizer.json", "tokenizer.model")
_LARGEST_DESCRIPTION = 256 << 20  # bytes; the largest tokenizer.json known has 35 million

# Types in the order of preference, each with the size that a file of it has here, relative to the file: Q8_0 is held as
# it is, Q5_K and Q6_K become int8, and Q4_K_M has some matrices in Q6_K.
_PREFERRED: Mapping[str, float] = {"Q8_0": 1.0, "Q6_K": 1.3, "Q5_K_M": 1.5, "Q4_K_M": 1.25, "Q4_1": 1.1, "Q4_0": 1.1}
_TYPE = re.compile(r"(?:^|[._-])(I?Q\d(?:_[0-9A-Z]+)*|BF16|F16|F32)(?=[._-]|$)", re.IGNORECASE)
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
_NOT_A_MODEL = re.compile(r"mmproj|imatrix|(?:^|[._-])lora(?:[._-]|$)", re.IGNORECASE)
_SHARE_OF_MEMORY = 0.6  # the rest is for the cache of the conversation and for other programs


@dataclass(frozen=True, slots=True)
class Choice:
    """What is fetched.

    Attributes:
        name: of the model, before it is made one that an installed model may have.
        files: GGUF parts in order, or the descriptions of a checkpoint.
        is_gguf: whether the first file is the model; else the folder of all is, and weights follow the descriptions.
        why: one sentence where something was chosen for the user, else empty.
    """

    name: str
    files: tuple[RemoteFile, ...]
    is_gguf: bool
    why: str = ""


def choose(repository: Repository, memory_bytes: int) -> Choice:
    """What to fetch of `repository`: the file that its name asks for, else what suits a machine with so much memory.

    Raises:
        ModelNotFound: there is no such file, or several and none is the obvious one; lists them.
        UnsupportedModel: it holds neither GGUF nor safetensors.
    """
    models = _gguf_models(repository)
    asked = repository.name.file
    if asked:
        return _asked_for(repository, models, asked)
    if "config.json" in repository.files and any(_is_weights(path) for path in repository.files):
        return Choice(repository.name.repository.partition("/")[2], _descriptions(repository), is_gguf=False)
    if not models:
        pickle = any(path.endswith((".bin", ".pt", ".pth")) for path in repository.files)
        raise UnsupportedModel(
            (
                _("{folder} has its weights in pickle only, which can run code and is never read.")
                if pickle
                else _("{folder} holds no model: neither a GGUF file nor config.json with safetensors.")
            ).format(folder=repository.name),
            _("Look for a repository of the same model in safetensors or GGUF."),
        )
    return _best(repository, models, memory_bytes)


def weight_files(repository: Repository, folder: Path) -> tuple[RemoteFile, ...]:
    """The safetensors of a checkpoint whose descriptions lie in `folder`.

    Raises:
        BadWeights: the index is damaged, or names files that the repository does not have.
    """
    if _SINGLE in repository.files:
        return (repository.files[_SINGLE],)
    if _INDEX not in repository.files:
        (only,) = [file for path, file in repository.files.items() if _is_weights(path)]
        return (only,)
    try:
        shards = sorted(set(json.loads((folder / _INDEX).read_text("utf-8"))["weight_map"].values()))
        return tuple(repository.files[shard] for shard in shards if _is_weights(shard) or _refuse(shard))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadWeights(
            _("{index} of {name} does not fit its files ({error}).").format(
                index=_INDEX, name=repository.name, error=error
            ),
            _("Look for another repository of it."),
        ) from error


def _refuse(shard: str) -> bool:
    raise ValueError(f"{shard!r} is no safetensors file beside it")


def _is_weights(path: str) -> bool:
    return path.endswith(".safetensors") and "/" not in path


def _descriptions(repository: Repository) -> tuple[RemoteFile, ...]:
    files = repository.files
    weights = [path for path in files if _is_weights(path)]
    if _SINGLE not in files and _INDEX not in files and len(weights) > 1:
        raise UnsupportedModel(
            _("{name} has {count} safetensors files and no index of them.").format(
                name=repository.name, count=len(weights)
            )
        )
    if not any(name in files for name in _TOKENIZERS):
        raise UnsupportedModel(
            _("{name} has neither {names}, so it cannot read text.").format(
                name=repository.name, names=" nor ".join(_TOKENIZERS)
            )
        )
    chosen = tuple(files[name] for name in sorted(_DESCRIPTIONS & files.keys()))
    for file in chosen:
        if file.size > _LARGEST_DESCRIPTION:
            raise DownloadFailed(
                _("{path} of {name} claims {size} bytes, far too many.").format(
                    path=file.path, name=repository.name, size=f"{file.size:,}"
                )
            )
    return chosen


def _gguf_models(repository: Repository) -> dict[str, tuple[RemoteFile, ...]]:
    """Path of the (first) file to all its parts, for each complete model."""
    models: dict[str, tuple[RemoteFile, ...]] = {}
    for path, file in sorted(repository.files.items()):
        if not path.lower().endswith(".gguf") or _NOT_A_MODEL.search(PurePosixPath(path).name):
            continue
        if (part := _PART.fullmatch(path)) is None:
            models[path] = (file,)
        elif int(part["number"]) == 1:
            names = [f"{part['stem']}-{i:05d}-of-{part['count']}.gguf" for i in range(1, int(part["count"]) + 1)]
            if all(name in repository.files for name in names):
                models[path] = tuple(repository.files[name] for name in names)
    return models


def _asked_for(repository: Repository, models: Mapping[str, tuple[RemoteFile, ...]], asked: str) -> Choice:
    for first, parts in models.items():
        if asked in (part.path for part in parts):
            return Choice(model_name(first), parts, is_gguf=True)
    if asked in repository.files and asked.lower().endswith(".gguf"):
        raise UnsupportedModel(
            _("{asked} of {repository} is no model by itself.").format(
                asked=asked, repository=repository.name.repository
            ),
            _listing(models),
        )
    if asked in repository.files:
        raise UnsupportedModel(
            _("{asked} is no GGUF file, and only such a file can be fetched by itself.").format(asked=asked),
            _("`localchat pull hf:{repository}` fetches a whole checkpoint of safetensors.").format(
                repository=repository.name.repository
            ),
        )
    raise ModelNotFound(
        _("{repository} has no file {asked}.").format(repository=repository.name.repository, asked=asked),
        _listing(models),
    )


def _best(repository: Repository, models: Mapping[str, tuple[RemoteFile, ...]], memory_bytes: int) -> Choice:
    """The finest type that fits; the only file where there is one."""
    if len(models) == 1:
        ((first, parts),) = models.items()
        return Choice(model_name(first), parts, is_gguf=True)
    found = 0
    for kind, grows in _PREFERRED.items():
        of_kind = [first for first in models if _type_of(first) == kind]
        if len(of_kind) > 1:
            break
        found += len(of_kind)
        for first in of_kind:
            parts = models[first]
            size = sum(part.size for part in parts)
            if size * grows <= memory_bytes * _SHARE_OF_MEMORY:
                why = _("Of {count} GGUF files {name} is taken: the finest that fits this machine's memory.")
                words = why.format(count=len(models), name=first)
                return Choice(model_name(first), parts, is_gguf=True, why=words)
    too_large, unclear = _("and none is small enough for this machine's memory"), _("and none is the obvious choice")
    what = too_large if found else unclear
    raise ModelNotFound(
        _("{repository} has {count} GGUF files, {what}.").format(
            repository=repository.name.repository, count=len(models), what=what
        ),
        _listing(models),
    )


def _listing(models: Mapping[str, Sequence[RemoteFile]]) -> str:
    if not models:
        return _("It has no GGUF files.")
    sizes = {first: sum(part.size for part in parts) for first, parts in models.items()}
    shown = ", ".join(
        f"{first} ({size / 1e9:.1f} GB)" for first, size in sorted(sizes.items(), key=lambda item: item[1])
    )
    return _("Add : and one of its GGUF files to the name: {names}.").format(names=shown)


def _type_of(path: str) -> str:
    found = _TYPE.findall(PurePosixPath(_stem(path)).name)
    return found[-1].upper() if found else ""


def model_name(path: str) -> str:
    """What a GGUF file is called without its folder, its ending and its number."""
    return PurePosixPath(_stem(path)).name


def _stem(path: str) -> str:
    part = _PART.fullmatch(path)
    return part["stem"] if part else path[: -len(".gguf")]
