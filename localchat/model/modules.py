"""Weights as the modules that the decoder is built of: quantized ones as they are, dense ones in float32."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from localchat.model.norm import LayerNorm, RMSNorm
from localchat.model.spec import ModelSpec
from quant.linear import QuantEmbedding, QuantLinear
from quant.tensor import QuantTensor

Weight = Tensor | QuantTensor


def dense(weight: Weight) -> Tensor:
    """Its numbers, float32."""
    return weight.dequantize() if isinstance(weight, QuantTensor) else weight.to(torch.float32)


def norm_or_nothing(weights: Mapping[str, Weight], spec: ModelSpec, name: str, *, device: torch.device) -> nn.Module:
    """The norm `name`, or none where there is no such weight."""
    return norm(weights, spec, name, device=device) if name in weights else nn.Identity()


def norm(weights: Mapping[str, Weight], spec: ModelSpec, name: str, *, device: torch.device) -> RMSNorm | LayerNorm:
    """The norm `name`, of the kind that the model has."""
    weight = dense(weights[name]).to(device)
    if spec.norm == "layer":
        return LayerNorm(weight, dense(weights[f"{name}.bias"]).to(device), spec.rms_norm_eps)
    return RMSNorm(weight, spec.rms_norm_eps)


def linear(weights: Mapping[str, Weight], name: str, *, device: torch.device) -> nn.Module:
    """The matrix `name`, with its bias where it has one."""
    weight = weights[name]
    bias = dense(weights[f"{name}.bias"]) if f"{name}.bias" in weights else None
    if isinstance(weight, QuantTensor):
        return QuantLinear(weight, bias, device)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(dense(weight).to(device), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.to(device), requires_grad=False)
    return layer


def embedding(weight: Weight) -> nn.Module:
    """Rows to look up, where they are."""
    if isinstance(weight, QuantTensor):
        return QuantEmbedding(weight)
    layer = nn.Embedding(weight.shape[0], weight.shape[1], device="meta")
    layer.weight = nn.Parameter(dense(weight), requires_grad=False)
    return layer
