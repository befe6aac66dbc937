"""Every instruction set of the C++ kernels gives the reference's results, at any shape, scale and number of threads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from localchat.engine.kv_cache import KVCache, NativeKVCache
from localchat.model.spec import ModelSpec
from quant import pack, rtn
from quant.kernels import native
from quant.kernels.native import NativeKernel, NotFinite
from quant.spec import ROW_GROUP, QuantSpec
from quant.tensor import QuantTensor

SPECS = [
    *(QuantSpec(4, group, symmetric) for group, symmetric in itertools.product((32, 64, 128), (False, True))),
    *(QuantSpec(8, group) for group in (32, 64, 128, ROW_GROUP)),
]
COUNTS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 64, 100]
HEADS = [(1, 2), (3, 2), (7, 1), (8, 1)]  # queries that share a key head, key heads
CHUNKS = [33, 1, 2, 3, 200, 4, 5, 6, 7, 8, 9]


@pytest.fixture(autouse=True, params=native.instruction_sets() or ("none",))
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """The kernels compute with this one during a test, and afterwards with what they would take anyway."""
    if isinstance(reason := native.library(), str):
        pytest.skip(f"the library is {reason}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCALCHAT_KERNEL", request.param)
        native.set_threads(1)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the arithmetic is too small to share, and the machine may have other work
        yield request.param
    torch.set_num_threads(threads)
    native.set_threads(threads)
    native.ready_library()


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def example(spec: QuantSpec, rows: int, columns: int) -> QuantTensor:
    return rtn.quantize(0.05 * random(rows, columns, seed=rows + columns) + 0.01 * random(rows, 1), spec)


def assert_close_for_int8(y: Tensor, x: Tensor, tensor: QuantTensor) -> None:
    """Each activation is off by at most half of a step, of which the range of its group of 32 has 254."""
    weight = tensor.dequantize().double()
    groups = x.double().view(len(x), -1, 32)
    half_step = ((groups.amax(-1) - groups.amin(-1)) / 508 + 1e-30).repeat_interleave(32, 1)
    expected, size = x.double() @ weight.t(), x.double().abs() @ weight.abs().t()
    assert y.dtype == torch.float32
    assert ((y - expected).abs() <= half_step @ weight.abs().t() + 2e-5 * size).all()
    if y.numel() >= 64:
        assert (y - expected).norm() <= 0.012 * expected.norm()


def spec_of_attention(shared: int, key_heads: int, head_dim: int) -> ModelSpec:
    return ModelSpec(
        family="llama",
        vocab_size=10,
        hidden_size=shared * key_heads * head_dim,
        intermediate_size=32,
        num_layers=2,
        num_heads=shared * key_heads,
        num_key_value_heads=key_heads,
        head_dim=head_dim,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        context_length=4096,
    )


def attend(cache: KVCache, chunks: list[int]) -> Tensor:
    """Attention in the second layer, chunk by chunk, over keys and values that float16 holds exactly."""
    spec, total = cache.spec, sum(chunks)
    queries = 2 * random(spec.num_heads, total, spec.head_dim, seed=1)
    keys = random(spec.num_key_value_heads, total, spec.head_dim, seed=2).half().float()
    values = random(spec.num_key_value_heads, total, spec.head_dim, seed=3).half().float()
    results = []
    for count in chunks:
        at = slice(cache.length, cache.length + count)
        results.append(cache.attend(1, queries[:, at], keys[:, at], values[:, at]))
        cache.advance(count)
    return torch.cat(results, dim=1)


def test_the_environment_chooses_the_instruction_set(instruction_set: str) -> None:
    assert NativeKernel(example(QuantSpec(4), 16, 32)).name == f"{instruction_set} int4 x int8"


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_products_are_those_of_the_reference(spec: QuantSpec) -> None:
    for rows, columns in [(16, 128), (50, 384), (100, 1152)]:
        tensor = example(spec, rows, columns)
        kernel = NativeKernel(tensor)
        for count in COUNTS:
            x = random(count, columns, seed=count)
            assert_close_for_int8(kernel.matmul(x), x, tensor)


def test_products_of_a_long_text_are_those_of_the_reference() -> None:
    for spec in (QuantSpec(4), QuantSpec(8, 32)):
        tensor, x = example(spec, 70, 640), random(512, 640)
        assert_close_for_int8(NativeKernel(tensor).matmul(x), x, tensor)


@pytest.mark.parametrize("spec", [QuantSpec(4), QuantSpec(4, 32, symmetric=True), QuantSpec(8, 32)], ids=str)
@pytest.mark.parametrize("columns", [32, 544])
def test_any_number_of_rows_is_multiplied(spec: QuantSpec, columns: int) -> None:
    for rows in (*range(1, 18), *range(33, 49)):
        tensor = example(spec, rows, columns)
        for count in (5, 11):
            x = random(count, columns, seed=count)
            assert_close_for_int8(NativeKernel(tensor).matmul(x), x, tensor)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_instruction_sets_agree_but_for_rounding(spec: QuantSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = example(spec, 50, 640)
    for count in COUNTS:
        x = 3 * random(count, 640, seed=count) + 0.5
        ours = NativeKernel(tensor).matmul(x)
        with monkeypatch.context() as patch:
            patch.setenv("LOCALCHAT_KERNEL", native.instruction_sets()[-1])
            theirs = NativeKernel(tensor).matmul(x)
        assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_token_gives_the_same_bits_alone_and_in_a_text(spec: QuantSpec) -> None:
    kernel = NativeKernel(example(spec, 50, 640))
    x = random(70, 640)
    together = kernel.matmul(x)
    for count in (1, 3, 8, 9, 70):
        assert torch.equal(torch.cat([kernel.matmul(part) for part in torch.split(x, count)]), together)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_scales_and_activations_may_be_tiny_or_huge(spec: QuantSpec) -> None:
    """Scales from float16's smallest subnormal number to 60000, activations from 1e-38 to 1e30; in no order."""
    tensor = example(spec, 40, 256)
    scales = torch.tensor([6e-8, -3e-7, 6e-5, 1e-3, 1.0, -200.0, 60000.0])
    parts = tensor.parts()
    for name in parts.keys() - {"packed"}:
        parts[name] = scales[torch.arange(parts[name].numel()) % len(scales)].view(parts[name].shape).to(parts[name])
    tensor = QuantTensor.from_parts(spec, tensor.shape, parts)
    sizes = torch.tensor([1e-38, 1e-33, 1e-25, 1e-8, 1.0, 1e9, 1e20, 1e30])
    for count in (1, 3, 8, 20):
        x = random(count, 256, seed=count) * sizes[torch.arange(count) % len(sizes), None]
        assert_close_for_int8(NativeKernel(tensor).matmul(x), x, tensor)
        x = (random(count, 8, 32, seed=count) * sizes[torch.arange(8), None]).view(count, 256)
        assert_close_for_int8(NativeKernel(tensor).matmul(x), x, tensor)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_largest_codes_and_activations_overflow_nothing(spec: QuantSpec) -> None:
    largest = (0, 15) if spec.bits == 4 else (-128, 127)
    for code, sign in itertools.product(largest, (-1, 1)):
        codes = torch.full((16, 128), code, dtype=torch.uint8 if spec.bits == 4 else torch.int8)
        parts = {name: torch.ones_like(part) for name, part in example(spec, 16, 128).parts().items()}
        parts["packed"] = pack.pack(codes, spec.bits)
        tensor = QuantTensor.from_parts(spec, (16, 128), parts)
        x = torch.full((12, 128), float(sign))
        x[:, ::32] = -sign  # the others are then as far from the middle of their group as can be
        for count in (1, 12):
            assert_close_for_int8(NativeKernel(tensor).matmul(x[:count]), x[:count], tensor)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_zeros_and_constants_are_exact(spec: QuantSpec) -> None:
    tensor = example(spec, 20, 128)
    kernel, sums = NativeKernel(tensor), tensor.dequantize().double().sum(1)
    for count in (1, 12):
        assert torch.equal(kernel.matmul(torch.zeros(count, 128)), torch.zeros(count, 20))
        y = kernel.matmul(torch.full((count, 128), 3.0))
        torch.testing.assert_close(y, (3 * sums).float().expand(count, -1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("count", [1, 4, 30])
def test_what_is_no_number_is_refused(odd: float, count: int) -> None:
    kernel = NativeKernel(example(QuantSpec(4), 20, 96))
    for at in (0, 17, 95, 96 * count - 1):
        x = random(count, 96)
        x.view(-1)[at] = odd
        with pytest.raises(NotFinite):
            kernel.matmul(x)
    kernel.matmul(random(count, 96))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_rows_are_those_of_the_tensor(spec: QuantSpec) -> None:
    tensor = example(spec, 50, 384)
    for count in (0, 1, 4, 5, 60):
        ids = torch.randint(50, (count,), generator=torch.Generator().manual_seed(count))
        assert torch.equal(NativeKernel(tensor).rows(ids), tensor.rows(ids))


@pytest.mark.parametrize("wrong", [-1, 50, 2**40])
def test_a_row_that_does_not_exist_is_refused(wrong: int) -> None:
    kernel = NativeKernel(example(QuantSpec(4), 50, 32))
    for ids in ([wrong], [0, 1, 2, 3, 4, wrong]):
        with pytest.raises(IndexError):
            kernel.rows(torch.tensor(ids))


@pytest.mark.parametrize(("shared", "key_heads"), HEADS)
@pytest.mark.parametrize("head_dim", [16, 48, 64, 80, 128, 256])
def test_attention_is_that_of_the_torch_cache(shared: int, key_heads: int, head_dim: int) -> None:
    spec = spec_of_attention(shared, key_heads, head_dim)
    result, expected = attend(NativeKVCache(spec, 4096), CHUNKS), attend(KVCache(spec, 4096), CHUNKS)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunks", [[500, 11, 1, 2, 1, 500, 8, 1, 9, 1000, 3, 7, 1, 900, 5, 8, 1], [3000, 1, 4, 33]])
def test_attention_reaches_back_over_a_long_text(chunks: list[int]) -> None:
    spec = spec_of_attention(3, 1, 32)
    result, expected = attend(NativeKVCache(spec, 4096), chunks), attend(KVCache(spec, 4096), chunks)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("shared", "key_heads"), HEADS)
def test_attention_gives_the_same_bits_in_pieces_and_at_once(shared: int, key_heads: int) -> None:
    spec = spec_of_attention(shared, key_heads, 48)
    at_once = attend(NativeKVCache(spec, 4096), [700])
    for chunks in ([1] * 30 + [670], [5, 8, 7, 100, 300, 280], [350, 350], [699, 1]):
        assert torch.equal(attend(NativeKVCache(spec, 4096), chunks), at_once)


def test_keys_and_values_beyond_float16_are_held_at_its_largest() -> None:
    spec = spec_of_attention(2, 1, 16)
    cache = NativeKVCache(spec, 64)
    keys, values = torch.zeros(1, 3, 16), torch.tensor([1e9, -1e9, 70000.0]).view(1, 3, 1).expand(1, 3, 16)
    result = cache.attend(0, torch.ones(2, 3, 16), keys, values)
    expected = torch.tensor([65504.0, 0.0, 65504.0 / 3]).view(1, 3, 1).expand(2, 3, 16)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=0.01)


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    tensors = [example(QuantSpec(4), 330, 384), example(QuantSpec(8, 32), 330, 384)]
    spec, results = spec_of_attention(3, 2, 64), []
    for threads in (1, 2, 5):
        native.set_threads(threads)
        products = [NativeKernel(each).matmul(random(count, 384)) for each in tensors for count in (1, 6, 40)]
        results.append([*products, attend(NativeKVCache(spec, 4096), [600, 1, 7, 20])])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
