"""Numbers as people read them: sizes, counts, durations, speeds."""

from __future__ import annotations

import math

from localchat.translation import _


def size(count: float) -> str:
    """Bytes in decimal units, as download pages give them: 98 MB, 5.2 MB, 1.1 GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            value = count / scale
            return f"{value:.1f} {unit}" if value < 10 and unit != "kB" else f"{value:.0f} {unit}"
    return f"{count:.0f} B"


def short_count(count: int) -> str:
    """Tokens in a narrow place: 812, 1.2k, 8k, 131k."""
    if count < 1000:
        return str(count)
    thousands = count / (1024 if count % 1024 == 0 else 1000)
    return f"{thousands:.1f}k" if thousands < 10 and not thousands.is_integer() else f"{thousands:.0f}k"


def duration(seconds: float) -> str:
    """0.4 s, 12 s, 1 min 05 s."""
    if seconds < 9.95:
        return _("{count} s").format(count=f"{seconds:.1f}")
    whole = round(seconds)
    if whole < 60:
        return _("{count} s").format(count=whole)
    if whole < 3600:
        return _("{minutes} min {seconds:02d} s").format(minutes=whole // 60, seconds=whole % 60)
    return _("{hours} h {minutes:02d} min").format(hours=whole // 3600, minutes=whole % 3600 // 60)


def speed(tokens_per_second: float) -> str:
    """84 tok/s; one decimal below ten."""
    if not math.isfinite(tokens_per_second) or tokens_per_second <= 0:
        return ""
    return _("{count} tok/s").format(count=f"{tokens_per_second:.{1 if tokens_per_second < 10 else 0}f}")
