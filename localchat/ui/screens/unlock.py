"""What covers everything while an encrypted history is locked: one field for the passphrase."""

from __future__ import annotations

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input, Static

from localchat.errors import HistoryUnavailable
from localchat.history.store import HistoryStore
from localchat.translation import _


class UnlockScreen(Screen[None]):
    """Stays until the passphrase is right."""

    AUTO_FOCUS = "#passphrase"

    class Unlocked(Message):
        """The history is open."""

    def __init__(self, history: HistoryStore) -> None:
        super().__init__()
        self._history = history
        self._trying = False

    def compose(self) -> ComposeResult:
        with Vertical(id="unlock"):
            yield Static("localchat", classes="wordmark", markup=False)
            yield Static(_("Your chats are locked."), classes="prose", markup=False)
            yield Input(password=True, placeholder=_("Passphrase"), compact=True, id="passphrase")
            yield Static("", id="answer", markup=False)
            yield Static(_("Enter opens them. Ctrl+Q leaves."), classes="hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).cursor_blink = self.app.animation_level != "none"

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value and not self._trying:
            self._trying = True
            self.query_one("#answer", Static).update(_("Opening …"))
            self._try(event.value)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if event.value and not self._trying:
            self.query_one("#answer", Static).update("")

    @work(thread=True)  # deriving the key takes a while, on purpose
    def _try(self, passphrase: str) -> None:
        try:
            self._history.unlock(passphrase)
            answer = ""
        except HistoryUnavailable as error:
            answer = f"! {error}"
        self.app.call_from_thread(self._tried, answer)

    def _tried(self, answer: str) -> None:
        self._trying = False
        self.query_one(Input).value = ""
        self.query_one("#answer", Static).update(answer)
        if not answer:
            self.post_message(self.Unlocked())
