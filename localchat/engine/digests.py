"""Which model it is, by its content: digests of its weights, its tokenizer and its chat template."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from threading import Thread

from localchat.errors import BadWeights
from localchat.text.chat_text import ChatText
from localchat.weights.model_folder import QUANTIZATION_NAME, WEIGHTS_DIGEST, read_quantization

_TICK_S = 0.05
_UNKNOWN = {"weights": "", "tokenizer": "", "template": ""}


class Digests:
    """The digests of one model, SHA-256 in hexadecimal digits. Reading gigabytes takes seconds, so it is begun
    while the model warms up, and waited for where a conversation may be on disk.

    Args:
        path: a model folder of ours, which knows the digest of its weights, a GGUF file, or a folder of safetensors.
    """

    def __init__(self, path: Path, text: ChatText) -> None:
        self._path, self._text = path, text
        self._found: Future[Mapping[str, str]] | None = None

    def begin(self) -> None:
        """Find them out in another thread."""
        if self._found is None:
            self._found = Future()
            Thread(target=self._find, args=(self._found,), name="digests", daemon=True).start()

    def known(self, *, wait: bool = True) -> Mapping[str, str]:
        """By "weights", "tokenizer" and "template"; empty ones for what cannot be read any more, or, when nobody waits,
        is not known yet."""
        self.begin()
        assert self._found is not None
        return self._found.result() if wait or self._found.done() else _UNKNOWN

    def wait(self, check: Callable[[], None]) -> None:
        """Until they are known; `check` is called meanwhile, and what it raises passes through."""
        self.begin()
        assert self._found is not None
        while not self._found.done():
            check()
            wait([self._found], _TICK_S)

    def _find(self, found: Future[Mapping[str, str]]) -> None:
        tokenizer = hashlib.sha256()
        for name, content in sorted(self._text.tokenizer.files().items()):
            tokenizer.update(name.encode() + b"\0" + content)
        template = hashlib.sha256(self._text.template.source.encode())
        try:
            weights = weights_digest(self._path)
        except (OSError, BadWeights):  # it was loaded, and is gone since
            weights = ""
        found.set_result({"weights": weights, "tokenizer": tokenizer.hexdigest(), "template": template.hexdigest()})


def weights_digest(path: Path) -> str:
    """SHA-256 of the weights on disk; of several files, of their digests in the order of their names.

    Raises:
        OSError: a file cannot be read.
        BadWeights: quantization.json cannot be read.
    """
    if (path / QUANTIZATION_NAME).is_file() and (known := read_quantization(path).get(WEIGHTS_DIGEST)):
        return str(known)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    digests = []
    for file in files:
        with file.open("rb") as content:
            digests.append(hashlib.file_digest(content, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
