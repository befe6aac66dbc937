"""What every layer is told of each token beside what the layer before gives (Gemma 3n and Gemma 4).

It is made once for all layers, of the token alone by an embedding of its own, and of the usual embedding by a
projection; a layer gates it by what it has computed itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from localchat.model.mlp import ACTIVATIONS
from localchat.model.modules import Weight, embedding, linear, norm
from localchat.model.spec import ModelSpec


class PerLayerInputs(nn.Module):
    """From tokens to what all layers are told of them."""

    def __init__(self, spec: ModelSpec, weights: Mapping[str, Weight], device: torch.device) -> None:
        super().__init__()
        self.size = spec.per_layer_size
        self.embedding = embedding(weights["per_layer_embedding"])
        self.projection = linear(weights, "per_layer_projection", device=device)
        self.norm = norm(weights, spec, "per_layer_norm", device=device)
        self._scale = spec.hidden_size**-0.5

    def forward(self, tokens: Tensor, x: Tensor) -> Tensor:
        """float32 [T, num_layers, per_layer_size] of tokens [T] and what the first layer reads, [T, hidden_size]."""
        shape = len(tokens), -1, self.size
        projected = self.norm((self.projection(x) * self._scale).view(shape))
        of_token = self.embedding(tokens).view(shape) * self.size**0.5
        told: Tensor = (projected + of_token.to(x.device)) * 2**-0.5
        return told


class Listening(nn.Module):
    """A layer's own part of it."""

    def __init__(self, spec: ModelSpec, own: Mapping[str, Weight], index: int, device: torch.device) -> None:
        super().__init__()
        self.index, self.activation = index, ACTIVATIONS[spec.activation]
        self.gate, self.output = (linear(own, name, device=device) for name in ("beside_gate", "beside_output"))
        self.norm = norm(own, spec, "post_beside_norm", device=device)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """What the layer gives, [T, hidden_size], and what all are told; returns the shape of the former."""
        heard: Tensor = self.norm(self.output(self.activation(self.gate(x)) * told[:, self.index]))
        return x + heard
