"""How many tokens a cache makes room for in a layer; without torch, as the memory plan asks as well.

A layer that sees everything holds the whole context. One that sees a window holds that and some of what lies before it,
so that the cache can be cut back: stopping a reply, or asking for another one, then costs no second reading.
"""

from __future__ import annotations

from typing import Literal

from localchat.model.spec import ModelSpec

CacheKind = Literal["full", "int8", "int4"]
"""How keys and values are held."""

CODE_BITS: dict[CacheKind, int] = {"int8": 8, "int4": 4}
"""Of the kinds that are quantized; see `localchat.engine.cache_codes`."""

SPAN = 128
"""Tokens that are quantized together: those of `quant.kernels.native`, which takes torch to import."""

TAIL = SPAN + 16
"""Newest tokens that a quantized cache holds in full."""

KEY_TOKENS = {8: SPAN, 4: 32}
"""By bits, tokens whose keys share scales."""

VALUE_CHANNELS = 32
"""Channels of a value in int4 that share a scale."""

SLACK = 1024
"""Tokens before its window that a sliding layer keeps, at least, when it lets go of the rest; that happens as often."""

STATE_MARKS = 3
"""Earlier places of a text, at most, of which states are held on to."""


def needed_from(spec: ModelSpec, layer: int, length: int) -> int:
    """First position of which the layer must hold keys and values once `length` tokens are known."""
    window = spec.window(layer)
    return 0 if window is None else max(0, length + 1 - window)


def kept_from(spec: ModelSpec, layer: int, length: int) -> int:
    """First position of which it should."""
    return max(0, needed_from(spec, layer, length) - SLACK)


def state_numbers(spec: ModelSpec) -> int:
    """Numbers, float32, that the layers without keys and values keep of a text, at one place of it."""
    linear = spec.linear_value_heads * spec.linear_key_dim * spec.linear_value_dim
    numbers = {
        "convolution": (spec.convolution_taps - 1) * spec.hidden_size,
        "linear": linear + (spec.convolution_taps - 1) * (2 * spec.linear_key_size + spec.linear_value_size),
    }
    return sum(numbers.get(spec.kind(layer), 0) for layer in range(spec.num_layers))


def most_room(spec: ModelSpec, layer: int, context_length: int) -> int:
    """Tokens for which the layer's keys and values take memory when the context is full."""
    window = spec.window(layer)
    return context_length if window is None else min(context_length, window + 2 * SLACK)


def code_rows(bits: int, head_dim: int) -> tuple[int, int, int, int]:
    """Of one head and span: bytes of codes of keys, numbers in float16 for their scales, and the same of values."""
    codes, groups = SPAN * head_dim * bits // 8, -(-head_dim // VALUE_CHANNELS)
    if bits == 8:
        return codes, head_dim, codes, SPAN
    return codes, SPAN // KEY_TOKENS[4] * 2 * head_dim, codes, groups * 2 * SPAN


def layer_bytes(spec: ModelSpec, layer: int, context_length: int, kind: CacheKind, number_bytes: int) -> int:
    """Memory that a layer's keys and values take when the context is full.

    Args:
        number_bytes: of one number of a key or a value in full.
    """
    heads, head_dim = spec.layer_key_value_heads(layer), spec.layer_head_dim(layer)
    room = most_room(spec, layer, context_length)
    if kind == "full":
        return 2 * number_bytes * heads * head_dim * room
    key_codes, key_scales, value_codes, value_scales = code_rows(CODE_BITS[kind], head_dim)
    spans = -(-room // SPAN)
    return heads * (spans * (key_codes + value_codes + 2 * (key_scales + value_scales)) + 2 * 2 * TAIL * head_dim)
