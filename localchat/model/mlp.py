"""The ways from a layer's normed input through its MLP; which one a layer takes is decided once, when it is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from localchat.model.spec import ModelSpec

Activation = Callable[[Tensor], Tensor]
ACTIVATIONS: Mapping[str, Activation] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}


class DenseMLP(Protocol):
    """A layer, or an expert of one."""

    activation: Activation
    gate_limit: float | None
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
    """One MLP of many, with a gate; a `DenseMLP`."""

    def __init__(self, gate: nn.Module, up: nn.Module, down: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self.gate, self.up, self.down = gate, up, down
        self.activation, self.gate_limit = ACTIVATIONS[spec.activation], spec.gate_limit
        self.mlp = mlp_of(spec)


def gated(block: DenseMLP, h: Tensor) -> Tensor:
    """SwiGLU and its kin (Shazeer, 2020): [T, hidden_size] to the same shape."""
    down: Tensor = block.down(block.activation(block.gate(h)) * block.up(h))
    return down


def limited(block: DenseMLP, h: Tensor) -> Tensor:
    """As `gated`, with gate and up kept within a limit and 1 added to up, as OpenAI's gpt-oss has it."""
    limit = block.gate_limit
    assert limit is not None
    gate, up = block.gate(h).clamp(max=limit), block.up(h).clamp(-limit, limit)
    down: Tensor = block.down(block.activation(gate) * (up + 1))
    return down


def plain(block: DenseMLP, h: Tensor) -> Tensor:
    """Without a gate: [T, hidden_size] to the same shape."""
    down: Tensor = block.down(block.activation(block.up(h)))
    return down


def mlp_of(spec: ModelSpec) -> Callable[[DenseMLP, Tensor], Tensor]:
    """How every MLP of the model computes, a layer's own or an expert's."""
    if not spec.gated_mlp:
        return plain
    return gated if spec.gate_limit is None else limited


def mixture(layer: Experts, h: Tensor) -> Tensor:
    """Each token through the experts that the router likes best (Fedus et al., 2022), weighted by how much."""
    weights, chosen = layer.router(h).softmax(-1).topk(layer.experts_per_token, dim=-1)  # [T, experts_per_token]
    if layer.normalize_expert_weights:
        weights = weights / weights.sum(-1, keepdim=True)
    mixed = torch.zeros_like(h)
    for number in chosen.unique().tolist():
        rows, places = torch.where(chosen == number)
        expert = layer.experts[number]
        mixed.index_add_(0, rows, expert.mlp(expert, h[rows]) * weights[rows, places, None])
    return mixed
