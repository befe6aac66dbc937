"""How many tokens a cache makes room for in a layer; without torch, as the memory plan asks as well.

A layer that sees everything holds the whole context. One that sees a window holds that and some of what lies before it,
so that the cache can be cut back: stopping a reply, or asking for another one, then costs no second reading.
"""

from __future__ import annotations

from localchat.model.spec import ModelSpec

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
