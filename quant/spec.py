"""How a matrix is quantized, as data: what stands in `quantization.json` and what decides the layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ROW_GROUP = 0  # group_size of "one scale for the whole row"
GROUP_SIZES = (32, 64, 128)
_FIELDS = {"bits", "group_size", "symmetric"}


@dataclass(frozen=True)
class QuantSpec:
    """Bits and grouping of one quantized matrix [out_features N, in_features K].

    Args:
        bits: 4 or 8.
        group_size: weights along K that share a scale: 32, 64 or 128; 0 is one float32 scale per row (int8 only).
        symmetric: no stored minimum. int8 has none in any case, so there the field always reads True.

    Raises:
        ValueError: a combination that the format does not have.
    """

    bits: int
    group_size: int = 32
    symmetric: bool = False

    def __post_init__(self) -> None:
        if self.bits not in (4, 8):
            raise ValueError(f"bits must be 4 or 8, not {self.bits!r}")
        if self.group_size not in GROUP_SIZES and not (self.bits == 8 and self.group_size == ROW_GROUP):
            allowed = "32, 64 or 128" if self.bits == 4 else "32, 64, 128 or 0 (by row)"
            raise ValueError(f"the group size of int{self.bits} must be {allowed}, not {self.group_size!r}")
        if self.bits == 8:
            object.__setattr__(self, "symmetric", True)

    @property
    def bits_per_weight(self) -> float:
        """Bits of one weight with its share of scale and minimum; the scale of a row counts as nothing."""
        if self.group_size == ROW_GROUP:
            return float(self.bits)
        return self.bits + (16 if self.symmetric else 32) / self.group_size

    def groups(self, columns: int) -> int:
        """Number of scales in a row of `columns` weights."""
        return 1 if self.group_size == ROW_GROUP else columns // self.group_size

    def accepts(self, columns: int) -> bool:
        """Whether rows of this length can be held; a matrix that cannot stays dense."""
        return columns > 0 and columns % max(32, self.group_size) == 0

    def __str__(self) -> str:
        if self.bits == 8:
            return "int8 by row" if self.group_size == ROW_GROUP else f"int8 by {self.group_size}"
        return f"int4 by {self.group_size}{', symmetric' if self.symmetric else ''}"

    def to_metadata(self) -> dict[str, Any]:
        return {"bits": self.bits, "group_size": self.group_size, "symmetric": self.symmetric}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> QuantSpec:
        """The inverse of `to_metadata`, and nothing else: unknown, missing or mistyped fields raise ValueError."""
        if not isinstance(metadata, Mapping) or set(metadata) != _FIELDS:
            raise ValueError(f"a quantization spec has the fields {sorted(_FIELDS)}, not {metadata!r}")
        bits, group_size, symmetric = metadata["bits"], metadata["group_size"], metadata["symmetric"]
        if type(bits) is not int or type(group_size) is not int or type(symmetric) is not bool:
            raise ValueError(f"a field of the quantization spec has the wrong type: {dict(metadata)!r}")
        spec = cls(bits, group_size, symmetric)
        if spec.symmetric != symmetric:
            raise ValueError("int8 is always symmetric")
        return spec
