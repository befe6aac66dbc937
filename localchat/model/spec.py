"""ModelSpec: every fact about a model's architecture that the decoder needs, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from localchat.errors import UnsupportedModel

_WHOLE_LIMITS = {
    "vocab_size": 4_000_000,
    "hidden_size": 1 << 18,
    "intermediate_size": 1 << 20,
    "num_layers": 4096,
    "num_heads": 8192,
    "num_key_value_heads": 8192,
    "head_dim": 4096,
    "context_length": 1 << 26,
}


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The architecture of one decoder.

    Attributes:
        family: key of the table in `localchat.model.families`.
        rope_factors: the rope frequencies are divided by these, one a frequency (`head_dim / 2`); None divides by
            nothing. Linear and Llama 3 scaling are both this; they differ only in how the factors are made.
        attention_bias: query, key and value projections add a bias.
        tied_embeddings: the output matrix is the embedding.
        context_length: tokens that the model was trained to look back on.

    Raises:
        UnsupportedModel: the numbers contradict each other or are out of all proportion.
    """

    family: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float
    context_length: int
    attention_bias: bool = False
    tied_embeddings: bool = False
    rope_factors: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name, high in _WHOLE_LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
                raise UnsupportedModel(f"The model's {name} is {value!r}, which is not a number from 1 to {high}.")
        for name in ("rms_norm_eps", "rope_theta"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise UnsupportedModel(f"The model's {name} is {value!r}, which is not a positive number.")
        for name in ("attention_bias", "tied_embeddings"):
            if not isinstance(getattr(self, name), bool):
                raise UnsupportedModel(f"The model's {name} is {getattr(self, name)!r}, which is not true or false.")
        if self.num_heads % self.num_key_value_heads:
            raise UnsupportedModel(
                f"The model has {self.num_heads} attention heads, which {self.num_key_value_heads} key/value heads "
                "cannot share evenly."
            )
        if self.head_dim % 2:
            raise UnsupportedModel(f"The model's head_dim is {self.head_dim}; rotary positions need an even number.")
        if self.rope_factors is not None:
            if len(self.rope_factors) != self.head_dim // 2:
                raise UnsupportedModel(
                    f"The model has {len(self.rope_factors)} rope factors for {self.head_dim // 2} rope frequencies."
                )
            if not all(isinstance(f, (int, float)) and 0 < f < math.inf for f in self.rope_factors):
                raise UnsupportedModel("The model's rope factors are not all positive numbers.")

    @property
    def query_size(self) -> int:
        """Rows of the query projection."""
        return self.num_heads * self.head_dim

    @property
    def key_value_size(self) -> int:
        """Rows of the key projection, and of the value projection."""
        return self.num_key_value_heads * self.head_dim

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `config.json` of our model folders."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelSpec:
        """The inverse of `to_dict`; strict, as an unknown key may change the maths.

        Raises:
            UnsupportedModel: a key is missing or unknown, or a value is not allowed.
        """
        if not isinstance(data, Mapping):
            raise UnsupportedModel("The model's config.json does not hold a table of values.")
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise UnsupportedModel(
                f"The model's config.json has keys that this version does not know: {', '.join(map(str, unknown))}.",
                "Update localchat, or import the model again.",
            )
        if missing := sorted(known - set(data)):
            raise UnsupportedModel(f"The model's config.json lacks {', '.join(missing)}.", "Import the model again.")
        values = dict(data)
        if values["rope_factors"] is not None:
            if not isinstance(values["rope_factors"], (list, tuple)):
                raise UnsupportedModel("The model's rope_factors are not a list.")
            values["rope_factors"] = tuple(values["rope_factors"])
        return cls(**values)
