"""Our own CUDA kernels multiply as the reference does. They need a device: what can be said without one is said too."""

from __future__ import annotations

import pytest
import torch

from quant import rtn
from quant.kernels.cuda.module import Module, Unavailable
from quant.kernels.cuda.products import CUDAKernel, Products
from quant.kernels.reference import ReferenceKernel
from quant.spec import QuantSpec

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
SPECS = [QuantSpec(4), QuantSpec(4, 32, True), QuantSpec(4, 64), QuantSpec(4, 128), QuantSpec(8, 32), QuantSpec(8, 0)]
FEW_ERROR = 1e-4  # activations of 16 bits
MANY_ERROR = 5e-3  # bfloat16


@needs_cuda
@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(1, 128), (100, 128), (257, 384), (1536, 4096)])
def test_products_of_any_shape_are_those_of_the_reference(spec: QuantSpec, rows: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(rows + columns)
    tensor = rtn.quantize(torch.randn(rows, columns, generator=generator), spec)
    kernel, reference = CUDAKernel(tensor, torch.device("cuda")), ReferenceKernel(tensor)
    for count in (1, 2, 3, 5, 8, 9, 128, 300):
        x = torch.randn(count, columns, generator=generator)
        x[0, :32] = 0  # a group without a scale
        got, wanted = kernel.matmul(x.cuda()).cpu(), reference.matmul(x)
        assert got.shape == wanted.shape
        assert (got - wanted).norm() <= (FEW_ERROR if count <= 8 else MANY_ERROR) * wanted.norm()


@needs_cuda
def test_a_source_that_does_not_compile_says_where() -> None:
    with pytest.raises(Unavailable, match=r"cannot be compiled.*\(1\): error"):
        Module("nonsense", torch.device("cuda"))


def test_a_matrix_on_another_device_is_refused() -> None:
    tensor = rtn.quantize(torch.ones(16, 32), QuantSpec(4))
    assert Products().refusal(tensor, torch.device("cpu")) == "runs on cuda only"
