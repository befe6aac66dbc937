"""The application: one window on the history and one engine behind it.

Importing this must stay quick and must never bring torch in: the first frame waits for it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.screen import Screen

from localchat.config import Config
from localchat.engine.client import EngineLink
from localchat.errors import HistoryLocked, HistoryUnavailable
from localchat.history.encryption import cipher_driver, is_encrypted
from localchat.history.store import HistoryStore
from localchat.paths import history_file
from localchat.translation import mark
from localchat.ui.app_copying import CopyingPart
from localchat.ui.app_locking import LockingPart
from localchat.ui.app_looks import speak
from localchat.ui.app_palette import PalettePart
from localchat.ui.app_settings import SettingsPart
from localchat.ui.model_shelf import ModelShelf
from localchat.ui.preferences import Preferences
from localchat.ui.screens.chat import ChatScreen
from localchat.ui.screens.unlock import UnlockScreen
from localchat.ui.session import ChatSession
from localchat.ui.terminal_keys import teach_terminal_keys

NOT_SAVED = mark("Nothing is being saved in this window")


class LocalChatApp(SettingsPart, PalettePart, CopyingPart, LockingPart):
    """The window.

    Args:
        engine: answers; it is started after the first frame.
        store: the history.
        config: the settings in force.
        shelf: the models that are here or can be fetched.
        troubles: sentences to show at the start: what went wrong before there was a window.
        document: a text to open at the start.
    """

    TITLE = "localchat"
    CSS_PATH: ClassVar[list[str | PurePath]] = [
        "app.tcss",
        "reading.tcss",
        "listing.tcss",
        "branching.tcss",
        "writing.tcss",
        "taking.tcss",
        "document.tcss",
        "context.tcss",
    ]
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", "Quit", id="app.quit", show=False, priority=True),
        Binding("ctrl+p", "command_palette", "Actions", id="app.palette", show=False, priority=True),
    ]

    def __init__(
        self,
        engine: EngineLink,
        store: HistoryStore,
        config: Config,
        *,
        shelf: ModelShelf | None = None,
        troubles: Sequence[str] = (),
        session: ChatSession | None = None,
        document: Path | None = None,
    ) -> None:
        super().__init__()
        teach_terminal_keys()
        self.config = config
        self.shelf = shelf or ModelShelf()
        self.troubles = list(troubles)
        self.first_document = document
        speak(config.language)
        self.session = session or ChatSession(engine, store)
        self.session.preferences = Preferences.of(config)
        self.session.model_for = self.model_for
        self.session.model_title = self.model_title
        self._store = store
        self.register_themes()
        self.begin_with_theme(self.wanted_theme())
        if config.keys or not config.enter_sends:
            self.take_keys()

    def get_default_screen(self) -> Screen[Any]:
        remark = "" if self._store.is_saved else NOT_SAVED
        self.chat_screen = ChatScreen(self.session, sidebar=self.config.sidebar, remark=remark)
        return UnlockScreen(self._store) if self._store.is_locked else self.chat_screen

    def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(self, self.keep_theme)
        self.call_after_refresh(self._prepare)
        self.watch_for_idling()
        for trouble in self.troubles:
            self.notify(trouble, severity="warning", timeout=20, markup=False)
        if self.config.model is None and self.shelf.is_empty():
            self.first_start()
        else:
            self.call_after_refresh(self.start_engine)

    @work(thread=True)
    def _prepare(self) -> None:
        """Import, while nobody waits, what the first reply will need."""
        import localchat.ui.widgets.reply_markdown  # noqa: F401

    # ---- the end

    async def action_quit(self) -> None:
        """Save the draft and the reply that is being written, end the engine, and go."""
        if self.is_covered:
            self.exit()
            return
        # Through the composer's queue, so that what was typed just before arrives there first.
        self.chat_screen.composer.call_later(self._leave)

    def _leave(self) -> None:
        self.chat_screen.save_draft()
        self.exit()

    async def on_unmount(self) -> None:
        await self.session.close()


def open_history(path: Path | None = None) -> tuple[HistoryStore, str]:
    """The history, locked when it is encrypted; or one in memory, with the sentence that says why."""
    path = path or history_file()
    try:
        if is_encrypted(path):
            cipher_driver()  # that it is missing is to be said before anybody types a passphrase
        return HistoryStore(path, os.environ.get("LOCALCHAT_PASSPHRASE")), ""
    except HistoryLocked:
        return HistoryStore.locked(path), ""
    except HistoryUnavailable as error:
        return HistoryStore.in_memory(), str(error)


def run(engine: EngineLink, config: Config, troubles: Sequence[str] = (), document: Path | None = None) -> int:
    """Open the app and stay in it until the user leaves; returns the exit status.

    Args:
        troubles: sentences to show at the start.
        document: a text to begin with.
    """
    speak(config.language)
    store, trouble = open_history()
    troubles = [*troubles, *([trouble] if trouble else [])]
    app = LocalChatApp(engine, store, config, troubles=troubles, document=document)
    try:
        app.run()
    finally:
        store.close()
    return app.return_code or 0
