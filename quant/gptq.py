"""GPTQ: rounding that lets the columns still to come make up for the error of those before.

Frantar, Ashkboos, Hoefler and Alistarh, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers", 2022 (arXiv 2210.17323), algorithm 1. Columns are ordered by activation, as the authors' code does with
"act-order", but a group at a time, so that groups stay where the format has them and each takes its scale and minimum
from the weights as they are when its turn comes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quant import search
from quant.grid import Grid
from quant.spec import QuantSpec
from quant.tensor import QuantTensor

DAMPING = 0.4
"""Far more than the paper's, and of each column its own: correlations of some thousand tokens are noise in part, and
other text has others. On text unlike the calibration's, squared errors of SmolLM2's layers fell by 5 to 20 %."""

_FLOOR = 1e-3  # of the mean of the diagonal, for columns that were never used
_COLUMNS = 128  # whose errors are kept back before the rest of the matrix is updated, in one product
_ROWS = 4096  # quantized at a time: rows do not depend on each other


@dataclass(frozen=True, slots=True)
class Factor:
    """What GPTQ needs of the inputs of a layer, shared by all matrices that read them.

    Attributes:
        order: int64 [K], the columns in the order of their turn; groups stay whole.
        upper: float32 [K, K], the upper Cholesky factor of the inverse of the damped Hessian in that order.
    """

    order: Tensor
    upper: Tensor


def factorize(hessian: Tensor, group_size: int, damping: float = DAMPING) -> Factor:
    """Prepare for groups of `group_size` (0 for whole rows).

    Args:
        hessian: X'X or a multiple of it, float [K, K], X being inputs [tokens, K].
        damping: by what share of itself the diagonal is enlarged.

    Raises:
        ValueError: the Hessian is not square and finite.
    """
    hessian = _damped(hessian, damping)
    order = _turns(hessian.diagonal(), group_size or len(hessian))
    lower = _lower(hessian, order)
    inverse = torch.linalg.solve_triangular(lower, torch.eye(len(order)), upper=False)
    return Factor(order, inverse.flip(0, 1).contiguous())


def pivots(hessian: Tensor, damping: float = DAMPING) -> Tensor:
    """What a squared error of each column costs once the columns after it have made up for it, float32 [K].

    The arguments are those of `factorize`.
    """
    hessian = _damped(hessian, damping)
    order = _turns(hessian.diagonal(), 1)
    result = torch.empty(len(order))
    result[order] = _lower(hessian, order).diagonal().flip(0).square()
    return result


def quantize(weight: Tensor, spec: QuantSpec, factor: Factor) -> QuantTensor:
    """Quantize `weight` (float [N, K]) to `spec`, least squared error of its outputs on the inputs behind `factor`.

    Args:
        factor: of `factorize` with this spec's group size.

    Raises:
        ValueError: K does not fit the group or the factor, a weight is not finite, or a scale is beyond float16.
    """
    rows, columns = weight.shape
    if not spec.accepts(columns) or len(factor.order) != columns:
        raise ValueError(f"a matrix of shape {(rows, columns)} cannot be {spec} with {len(factor.order)} columns")
    parts = [_quantize_rows(part.float(), spec, factor) for part in torch.split(weight, _ROWS)]
    codes, scales, minimums = (torch.cat(column) for column in zip(*parts, strict=True))
    return QuantTensor.from_codes(spec, codes, scales, None if spec.symmetric else minimums)


def _damped(hessian: Tensor, damping: float) -> Tensor:
    columns = hessian.shape[0]
    if hessian.shape != (columns, columns) or not torch.isfinite(hessian).all():
        raise ValueError(f"the Hessian must be a square matrix of finite numbers, not {tuple(hessian.shape)}")
    hessian = hessian.float().clone()
    mean = hessian.diagonal().mean()
    if mean <= 0:  # no input was ever seen, so every column counts alike
        return torch.eye(columns)
    hessian.diagonal().mul_(1 + damping).add_(_FLOOR * mean)
    return hessian


def _lower(hessian: Tensor, order: Tensor) -> Tensor:
    """The lower Cholesky factor of the Hessian with its columns in the opposite of their order.

    Turned round it is the inverse of the factor that the paper takes of the inverse: one decomposition instead of two
    and an inversion.
    """
    backwards = order.flip(0)
    lower: Tensor = torch.linalg.cholesky(hessian[backwards][:, backwards])
    return lower


def _turns(diagonal: Tensor, group_size: int) -> Tensor:
    """The most used first: groups by their sum, and columns within each."""
    groups = diagonal.view(-1, group_size)
    within = groups.argsort(dim=1, descending=True)
    order = groups.sum(1).argsort(descending=True)
    return (order.unsqueeze(1) * group_size + within[order]).flatten()


def _quantize_rows(weight: Tensor, spec: QuantSpec, factor: Factor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes int8 [n, K], scales and minimums [n, groups] of some rows."""
    rows, columns = weight.shape
    size = spec.group_size or columns
    work = weight.T[factor.order].contiguous()  # [K, n]: what is updated together lies together
    codes = torch.empty(columns, rows, dtype=torch.int8)
    scales, minimums = torch.zeros(2, columns // size, rows)
    precision = factor.upper.diagonal().square().reciprocal()  # what a squared error costs, once the rest has adapted
    grid: Grid | None = None
    for start in range(0, columns, _COLUMNS):
        end = min(start + _COLUMNS, columns)
        errors = torch.empty(end - start, rows)
        for column in range(start, end):
            if grid is None or column % size == 0:
                turn = slice(column, column + size)
                grid = search.fit(work[turn].T.contiguous(), precision[turn], spec)
                group = int(factor.order[column]) // size
                scales[group] = grid.scales
                if grid.minimums is not None:
                    minimums[group] = grid.minimums
            code = grid.codes(work[column])
            codes[column] = code
            upper = factor.upper[column]
            error = torch.sub(work[column], grid.values(code), out=errors[column - start]).div_(upper[column])
            work[column + 1 : end].addr_(upper[column + 1 : end], error, alpha=-1)
        work[end:].addmm_(factor.upper[start:end, end:].T, errors, alpha=-1)
    in_place = torch.empty_like(codes)
    in_place[factor.order] = codes
    return in_place.T.contiguous(), scales.T, minimums.T
