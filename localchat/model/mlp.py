"""The ways from a layer's normed input through its MLP; which one a layer takes is decided once, when it is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Activation = Callable[[Tensor], Tensor]
ACTIVATIONS: Mapping[str, Activation] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
}


class DenseMLP(Protocol):
    """A layer, or an expert of one."""

    activation: Activation
    gate: nn.Module
    up: nn.Module
    down: nn.Module


class Experts(Protocol):
    """A layer with a mixture of experts."""

    router: nn.Module
    experts: nn.ModuleList
    experts_per_token: int
    normalize_expert_weights: bool


class Expert(nn.Module):
    """One MLP of many; a `DenseMLP`."""

    def __init__(self, gate: nn.Module, up: nn.Module, down: nn.Module, activation: Activation) -> None:
        super().__init__()
        self.gate, self.up, self.down, self.activation = gate, up, down, activation


def gated(block: DenseMLP, h: Tensor) -> Tensor:
    """SwiGLU and its kin (Shazeer, 2020): [T, hidden_size] to the same shape."""
    down: Tensor = block.down(block.activation(block.gate(h)) * block.up(h))
    return down


def plain(block: DenseMLP, h: Tensor) -> Tensor:
    """Without a gate: [T, hidden_size] to the same shape."""
    down: Tensor = block.down(block.activation(block.up(h)))
    return down


def mixture(layer: Experts, h: Tensor) -> Tensor:
    """Each token through the experts that the router likes best (Fedus et al., 2022), weighted by how much."""
    weights, chosen = layer.router(h).softmax(-1).topk(layer.experts_per_token, dim=-1)  # [T, experts_per_token]
    if layer.normalize_expert_weights:
        weights = weights / weights.sum(-1, keepdim=True)
    mixed = torch.zeros_like(h)
    for number in chosen.unique().tolist():
        rows, places = torch.where(chosen == number)
        mixed.index_add_(0, rows, gated(layer.experts[number], h[rows]) * weights[rows, places, None])
    return mixed
