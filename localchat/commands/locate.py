"""`localchat locate`: where everything lies."""

from __future__ import annotations

import typer

from localchat import paths
from localchat.commands.columns import padded
from localchat.translation import _


def register(app: typer.Typer) -> None:
    @app.command()
    def locate() -> None:
        """Print the folders and files that localchat uses."""
        places = {
            _("config"): paths.config_file(),
            _("history"): paths.history_file(),
            _("models"): paths.models_dir(),
            _("cache"): paths.cache_dir(),
            _("logs"): paths.state_dir(),
        }
        for name, path in places.items():
            print(padded(name, 8), path)
