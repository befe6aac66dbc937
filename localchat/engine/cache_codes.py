"""Keys and values as integer codes, span by span: what a quantized cache holds, and what it means.

A span is 128 tokens from a multiple of 128 on. Of every head and span there are four rows of numbers, the same on every
device, which the CPU kernels read as they are (`quant/kernels/cpu/api.h`); H heads, n spans, D channels of a head:

    key_codes     uint8    [H, n, 128 * D * bits / 8]     tiles of 16 tokens by all channels
    key_scales    float16  [H, n, D] of int8; of int4 [H, n, 4 groups of 32 tokens * 2 * D], scales and then minimums
    value_codes   uint8    [H, n, 128 * D * bits / 8]     tiles of 16 channels by all tokens
    value_scales  float16  [H, n, 128] of int8; of int4 [H, n, groups of 32 channels * 2 * 128], as above

A tile of L = 16 lanes by C columns:

    int8  [C / 4][16 lanes][4 bytes]; byte i of lane r in load j: column 4j + i, signed, -127 to 127
    int4  [C / 8][16 lanes][4 bytes]; byte i of lane r in load j: columns 8j + i (low nibble) and 8j + 4 + i (high)

    int8  number = code * scale                  scale = largest magnitude / 127
    int4  number = code * scale + minimum        scale = (largest - smallest) / 15

Keys have scales of their own for every channel, as a few channels are much larger than the others; values for every
token (KIVI: Liu et al., 2024). What is quantized is rounded to float16 first. Rounding is to the nearest even code, by
the scale that is kept, so that the kernels and this module agree to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from localchat.model.cache_room import KEY_TOKENS, SPAN, VALUE_CHANNELS

_LANES = 16
_LEAST_SCALE = 1e-30  # stands in for none, so that nothing is divided by zero
MOST = 65504.0
"""The largest float16; what is larger is held as that."""


@dataclass(frozen=True, slots=True)
class Codes:
    """See the module."""

    key_codes: Tensor
    key_scales: Tensor
    value_codes: Tensor
    value_scales: Tensor

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.key_codes, self.key_scales, self.value_codes, self.value_scales


def encode(keys: Tensor, values: Tensor, bits: int) -> Codes:
    """float16 [H, n * 128, D] each to codes."""
    heads, tokens, channels = keys.shape
    keys = keys.float().view(heads, -1, KEY_TOKENS[bits], channels)
    key_codes, key_scales = _rounded(keys, bits, 2)  # scales [H, groups, 1 or 2, D]
    spans = tokens // SPAN
    values = values.float().view(heads, spans, SPAN, channels)
    parts = [_rounded(part, bits, 3) for part in torch.split(values, channels if bits == 8 else VALUE_CHANNELS, dim=3)]
    value_codes = torch.cat([codes for codes, _ in parts], dim=3)
    value_scales = torch.stack([scales for _, scales in parts], dim=2)  # [H, n, groups, 1 or 2, 128]
    return Codes(
        _tiled(key_codes.view(heads, spans, SPAN, channels), bits),
        key_scales.half().reshape(heads, spans, -1),
        _tiled(value_codes.mT, bits),
        value_scales.half().reshape(heads, spans, -1),
    )


def decode(codes: Codes, bits: int) -> tuple[Tensor, Tensor]:
    """Keys and values, float32 [H, n * 128, D]."""
    heads, spans, numbers = codes.key_codes.shape
    channels, groups, terms = numbers * 8 // bits // SPAN, SPAN // KEY_TOKENS[bits], 1 if bits == 8 else 2
    key_scales = codes.key_scales.float().view(heads, spans, groups, terms, channels)
    keys = _untiled(codes.key_codes, bits, SPAN).view(heads, spans, groups, KEY_TOKENS[bits], channels)
    keys = keys * key_scales[:, :, :, :1]
    values = _untiled(codes.value_codes, bits, channels).mT  # [H, n, 128, D]
    groups = 1 if bits == 8 else -(-channels // VALUE_CHANNELS)
    value_scales = codes.value_scales.float().view(heads, spans, groups, terms, SPAN).permute(0, 1, 3, 4, 2)
    repeated = value_scales.repeat_interleave(channels if bits == 8 else VALUE_CHANNELS, dim=4)
    by_channel = repeated[..., :channels]  # [H, n, 1 or 2, 128, D]
    values = values * by_channel[:, :, 0]
    if bits == 4:
        keys, values = keys + key_scales[:, :, :, 1:], values + by_channel[:, :, 1]
    return keys.reshape(heads, spans * SPAN, channels), values.reshape(heads, spans * SPAN, channels)


def _rounded(x: Tensor, bits: int, dim: int) -> tuple[Tensor, Tensor]:
    """Codes, int32 of the shape of x, and the scales of what lies along `dim`, with the minimums of int4, as float16
    has them: [..., 1 or 2, ...] in the place of that dimension, which of values is the last but one then."""
    high, low = x.amax(dim, keepdim=True), x.amin(dim, keepdim=True)
    if bits == 8:
        scale = (torch.maximum(high, -low) / 127).half().float()
        minimum, least, most = torch.zeros_like(scale), -127, 127
    else:
        scale, minimum = ((high - low) / 15).half().float(), low.half().float()
        least, most = 0, 15
    codes = ((x - minimum) / scale.clamp_min(_LEAST_SCALE)).clamp(least, most).round().int()
    terms = [scale] if bits == 8 else [scale, minimum]
    return codes, torch.cat(terms, dim) if dim == 2 else torch.cat(terms, dim).mT


def _tiled(codes: Tensor, bits: int) -> Tensor:
    """Codes [H, n, lanes, columns] to uint8 rows [H, n, lanes * columns * bits / 8]."""
    heads, spans, lanes, _columns = codes.shape
    tiles = codes.reshape(heads, spans, lanes // _LANES, _LANES, -1, 32 // bits).transpose(3, 4)
    if bits == 4:
        tiles = tiles[..., :4] | tiles[..., 4:] << 4
    return (tiles & 255).to(torch.uint8).reshape(heads, spans, -1)


def _untiled(rows: Tensor, bits: int, lanes: int) -> Tensor:
    """Codes [H, n, lanes, columns], float32."""
    heads, spans, numbers = rows.shape
    tiles = rows.reshape(heads, spans, lanes // _LANES, numbers // lanes // 4, _LANES, 4)
    codes = tiles.view(torch.int8) if bits == 8 else torch.cat((tiles & 15, tiles >> 4), dim=5)
    return codes.transpose(3, 4).reshape(heads, spans, lanes, numbers * 8 // bits // lanes).float()
