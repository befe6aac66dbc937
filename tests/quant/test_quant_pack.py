"""The tile layout, byte by byte, and that nothing is lost in it."""

from __future__ import annotations

import pytest
import torch

from quant import pack

SHAPES = [(1, 32), (16, 32), (17, 64), (5, 96), (33, 576), (48, 896)]


def random_codes(bits: int, rows: int, columns: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rows * 1000 + columns + bits)
    low, high, dtype = (0, 16, torch.uint8) if bits == 4 else (-128, 128, torch.int8)
    return torch.randint(low, high, (rows, columns), generator=generator).to(dtype)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_unpacking_gives_the_codes_back_and_zero_padding(bits: int, rows: int, columns: int) -> None:
    codes = random_codes(bits, rows, columns)
    packed = pack.pack(codes, bits)
    assert tuple(packed.shape) == pack.packed_shape(bits, rows, columns)
    unpacked = pack.unpack(packed, bits)
    assert unpacked.dtype == codes.dtype
    assert torch.equal(unpacked[:rows], codes)
    assert not unpacked[rows:].any()


def test_int4_bytes_lie_where_the_layout_says() -> None:
    codes = random_codes(4, 32, 64)
    packed = pack.pack(codes, 4)
    for tile, block, load, row, byte in torch.cartesian_prod(*(torch.arange(n) for n in (2, 2, 4, 16, 4))).tolist():
        column = 32 * block + 8 * load + byte
        low, high = codes[16 * tile + row, column], codes[16 * tile + row, column + 4]
        assert packed[tile, block, load, row, byte] == low + 16 * high


def test_int8_bytes_lie_where_the_layout_says() -> None:
    codes = random_codes(8, 32, 64)
    packed = pack.pack(codes, 8).view(torch.int8)
    for tile, block, load, row, byte in torch.cartesian_prod(*(torch.arange(n) for n in (2, 2, 8, 16, 4))).tolist():
        assert packed[tile, block, load, row, byte] == codes[16 * tile + row, 32 * block + 4 * load + byte]


@pytest.mark.parametrize("bits", [4, 8])
def test_single_rows_unpack_as_in_the_whole(bits: int) -> None:
    codes = random_codes(bits, 37, 96)
    ids = torch.tensor([36, 0, 15, 16, 0])
    assert torch.equal(pack.unpack_rows(pack.pack(codes, bits), bits, ids), codes[ids])


def test_scales_lie_by_tile_and_group_and_come_back() -> None:
    scales = torch.arange(18 * 3).view(18, 3).half()
    packed = pack.pack_scales(scales)
    assert tuple(packed.shape) == pack.scales_shape(18, 3) == (2, 3, 16)
    assert packed[1, 2, 1] == scales[17, 2]
    assert torch.equal(pack.unpack_scales(packed)[:18], scales)
    ids = torch.tensor([17, 3])
    assert torch.equal(pack.unpack_scale_rows(packed, ids), scales[ids])


def test_codes_that_are_not_contiguous_pack_the_same() -> None:
    codes = random_codes(4, 64, 32)
    assert torch.equal(pack.pack(codes.t().contiguous().t(), 4), pack.pack(codes, 4))


@pytest.mark.parametrize("columns", [0, 16, 33, 48])
def test_rows_that_do_not_fill_tiles_are_refused(columns: int) -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        pack.packed_shape(4, 16, columns)
