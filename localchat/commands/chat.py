"""Open the app, or its plain lines. The engine's process starts first and imports its libraries meanwhile."""

from __future__ import annotations

import gc
from pathlib import Path

from localchat.engine.client import EngineClient


def open_app(linear: bool = False, document: Path | None = None) -> int:
    """Run the app until the user leaves it; returns the exit status.

    Args:
        linear: plain lines instead of a screen; the settings may want them too.
        document: a text to begin with, which only a screen shows.
    """
    from localchat.commands.settings import lenient_config

    engine = EngineClient()
    engine.spawn()
    config, troubles = lenient_config()
    if (linear or config.linear) and document is None:
        from localchat.commands.linear import talk

        return talk(engine, config, troubles)
    # Thousands of classes and functions are made while importing, and none of them is garbage.
    gc.disable()
    from localchat.ui.app import run

    gc.freeze()
    gc.enable()
    return run(engine, config, troubles, document)
