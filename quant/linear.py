"""What a decoder is built of: a linear layer and an embedding that hold their weights quantized."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quant import kernels
from quant.tensor import QuantTensor


class QuantLinear(nn.Module):
    """`x @ weight.T + bias` with a quantized weight [out_features N, in_features K].

    Args:
        tensor: the weight. A tied embedding may share it.
        bias: float [N] or None.
        device: where it runs; that of the weight when not given.
    """

    def __init__(
        self, tensor: QuantTensor, bias: Tensor | None = None, device: torch.device | str | None = None
    ) -> None:
        super().__init__()
        device = torch.device(device) if device is not None else tensor.device
        self.out_features, self.in_features = tensor.shape
        self.tensor = tensor
        self.kernel = kernels.select(tensor, device)
        self.bias: Tensor | None
        self.register_buffer("bias", None if bias is None else bias.to(device, torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """x float32 [..., K] to float32 [..., N]."""
        y = self.kernel.matmul(x.reshape(-1, self.in_features))
        if self.bias is not None:
            y += self.bias
        return y.view(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}, {self.tensor.spec}, {self.kernel.name}"


class QuantEmbedding(nn.Module):
    """Look-up of rows of a quantized matrix [vocab_size, hidden_size]; only the rows asked for are read."""

    def __init__(self, tensor: QuantTensor) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = tensor.shape
        self.tensor = tensor

    def forward(self, ids: Tensor) -> Tensor:
        """ids int64 [T] to float32 [T, hidden_size].

        Raises:
            IndexError: an id is not in the vocabulary.
        """
        return self.tensor.rows(ids)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings} x {self.embedding_dim}, {self.tensor.spec}"
