"""What `localchat quantize` was asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from localchat.errors import InvalidSetting
from localchat.translation import _, mark
from quant.spec import GROUP_SIZES

Method = Literal["rtn", "search", "awq", "gptq", "best"]
METHODS: tuple[Method, ...] = get_args(Method)

METHOD_WORDS: dict[Method, str] = {
    "rtn": mark("round to nearest"),
    "search": mark("scale and minimum search, weighted by activations"),
    "awq": mark("activation-aware scaling with scale and minimum search"),
    "gptq": mark("GPTQ with activation order"),
    "best": mark("GPTQ with activation order, formats chosen by sensitivity"),
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
            raise InvalidSetting(_("--bits is {bits}.").format(bits=self.bits), _("It may be 4 or 8."))
        if self.group_size not in GROUP_SIZES:
            raise InvalidSetting(
                _("--group-size is {group_size}.").format(group_size=self.group_size), _("It may be 32, 64 or 128.")
            )
        if self.method not in METHODS:
            raise InvalidSetting(
                _("--method is {method!r}.").format(method=self.method),
                _("It may be {methods}.").format(methods=", ".join(METHODS)),
            )
        if self.budget is not None and self.method != "best":
            raise InvalidSetting(_("--budget needs --method best, and this is {method}.").format(method=self.method))
        if self.budget is not None and not 4 < self.budget < 9:
            raise InvalidSetting(
                _("--budget is {budget}.").format(budget=self.budget),
                _("Give bits a weight, more than 4 and less than 9."),
            )

    @property
    def needs_text(self) -> bool:
        return self.method != "rtn"

    @property
    def allocates(self) -> bool:
        """Whether formats are chosen by sensitivity: with eight bits for all there is nothing to choose."""
        return self.method == "best" and (self.bits == 4 or self.budget is not None)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
