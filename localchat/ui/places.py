"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path


def short_path(path: Path) -> str:
    """With ~ for the user's home."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)
