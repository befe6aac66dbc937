"""Scale and minimum of each group by search: least squared error instead of a range that covers every weight.

Rounding to nearest spends its codes on the group's two extremes. Here several narrower ranges are tried, each is
improved by the least squares solution for the codes that it gives, and the best one stays. Ranges and refit are those
of llama.cpp's k-quants (Kawrakow, 2023, "k-quants", ggml-org/llama.cpp pull request 1684); weighting the error of a
column by the mean square of its input is the diagonal of the layer's output error (Frantar et al., 2022, section 3).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from quant import pack
from quant.grid import Grid
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

_BLOCK_WEIGHTS = 1 << 18  # searched at a time: the passes over them stay in the cache
_SHRINKS = {4: (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7), 8: (1.0, 0.97)}  # of a group's range


def quantize(weight: Tensor, spec: QuantSpec, importance: Tensor | None = None) -> QuantTensor:
    """Quantize `weight` (float [N, K]) to `spec` with the least squared error that the search finds.

    Args:
        importance: of each column, [K], not negative: the mean square of its input. None weighs all alike.

    Raises:
        ValueError: as `rtn.quantize`; or the importance is not one finite number a column.
    """
    columns = weight.shape[1]
    size = spec.group_size or columns
    if importance is None:
        importance = torch.ones(columns)
    if importance.shape != (columns,) or not torch.isfinite(importance).all() or (importance < 0).any():
        raise ValueError(f"the importance must be {columns} finite numbers that are not negative")
    by_group = _positive(importance.float()).view(-1, size)
    step = max(1, _BLOCK_WEIGHTS // (pack.TILE_ROWS * columns)) * pack.TILE_ROWS
    codes, grids = [], []
    for block in torch.split(weight, step):
        groups = block.float().reshape(len(block), -1, size)
        grid = fit(groups, by_group, spec)
        codes.append(grid.codes(groups).to(torch.int8).view(len(block), columns))
        grids.append(grid)
    scales = torch.cat([grid.scales for grid in grids])
    minimums = torch.cat([grid.minimums for grid in grids if grid.minimums is not None]) if not spec.symmetric else None
    return QuantTensor.from_codes(spec, torch.cat(codes), scales, minimums)


def fit(groups: Tensor, importance: Tensor, spec: QuantSpec) -> Grid:
    """The best grid of each group.

    Args:
        groups: float32 [..., group, weight].
        importance: positive, what a squared error counts; broadcasts against `groups`.

    Returns:
        A grid of the shape [..., group].
    """
    best: Grid | None = None
    least = torch.empty(0)
    for start in _ranges(groups, spec):
        grid = _refit(groups, importance, start)
        error = (grid.values(grid.codes(groups)) - groups).square_().mul_(importance).sum(-1)
        if best is None:
            best, least = grid, error
        else:
            better = error < least
            best, least = grid.where(better, best), torch.minimum(error, least)
    assert best is not None
    return best


def _ranges(groups: Tensor, spec: QuantSpec) -> Iterator[Grid]:
    """Where the search begins: the covering range and narrower ones."""
    if spec.bits == 4 and not spec.symmetric:
        low, high = groups.aminmax(dim=-1)
        for shrink in _SHRINKS[4]:
            span = (high - low) * shrink
            yield Grid(spec, span / 15, (low + high - span) / 2)
    elif spec.bits == 4:
        extreme = groups.gather(-1, groups.abs().argmax(-1, keepdim=True)).squeeze(-1)
        for shrink in _SHRINKS[4]:
            yield Grid(spec, extreme * (shrink / -8), None)
        yield Grid(spec, extreme / 7, None)
    else:
        largest = groups.abs().amax(-1)
        for shrink in _SHRINKS[8]:
            yield Grid(spec, largest * (shrink / 127), None)


def _refit(groups: Tensor, importance: Tensor, start: Grid) -> Grid:
    """The least squares scale (and minimum) for the codes that `start` gives, as it is stored."""
    codes = start.codes(groups)
    weighted = codes * importance
    if start.minimums is None:
        scales = (weighted * groups).sum(-1) / (weighted * codes).sum(-1).clamp_min(1e-30)
        return Grid.stored(start.spec, torch.where(scales == 0, start.scales, scales), None)
    total = importance.expand_as(groups).sum(-1)
    mean_code = weighted.sum(-1) / total
    mean_weight = (groups * importance).sum(-1) / total
    centred = (codes - mean_code.unsqueeze(-1)).mul_(importance)
    spread = (centred * codes).sum(-1)
    slope = (centred * groups).sum(-1) / spread
    scales = torch.where(spread > 0, slope, start.scales)
    return Grid.stored(start.spec, scales, mean_weight - scales * mean_code)


def _positive(importance: Tensor) -> Tensor:
    """With a floor far below the mean, so that a column that was never used still gets sensible codes."""
    mean = importance.mean()
    return importance.clamp_min(float(mean) * 1e-4) if mean > 0 else torch.ones_like(importance)
