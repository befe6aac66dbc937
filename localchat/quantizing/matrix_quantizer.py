"""One site of a layer at a time: from its weights and what was seen of its input to quantized tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from localchat.errors import BadWeights
from localchat.model.decoder import Weight
from localchat.quantizing.options import Method
from localchat.translation import _
from quant import gptq, rtn, search
from quant.observe import Moments
from quant.spec import QuantSpec


def quantize_site(
    weights: Mapping[str, Tensor], specs: Mapping[str, QuantSpec], moments: Moments | None, method: Method
) -> dict[str, Weight]:
    """Quantize matrices that read the same input; one whose rows its spec cannot hold stays as it is.

    Args:
        weights: float32 by name.
        moments: of the input; None where nothing was observed.

    Raises:
        BadWeights: a weight is not finite or too large.
    """
    factors: dict[int, gptq.Factor] = {}
    result: dict[str, Weight] = {}
    for name, weight in weights.items():
        spec = specs[name]
        if not spec.accepts(weight.shape[1]):
            result[name] = weight.contiguous()
            continue
        with torch.no_grad():
            try:
                result[name] = _quantize(weight, spec, moments, method, factors)
            except ValueError as error:
                raise BadWeights(
                    _("The tensor {name} cannot be quantized: {error}.").format(name=name, error=error),
                    _("Get the model again."),
                ) from error
    return result


def _quantize(
    weight: Tensor, spec: QuantSpec, moments: Moments | None, method: Method, factors: dict[int, gptq.Factor]
) -> Weight:
    if method == "rtn":
        return rtn.quantize(weight, spec)
    if moments is None or not moments.tokens:
        return search.quantize(weight, spec)
    if method in ("search", "awq"):
        return search.quantize(weight, spec, moments.hessian.diagonal())
    if spec.group_size not in factors:
        factors[spec.group_size] = gptq.factorize(moments.hessian, spec.group_size)
    return gptq.quantize(weight, spec, factors[spec.group_size])
