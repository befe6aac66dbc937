"""The numbers that a group can hold: its scale and minimum as they are stored, codes and back.

The algorithms of this package search over grids; `quant.tensor` and `quant.pack` then hold what they found.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from quant.spec import ROW_GROUP, QuantSpec

_CODES = {(4, False): (0, 15), (4, True): (-8, 7), (8, True): (-127, 127)}


@dataclass(frozen=True, slots=True)
class Grid:
    """Scales and minimums of some groups, float32 values that the stored dtype holds exactly.

    Attributes:
        scales: any shape; `minimums` the same shape, None when symmetric.
    """

    spec: QuantSpec
    scales: Tensor
    minimums: Tensor | None
    _divisors: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_divisors", torch.where(self.scales == 0, torch.inf, self.scales))

    @classmethod
    def stored(cls, spec: QuantSpec, scales: Tensor, minimums: Tensor | None) -> Grid:
        """The grid nearest to these that can be stored."""
        if spec.group_size == ROW_GROUP:
            return cls(spec, scales, minimums)
        return cls(spec, scales.half().float(), None if minimums is None else minimums.half().float())

    def codes(self, weights: Tensor) -> Tensor:
        """The nearest codes of `weights`, which have the shape of the grid or one dimension more; float32."""
        low, high = _CODES[self.spec.bits, self.spec.symmetric]
        shifted = weights if self.minimums is None else weights - _beside(self.minimums, weights)
        return torch.div(shifted, _beside(self._divisors, weights)).round_().clamp_(low, high)

    def values(self, codes: Tensor) -> Tensor:
        """What `codes` stand for."""
        scaled = codes * _beside(self.scales, codes)
        return scaled if self.minimums is None else scaled.add_(_beside(self.minimums, codes))

    def where(self, better: Tensor, other: Grid) -> Grid:
        """This grid where `better` says so, else `other`."""
        minimums = None
        if self.minimums is not None and other.minimums is not None:
            minimums = torch.where(better, self.minimums, other.minimums)
        return Grid(self.spec, torch.where(better, self.scales, other.scales), minimums)


def _beside(by_group: Tensor, weights: Tensor) -> Tensor:
    return by_group if weights.dim() == by_group.dim() else by_group.unsqueeze(-1)
