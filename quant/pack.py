"""Bit layouts, known here and nowhere else: integer codes and scales to and from tiles of 16 rows.

A tile is 16 rows by 32 columns, so that one 512-bit register holds a word of each row, and AVX2 and NEON read the same
bytes in halves and quarters:

    int4  [N/16][K/32][4 loads][16 rows][4 bytes]; byte i of row r in load j: columns 8j+i (low nibble) and 8j+4+i
    int8  [N/16][K/32][8 loads][16 rows][4 bytes]; byte i of row r in load j: column 4j+i, signed
    scales and minimums  [N/16][groups][16 rows]

Rows are padded to 16 with zero codes and zero scales, so that padding dequantizes to zero.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

TILE_ROWS = 16
TILE_COLUMNS = 32
_LOADS = {4: 4, 8: 8}


def padded(rows: int) -> int:
    """`rows` rounded up to whole tiles."""
    return -(-rows // TILE_ROWS) * TILE_ROWS


def packed_shape(bits: int, rows: int, columns: int) -> tuple[int, ...]:
    """Shape of the uint8 tensor that holds the codes of [rows, columns].

    Raises:
        ValueError: `columns` is not a multiple of 32.
    """
    if columns <= 0 or columns % TILE_COLUMNS:
        raise ValueError(f"a row of {columns} weights cannot be tiled: it must be a multiple of {TILE_COLUMNS}")
    return padded(rows) // TILE_ROWS, columns // TILE_COLUMNS, _LOADS[bits], TILE_ROWS, 4


def scales_shape(rows: int, groups: int) -> tuple[int, ...]:
    """Shape of the tensor that holds the scales, or the minimums, of [rows, groups]."""
    return padded(rows) // TILE_ROWS, groups, TILE_ROWS


def pack(codes: Tensor, bits: int) -> Tensor:
    """Codes [N, K] (uint8 0..15 for int4, int8 for int8) to a uint8 tensor of `packed_shape`."""
    tiles, blocks, loads, _, _ = packed_shape(bits, *codes.shape)
    codes = _pad_rows(codes)
    # Words of 4 bytes, [row, block, load]: moving them whole is several times faster than moving bytes.
    words = codes.contiguous().view(torch.int32)
    if bits == 4:
        words = words.view(-1, blocks, loads, 2)
        words = words[..., 0] | (words[..., 1] << 4)
    tiled = words.view(tiles, TILE_ROWS, blocks, loads).permute(0, 2, 3, 1).contiguous()
    return tiled.view(torch.uint8).view(tiles, blocks, loads, TILE_ROWS, 4)


def unpack(packed: Tensor, bits: int) -> Tensor:
    """The inverse of `pack`, padding included: codes [padded N, K], uint8 for int4 and int8 for int8."""
    return _unpack_row_words(packed.view(torch.int32).squeeze(-1).permute(0, 3, 1, 2).flatten(0, 1), bits)


def unpack_rows(packed: Tensor, bits: int, ids: Tensor) -> Tensor:
    """Codes [len(ids), K] of some rows; only their bytes are read."""
    words = packed.view(torch.int32).squeeze(-1)  # [tile, block, load, row]
    return _unpack_row_words(words[ids // TILE_ROWS, :, :, ids % TILE_ROWS], bits)


def pack_scales(scales: Tensor) -> Tensor:
    """Scales or minimums [N, groups] to a tensor of `scales_shape`."""
    scales = _pad_rows(scales)
    return scales.reshape(-1, TILE_ROWS, scales.shape[1]).transpose(1, 2).contiguous()


def unpack_scales(packed: Tensor) -> Tensor:
    """The inverse of `pack_scales`, padding included: [padded N, groups]."""
    return packed.transpose(1, 2).reshape(-1, packed.shape[1])


def unpack_scale_rows(packed: Tensor, ids: Tensor) -> Tensor:
    """Scales [len(ids), groups] of some rows."""
    return packed[ids // TILE_ROWS, :, ids % TILE_ROWS]


def _unpack_row_words(words: Tensor, bits: int) -> Tensor:
    """int32 words [rows, block, load] in row order to codes [rows, K]."""
    if bits == 8:
        return words.contiguous().view(torch.int8).flatten(1)
    # A word has 8 codes. Widened to 64 bits, the low nibbles stay in the low half and the high ones move to the high
    # half, which (little-endian) is the order of the columns.
    wide = words.to(torch.int64, memory_format=torch.contiguous_format)
    high = (wide & 0xF0F0F0F0).bitwise_left_shift_(28)
    return wide.bitwise_and_(0x0F0F0F0F).bitwise_or_(high).view(torch.uint8).flatten(1)


def _pad_rows(matrix: Tensor) -> Tensor:
    missing = padded(matrix.shape[0]) - matrix.shape[0]
    return F.pad(matrix, (0, 0, 0, missing)) if missing else matrix
