"""Fixtures of the tests that ask the real model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localchat.engine.facade import Engine


@pytest.fixture(scope="module")
def engine(smollm2_folder: Path) -> Iterator[Engine]:
    """SmolLM2 with a small context, loaded once for the tests of a file."""
    loaded = Engine()
    loaded.load(smollm2_folder, context_length=512)
    yield loaded
    loaded.unload()
