"""What is known of a file before it comes: the hash of its content."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from localchat.hub.pull_events import Check

Kind = Literal["sha256", "git-sha1"]
_BLOCK = 1 << 22
_SHAPES: dict[Kind, str] = {"sha256": "[0-9a-f]{64}", "git-sha1": "[0-9a-f]{40}"}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A hash of a whole file, in lower-case hex.

    Args:
        kind: "sha256" of the content, or "git-sha1", git's own name of a file: SHA-1 over its size and its content.

    Raises:
        ValueError: it is not such a hash.
    """

    kind: Kind
    value: str

    def __post_init__(self) -> None:
        if not re.fullmatch(_SHAPES[self.kind], self.value):
            raise ValueError(f"{self.value!r} is no {self.kind}")

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"

    def fits(self, path: Path, check: Check) -> bool:
        """Whether the file at `path` has this hash; `check` is called between blocks of 4 MiB."""
        if self.kind == "sha256":
            digest = hashlib.sha256()
        else:
            digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                check()
                digest.update(block)
        return digest.hexdigest() == self.value
