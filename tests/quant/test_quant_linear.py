"""The two layers that a decoder is built of."""

from __future__ import annotations

import pytest
import torch

from quant import rtn
from quant.linear import QuantEmbedding, QuantLinear
from quant.spec import QuantSpec
from quant.tensor import QuantTensor


@pytest.fixture
def tensor() -> QuantTensor:
    return rtn.quantize(torch.randn(50, 64, generator=torch.Generator().manual_seed(0)), QuantSpec(4))


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALCHAT_KERNEL", "reference")


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("leading", [(), (1,), (7,), (2, 3)])
def test_linear_keeps_leading_dimensions_and_adds_the_bias(tensor: QuantTensor, leading: tuple[int, ...]) -> None:
    bias = torch.arange(50).float()
    x = torch.randn(*leading, 64, generator=torch.Generator().manual_seed(1))
    expected = x @ tensor.dequantize().t() + bias
    torch.testing.assert_close(QuantLinear(tensor, bias)(x), expected)


@pytest.mark.usefixtures("exact")
def test_linear_without_bias_is_the_product(tensor: QuantTensor) -> None:
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(QuantLinear(tensor)(x), x @ tensor.dequantize().t())


def test_linear_leaves_its_input_alone(tensor: QuantTensor) -> None:
    x = torch.ones(3, 64)
    QuantLinear(tensor, torch.ones(50))(x)
    assert torch.equal(x, torch.ones(3, 64))


def test_embedding_looks_rows_up(tensor: QuantTensor) -> None:
    ids = torch.tensor([49, 0, 0, 17])
    assert torch.equal(QuantEmbedding(tensor)(ids), tensor.dequantize()[ids])


def test_embedding_refuses_ids_outside_the_vocabulary(tensor: QuantTensor) -> None:
    with pytest.raises(IndexError):
        QuantEmbedding(tensor)(torch.tensor([50]))


def test_a_tied_embedding_shares_its_tensor_with_the_output(tensor: QuantTensor) -> None:
    assert QuantEmbedding(tensor).tensor is QuantLinear(tensor).tensor
