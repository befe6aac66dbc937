"""Fetching a model: what it is and how large, Enter to begin, a bar with speed and time left, and the way out.

The first start is this screen too, with a word of welcome above it.
"""

from __future__ import annotations

from typing import ClassVar

from rich.cells import set_cell_size
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from localchat.errors import LocalChatError
from localchat.hub.pull_events import PullDone, PullProgress, Stage
from localchat.paths import models_dir
from localchat.translation import _, mark
from localchat.ui.figures import duration, size
from localchat.ui.ink import ACCENT, ERROR, FAINT, MUTED, PLAIN
from localchat.ui.model_shelf import Fetching, ModelChoice, ModelShelf
from localchat.ui.places import short_path
from localchat.ui.visible_text import one_line
from localchat.ui.widgets.status_line import meter

STAGES: dict[Stage, str] = {
    "resolve": mark("Looking it up"),
    "download": mark("Downloading"),
    "verify": mark("Checking that every byte is right"),
    "quantize": mark("Preparing it for this machine"),
    "done": mark("Done"),
}


class FetchScreen(Screen[str | None]):
    """Returns the name of the model when it is installed, None when the user goes without."""

    CSS_PATH = "../dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "begin", "Begin", id="fetch.begin", show=False),
        Binding("escape", "interrupt", "Interrupt", id="fetch.interrupt", show=False),
    ]

    def __init__(self, shelf: ModelShelf, model: ModelChoice, *, first_start: bool) -> None:
        super().__init__()
        self._shelf = shelf
        self._model = model
        self._first_start = first_start
        self._job: Fetching | None = None
        self._interrupted = False

    def compose(self) -> ComposeResult:
        with Vertical(id="fetch"):
            if self._first_start:
                yield Static("localchat", classes="wordmark", markup=False)
                yield Static(
                    _(
                        "A language model that lives on this machine. It is fetched once; after that nothing is asked"
                        " of the network, and nothing you write leaves this machine."
                    ),
                    classes="prose",
                    markup=False,
                )
            else:
                yield Static(_("Fetch a model"), classes="heading", markup=False)
            yield Static(self._facts(), id="facts")
            yield Static(id="progress", markup=False)
            yield Static(id="figures", markup=False)
            yield Static(id="choices", markup=False)

    def on_mount(self) -> None:
        self._show_choices(("enter", _("Fetch it")), ("esc", _("Not now")))

    def _facts(self) -> Content:
        model = self._model
        amount = _("{size} to download, kept as {precision}").format(size=size(model.size), precision=model.precision)
        rows = [
            (_("Model"), model.title),
            (_("From"), model.publisher),
            (_("Licence"), model.licence),
            (_("Size"), amount),
            (_("Place"), short_path(models_dir() / model.name)),
        ]
        lines = [
            Content.assemble((set_cell_size(label, 9), FAINT), (one_line(value), PLAIN))
            for label, value in rows
            if value
        ]
        return Content("\n").join(lines)

    def _show_choices(self, *choices: tuple[str, str]) -> None:
        items = [Content.assemble((key, f"{ACCENT} bold"), "  ", (label, MUTED)) for key, label in choices]
        self.query_one("#choices", Static).update(Content("      ").join(items))

    def _say(self, sentence: Content | str, bar: Content | None = None) -> None:
        self.query_one("#progress", Static).update(bar or Content())
        self.query_one("#figures", Static).update(sentence)

    @property
    def running(self) -> bool:
        return self._job is not None

    def action_begin(self) -> None:
        if not self.running:
            self._job = self._shelf.fetch(self._model.name)
            self._interrupted = False
            self._show_choices(("esc", _("Interrupt")))
            self._fetch(self._job)

    async def action_interrupt(self) -> None:
        if self._job is None:
            self.dismiss(None)
        elif not self._interrupted:
            self._interrupted = True
            self._say(_("Interrupting…"))
            await self._job.cancel()

    @work
    async def _fetch(self, job: Fetching) -> None:
        installed: str | None = None
        try:
            async for event in job.events():
                if isinstance(event, PullDone):
                    installed = event.name
                elif not self._interrupted:
                    self._show_progress(event)
        except LocalChatError as error:
            self._job = None
            self._say(Content.assemble(("! ", f"{ERROR} bold"), (one_line(str(error)), PLAIN)))
            self._show_choices(("enter", _("Try again")), ("esc", _("Not now")))
            return
        self._job = None
        if installed is not None:
            self.dismiss(installed)
        else:
            self._say(_("Interrupted. Nothing was changed; Enter starts again."))
            self._show_choices(("enter", _("Start again")), ("esc", _("Not now")))

    def _show_progress(self, event: PullProgress) -> None:
        words = [_(event.note or STAGES[event.stage])]
        bar = None
        if event.total:
            fraction = min(1.0, event.done / event.total)
            bar = Content.assemble(meter(fraction, 48), (f"  {fraction:.0%}", MUTED))
            if event.stage == "download":
                words.append(_("{used} of {total}").format(used=size(event.done), total=size(event.total)))
        if event.bytes_per_second:
            words.append(f"{size(event.bytes_per_second)}/s")
        if event.seconds_left is not None:
            words.append(_("{time} left").format(time=duration(event.seconds_left)))
        self._say(Content.styled(" · ".join(words), MUTED), bar)
