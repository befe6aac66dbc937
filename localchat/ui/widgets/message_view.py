"""A message in the transcript: the user's as it was typed, the model's as Markdown with one dim line under it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.style import Style
from textual.widgets import Static

from localchat.ui.shown import ShownMessage, footnote
from localchat.ui.visible_text import visible_text

if TYPE_CHECKING:
    from localchat.ui.widgets.reply_markdown import ReplyMarkdown


class MessageView(Vertical, can_focus=True):
    """What both kinds share: focus, copying, moving on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "screen.copy_message", "Copy", id="focused.copy", show=False),
        Binding("up,k", "screen.focus_message(-1)", "Message above", id="focused.above", show=False),
        Binding("down,j", "screen.focus_message(1)", "Message below", id="focused.below", show=False),
        Binding("left_square_bracket", "screen.previous_version", "Previous version", id="focused.older", show=False),
        Binding("right_square_bracket", "screen.next_version", "Next version", id="focused.newer", show=False),
    ]

    def __init__(self, message: ShownMessage) -> None:
        super().__init__()
        self.message = message


class UserMessage(MessageView):
    """Verbatim: no Markdown, line breaks kept."""

    def compose(self) -> ComposeResult:
        yield Static(Content(visible_text(self.message.text)))


class ReplyView(MessageView):
    """A reply: empty with what is being waited for, then growing, then finished with its figures."""

    @dataclass
    class VersionWanted(Message):
        """The user wants to see the version `step` away from this one."""

        message_id: str
        step: int

    def __init__(self, message: ShownMessage) -> None:
        super().__init__(message)
        self._body = _markdown(message.text) if message.text else None
        self._foot = Static(classes="footnote", markup=False)
        self._foot.auto_links = False
        self._waiting_for = ""

    def compose(self) -> ComposeResult:
        if self._body is not None:
            yield self._body
        yield self._foot

    def on_mount(self) -> None:
        self._show_footnote()

    def wait_for(self, what: str) -> None:
        """Say what is being done before the first word ("Reading the prompt, 63 %"); empty says nothing."""
        if what != self._waiting_for:
            self._waiting_for = what
            self._show_footnote()

    def grow(self, text: str) -> None:
        """The reply goes on with `text`."""
        if not text:
            return
        self._waiting_for = ""
        self.message = self.message.grown(text)
        if self._body is None:
            self._body = _markdown("")
            self.mount(self._body, before=self._foot)
            self._show_footnote()
        self._body.write(visible_text(text))

    async def finish(self, message: ShownMessage) -> None:
        """The reply is what `message` says; text that was not streamed here is shown now."""
        missing = message.text[len(self.message.text) :] if message.text.startswith(self.message.text) else None
        if missing:
            self.grow(missing)
        elif missing is None and self._body is not None:
            await self._body.finish()
            await self._body.update(visible_text(message.text))
        if self._body is not None:
            await self._body.finish()
        self.message = message
        self._waiting_for = ""
        self._show_footnote()

    def _show_footnote(self) -> None:
        message = self.message
        unfinished = message.status in ("waiting", "writing")
        text = self._waiting_for if unfinished else footnote(message)
        content = Content(text)
        if message.versions > 1:
            content = Content("   " if text else "").join([content, self._version_switch()])
        self._foot.update(content)
        self._foot.display = bool(content)

    def _version_switch(self) -> Content:
        older = Content("‹").stylize(Style.from_meta({"@click": "screen.previous_version"}))
        newer = Content("›").stylize(Style.from_meta({"@click": "screen.next_version"}))
        place = f"{self.message.version}/{self.message.versions}"
        return Content(" ").join([older, Content(place), newer])


def _markdown(text: str) -> ReplyMarkdown:
    """Imported with the first reply: Markdown and the colours of code are a sixth of what the first frame would wait
    for."""
    from localchat.ui.widgets.reply_markdown import ReplyMarkdown

    return ReplyMarkdown(visible_text(text))
