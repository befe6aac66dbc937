"""What a reply must match: the words for it that every part shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ConstraintKind = Literal["schema", "regex", "grammar"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """A rule that the whole answer of a reply follows; what the model thinks before it is free.

    Attributes:
        kind: whether `text` is a JSON schema, a regular expression (as Rust's crate of that name reads them: no
            look-around, no back references), or a grammar in the notation of Lark.
    """

    kind: ConstraintKind
    text: str
