"""How sure the model was, as colour: nothing where it was sure, and warmer the less it was.

The steps are even to the eye: they go from the page's background over the theme's colour of warnings to that of errors
in the L*a*b* space, so that they read the same on a dark and on a light page. Whoever sees no colour sees the unsure
tokens underlined, and the least sure in bold as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from textual.color import Color, Lab, lab_to_rgb, rgb_to_lab
from textual.style import Style

STEPS = 8
"""Besides the one without colour."""

MOST_BITS = 6.0
"""Of surprise, from which on nothing gets warmer: one in 64."""

LEGIBLE = 4.5
"""Contrast that text needs."""

_WARMEST = 0.62  # of the way from the background to the colour of errors, so that text stays legible on it
_UNDERLINED, _BOLD = 3, 6  # steps from which on


def doubt(probability: float) -> float:
    """0 where a token was certain, 1 where it was hardly to be expected, by the bits of surprise."""
    return min(1.0, -math.log2(probability) / MOST_BITS) if probability > 0 else 1.0


def doubt_of_entropy(bits: float) -> float:
    """The same for an entropy."""
    return min(1.0, bits / MOST_BITS)


def step_of(doubt: float) -> int:
    """Which of the `STEPS` is that; 0 has no colour."""
    return round(doubt * STEPS)


@dataclass(frozen=True, slots=True)
class Ramp:
    """The styles of tokens by step; the first changes nothing."""

    styles: tuple[Style, ...]

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Ramp:
        """In the colours of a theme, by the names of its CSS variables."""
        background, foreground, warning, error = (
            Color.parse(variables[name]) for name in ("background", "foreground", "warning", "error")
        )
        styles = [Style()]
        for step in range(1, STEPS + 1):
            underline, bold = step >= _UNDERLINED, step >= _BOLD
            if background.ansi is not None:  # the terminal's own colours, which cannot be mixed
                styles.append(Style(underline=underline, bold=bold))
                continue
            color = _mixed(background, warning, error, step / STEPS)
            styles.append(Style(color, _legible(color, foreground), underline=underline, bold=bold))
        return cls(tuple(styles))


def _mixed(background: Color, warning: Color, error: Color, share: float) -> Color:
    """On the way from the background over the warning to the error."""
    here, middle, there = (rgb_to_lab(color) for color in (background, warning, error))
    target = _between(middle, there, share)
    return lab_to_rgb(_between(here, target, share * _WARMEST))


def _between(one: Lab, other: Lab, share: float) -> Lab:
    return Lab(*(a + (b - a) * share for a, b in zip(one, other, strict=True)))


def _legible(color: Color, foreground: Color) -> Color:
    """The foreground, or black or white where it could not be read on this."""
    candidates = (foreground, Color(0, 0, 0), Color(255, 255, 255))
    enough = next((each for each in candidates if contrast(each, color) >= LEGIBLE), None)
    return enough or max(candidates, key=lambda each: contrast(each, color))


def contrast(one: Color, other: Color) -> float:
    """From 1 to 21 (Web Content Accessibility Guidelines 2.1, contrast ratio)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: Color) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color.normalized]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
