"""`localchat locate`: where everything lies."""

from __future__ import annotations

import typer

from localchat import paths


def register(app: typer.Typer) -> None:
    @app.command()
    def locate() -> None:
        """Print the folders and files that localchat uses."""
        places = {
            "config": paths.config_file(),
            "history": paths.history_file(),
            "models": paths.models_dir(),
            "cache": paths.cache_dir(),
            "logs": paths.state_dir(),
        }
        for name, path in places.items():
            print(f"{name:8} {path}")
