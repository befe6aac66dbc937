"""Layers to quantize: random ones with inputs like those of a model, and measures of what came of them."""

from __future__ import annotations

import torch
from torch import Tensor

from quant.tensor import QuantTensor


def random_layer(rows: int = 96, columns: int = 256, tokens: int = 2048, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A weight [N, K] and inputs [tokens, K] with a few large columns and much in common between the others."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator) / columns**0.5
    mixed = torch.randn(tokens, columns // 4, generator=generator) @ torch.randn(
        columns // 4, columns, generator=generator
    )
    inputs = mixed / columns**0.5 + 0.3 * torch.randn(tokens, columns, generator=generator)
    inputs[:, torch.randperm(columns, generator=generator)[:6]] *= 20
    return weight, inputs


def output_error(tensor: QuantTensor | Tensor, weight: Tensor, inputs: Tensor) -> float:
    """Squared error of the outputs as a share of their square."""
    held = tensor.dequantize() if isinstance(tensor, QuantTensor) else tensor
    return float(((inputs @ (held - weight).T).norm() / (inputs @ weight.T).norm()).square())
