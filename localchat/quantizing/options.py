"""What `localchat quantize` was asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from localchat.errors import InvalidSetting
from quant.spec import GROUP_SIZES

Method = Literal["rtn", "search", "awq", "gptq", "best"]
METHODS: tuple[Method, ...] = get_args(Method)

METHOD_WORDS: dict[Method, str] = {
    "rtn": "round to nearest",
    "search": "scale and minimum search, weighted by activations",
    "awq": "activation-aware scaling with scale and minimum search",
    "gptq": "GPTQ with activation order",
    "best": "GPTQ with activation order, formats chosen by sensitivity",
}


@dataclass(frozen=True, slots=True)
class QuantizeOptions:
    """How a model shall be quantized.

    Args:
        bits: 4 or 8, of the layers.
        group_size: weights that share a scale, where the method does not choose.
        method: "best" spends a budget; the others hold all layers alike and the vocabulary in int8.
        budget: bits a weight over the whole model; None is what the plain formats would take. For "best" alone.

    Raises:
        InvalidSetting: a value is not allowed; says which.
    """

    bits: int = 4
    group_size: int = 32
    method: Method = "best"
    budget: float | None = None

    def __post_init__(self) -> None:
        if self.bits not in (4, 8):
            raise InvalidSetting(f"--bits is {self.bits}.", "It may be 4 or 8.")
        if self.group_size not in GROUP_SIZES:
            raise InvalidSetting(f"--group-size is {self.group_size}.", "It may be 32, 64 or 128.")
        if self.method not in METHODS:
            raise InvalidSetting(f"--method is {self.method!r}.", f"It may be {', '.join(METHODS)}.")
        if self.budget is not None and self.method != "best":
            raise InvalidSetting(f"--budget needs --method best, and this is {self.method}.")
        if self.budget is not None and not 4 < self.budget < 9:
            raise InvalidSetting(f"--budget is {self.budget}.", "Give bits a weight, more than 4 and less than 9.")

    @property
    def needs_text(self) -> bool:
        return self.method != "rtn"

    @property
    def allocates(self) -> bool:
        """Whether formats are chosen by sensitivity: with eight bits for all there is nothing to choose."""
        return self.method == "best" and (self.bits == 4 or self.budget is not None)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
