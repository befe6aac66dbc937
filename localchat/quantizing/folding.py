"""Activation-aware scaling of a layer: the scales that AWQ finds, multiplied into matrices and divided out before them.

Only where what lies between is a product: a norm's gain before the matrices that read it, the rows of `up` before the
columns of `down`, the rows of `value` before the columns of `attention_output`. Where a layer is built otherwise, that
fold is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor

from localchat.model.spec import ModelSpec
from localchat.quantizing.sites import Site, stages
from quant import awq
from quant.observe import Moments
from quant.spec import QuantSpec


def fold_scales(
    weights: Mapping[str, Tensor], specs: Mapping[str, QuantSpec], moments: Mapping[str, Moments], spec: ModelSpec
) -> dict[str, Tensor]:
    """The layer's weights with scales folded in; it computes what it did before, but for rounding in float32.

    Args:
        weights: float32, by their names within the layer.
        moments: of the input of each site, by the name of its first matrix.

    Raises:
        ValueError: a weight is not finite or too large.
    """
    result = dict(weights)
    for before, site in _folds(weights):
        if before == "value" and spec.value_norm:
            continue
        if not all(specs[name].accepts(weights[name].shape[1]) for name in site.names):
            continue
        seen = moments[site.names[0]]
        matrices = [result[name] for name in site.names]
        tie = _tied_heads(spec) if before == "value" else None
        scales = awq.find_scales(
            matrices, [specs[name] for name in site.names], seen.hessian, seen.mean_magnitude, tie or (lambda s: s)
        )
        for name, matrix in zip(site.names, matrices, strict=True):
            result[name] = matrix * scales
        divisor = _of_value_rows(scales, spec) if before == "value" else scales
        for name in (before, f"{before}.bias"):
            if name in result:
                result[name] = result[name] / divisor.view(-1, *[1] * (result[name].dim() - 1))
    return result


def _folds(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Site]]:
    """What comes before a site and can take its scales."""
    before = {"query": "attention_norm", "attention_output": "value", "gate": "mlp_norm", "up": "mlp_norm"}
    before["mix.input"] = "attention_norm"
    if "gate" in weights:
        before["down"] = "up"
    for stage in stages(weights):
        for site in stage:
            owner = before.get(site.names[0], "")
            if owner in weights and "router" not in site.names:
                yield owner, site


def _tied_heads(spec: ModelSpec) -> Callable[[Tensor], Tensor]:
    """Heads that share a value head get the same scales: their geometric mean."""

    def tie(scales: Tensor) -> Tensor:
        by_head = scales.view(spec.num_key_value_heads, -1, spec.head_dim)
        return by_head.log().mean(1, keepdim=True).exp().expand_as(by_head).reshape(-1)

    return tie


def _of_value_rows(scales: Tensor, spec: ModelSpec) -> Tensor:
    """Scales of attention's channels [num_heads * head_dim] as those of the rows of `value`."""
    return scales.view(spec.num_key_value_heads, -1, spec.head_dim)[:, 0].reshape(-1)
