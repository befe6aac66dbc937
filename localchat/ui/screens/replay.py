"""A reply is made again, and compared with what it was."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import PurePath
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from localchat.errors import LocalChatError
from localchat.events import Event, PromptProgress
from localchat.recording import Recording, Replayed
from localchat.translation import _
from localchat.ui.ink import ACCENT, MUTED, WARNING
from localchat.ui.replay_report import report
from localchat.ui.screens.dialog import Dialog
from localchat.ui.widgets.status_line import meter


class ReplayScreen(Dialog[None]):
    """Shows how far it is, and then whether it is the same. Closing it ends the replay.

    Args:
        recording: of the reply.
        replay: makes it again.
    """

    CSS_PATH: ClassVar[list[str | PurePath]] = ["../dialogs.tcss", "../tokens.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss(None)", "Close", id="replay.close", show=False)
    ]

    def __init__(self, recording: Recording, replay: Callable[[], AsyncGenerator[Event]]) -> None:
        super().__init__()
        self._recording = recording
        self._replay = replay

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="replay"):
            yield Static(_("The reply, made again"), classes="heading", markup=False)
            with VerticalScroll():
                yield Static("", id="replay-report", markup=False)
            yield Static(_("Esc closes."), classes="hint", markup=False)

    def on_mount(self) -> None:
        self._follow()

    @work
    async def _follow(self) -> None:
        self._say(Content.styled(_("Making the reply again"), MUTED))
        try:
            async with aclosing(self._replay()) as events:
                async for event in events:
                    if isinstance(event, PromptProgress) and event.total:
                        share = event.done / event.total
                        words = (_("Making the reply again"), MUTED)
                        self._say(Content.assemble(words, "  ", meter(share, 24), (f" {share:.0%}", MUTED)))
                    elif isinstance(event, Replayed):
                        self._say(_in_colour(report(self._recording, event), event.differs))
        except LocalChatError as error:
            self._say(Content.styled(f"! {error}", WARNING))

    def _say(self, text: Content) -> None:
        self.query_one("#replay-report", Static).update(text)


def _in_colour(lines: Sequence[str], differs: bool) -> Content:
    """The first line is the answer."""
    first = Content.styled(lines[0], f"{WARNING if differs else ACCENT} bold")
    return Content("\n").join([first, *map(Content, lines[1:])])
