"""Where things live. Computing a path never creates it; `ensure` does.

`LOCALCHAT_HOME` puts all four folders under one; `LOCALCHAT_CONFIG_DIR`, `_DATA_DIR`, `_CACHE_DIR` and `_STATE_DIR`
override one each.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from localchat.errors import StorageFailed
from localchat.translation import _


def _folder(kind: str) -> Path:
    if own := os.environ.get(f"LOCALCHAT_{kind.upper()}_DIR"):
        return Path(own).expanduser()
    if home := os.environ.get("LOCALCHAT_HOME"):
        return Path(home).expanduser() / kind
    return {
        "config": platformdirs.user_config_path,
        "data": platformdirs.user_data_path,
        "cache": platformdirs.user_cache_path,
        "state": platformdirs.user_state_path,
    }[kind]("localchat", appauthor=False)


def config_dir() -> Path:
    """Folder of `config.toml`, `presets.toml` and `themes/`."""
    return _folder("config")


def data_dir() -> Path:
    """Folder of `history.db` and `models/`."""
    return _folder("data")


def cache_dir() -> Path:
    """Folder of what can be made again: partial downloads, snapshots of keys and values."""
    return _folder("cache")


def state_dir() -> Path:
    """Folder of logs."""
    return _folder("state")


def config_file() -> Path:
    return config_dir() / "config.toml"


def history_file() -> Path:
    return data_dir() / "history.db"


def models_dir() -> Path:
    return data_dir() / "models"


def engine_log() -> Path:
    return state_dir() / "engine.log"


def assets_dir() -> Path:
    """Folder of what ships with the program: inside the package when installed, beside it in a checkout."""
    installed = Path(__file__).parent / "assets"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "assets"


def ensure(folder: Path) -> Path:
    """Create `folder` (and its parents) if it is not there.

    Raises:
        StorageFailed: it cannot be created, or is not a folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFailed(
            _("The folder {folder} cannot be created ({reason}).").format(
                folder=folder, reason=error.strerror or error
            ),
            _("Make it writable, or point LOCALCHAT_HOME at a folder that is."),
        ) from error
    return folder
