"""`localchat --linear`: the conversation as plain lines."""

from __future__ import annotations

import asyncio

from localchat.commands.passphrase import open_history
from localchat.config import Config
from localchat.engine.client import EngineClient
from localchat.errors import HistoryLocked, HistoryUnavailable
from localchat.history.store import HistoryStore
from localchat.ui.linear import run


def talk(engine: EngineClient, config: Config, troubles: list[str]) -> int:
    """Talk until the user leaves; returns the exit status."""
    try:
        store = open_history()
    except HistoryLocked:
        asyncio.run(engine.close())
        raise
    except HistoryUnavailable as error:
        store, troubles = HistoryStore.in_memory(), [*troubles, str(error)]
    with store:
        run(engine, store, config, troubles)
    return 0
