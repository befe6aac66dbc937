"""Open the app. The engine's process starts first and imports its libraries while the first frame is drawn."""

from __future__ import annotations

import gc

from localchat.engine.client import EngineClient


def open_app() -> int:
    """Run the app until the user leaves it; returns the exit status."""
    engine = EngineClient()
    engine.spawn()
    # Thousands of classes and functions are made while importing, and none of them is garbage.
    gc.disable()
    from localchat.ui.app import run

    gc.freeze()
    gc.enable()
    return run(engine)
