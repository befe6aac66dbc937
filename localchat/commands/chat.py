"""Open the app. The engine's process starts first and imports its libraries while the first frame is drawn."""

from __future__ import annotations

from localchat.engine.client import EngineClient


def open_app() -> int:
    """Run the app until the user leaves it; returns the exit status."""
    engine = EngineClient()
    engine.spawn()
    from localchat.ui.app import run

    return run(engine)
