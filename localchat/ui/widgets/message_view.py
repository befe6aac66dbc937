"""A message in the transcript: the user's as it was typed, the model's as Markdown with one dim line under it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from localchat.ui.attachments import chip
from localchat.ui.shown import ReplyFigures, ShownMessage, footnote
from localchat.ui.visible_text import visible_text
from localchat.ui.widgets.message_marks import MessageMarks
from localchat.ui.widgets.thinking_part import ThinkingPart
from localchat.ui.widgets.version_switch import version_switch

if TYPE_CHECKING:
    from localchat.ui.widgets.reply_markdown import ReplyMarkdown


class MessageView(Vertical, can_focus=True):
    """What both kinds share: focus, copying, moving on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "screen.copy_message", "Copy", id="focused.copy", show=False),
        Binding("c", "screen.copy_code", "Copy the code", id="focused.code", show=False),
        Binding("l", "screen.list_links", "List the links", id="focused.links", show=False),
        Binding("t,enter,space", "screen.toggle_thinking", "What was thought", id="focused.thinking", show=False),
        Binding("up,k", "screen.focus_message(-1)", "Message above", id="focused.above", show=False),
        Binding("down,j", "screen.focus_message(1)", "Message below", id="focused.below", show=False),
        Binding("e", "screen.edit_question", "Edit the question", id="focused.edit", show=False),
        Binding("r", "screen.regenerate", "Another reply", id="focused.again", show=False),
        Binding("g", "screen.continue_reply", "Go on", id="focused.continue", show=False),
        Binding("f", "screen.fork_chat", "Fork from here", id="focused.fork", show=False),
        Binding("p", "screen.pin_message", "Pin or unpin", id="focused.pin", show=False),
        Binding("s", "screen.toggle_summary", "The summary", id="focused.summary", show=False),
        Binding("i", "screen.show_tokens", "Look inside", id="focused.tokens", show=False),
        Binding("v", "screen.compare_replies", "Two replies side by side", id="focused.compare", show=False),
        Binding("left_square_bracket", "screen.previous_version", "Previous version", id="focused.older", show=False),
        Binding("right_square_bracket", "screen.next_version", "Next version", id="focused.newer", show=False),
        Binding("w", "screen.work_on", "Work on its text", id="focused.work", show=False),
        Binding("a", "screen.put_into_text", "Put it into the text", id="focused.insert", show=False),
        Binding("n", "screen.next_found", "Next message found", id="focused.next_found", show=False),
        Binding("N", "screen.previous_found", "Previous message found", id="focused.previous_found", show=False),
    ]

    def __init__(self, message: ShownMessage) -> None:
        super().__init__()
        self.message = message
        self.marks = MessageMarks(message) if message.pinned or message.summary else None

    def mark(self, message: ShownMessage) -> None:
        """Show that this message is pinned, or has a summary, or no longer."""
        self.message = replace(self.message, pinned=message.pinned, summary=message.summary)
        if self.marks is not None:
            self.marks.show(self.message)
        elif message.pinned or message.summary:
            self.marks = MessageMarks(self.message)
            self.mount(self.marks)


class UserMessage(MessageView):
    """Verbatim: no Markdown, line breaks kept."""

    def compose(self) -> ComposeResult:
        yield Static(Content(visible_text(self.message.text)))
        if self.message.files:
            yield Static(Content("   ").join(map(chip, self.message.files)), classes="files")
        if self.message.versions > 1:
            switch = Static(version_switch(self.message), classes="footnote")
            switch.auto_links = False
            yield switch
        if self.marks is not None:
            yield self.marks


class ReplyView(MessageView):
    """A reply: empty with what is being waited for, then growing, then finished with its figures.

    Args:
        unfolded: show at once what the model thought before it answered.
    """

    def __init__(self, message: ShownMessage, *, unfolded: bool = False) -> None:
        super().__init__(message)
        self._unfolded = unfolded
        self._hold(message)
        self._foot = Static(classes="footnote", markup=False)
        self._foot.auto_links = False
        self._waiting_for = ""
        self._next_code = 0

    def _hold(self, message: ShownMessage) -> None:
        """Make what composing this message will show."""
        self.message = message
        self.thinking = self._make_thinking(message) if message.thinking else None
        self.body = _markdown(message.text) if message.text else None

    def compose(self) -> ComposeResult:
        if self.thinking is not None:
            yield self.thinking
        if self.body is not None:
            yield self.body
        yield self._foot
        if self.marks is not None:
            yield self.marks

    def on_mount(self) -> None:
        self._show_footnote()

    def _make_thinking(self, message: ShownMessage) -> ThinkingPart:
        ended = message.text or message.status not in ("waiting", "writing")
        figures = (message.figures or ReplyFigures()) if ended else None
        return ThinkingPart(visible_text(message.thinking), figures, unfolded=self._unfolded)

    def wait_for(self, what: str) -> None:
        """Say what is being done before the first word ("Reading the prompt, 63 %"); empty says nothing."""
        if self.body is not None or self.thinking is not None:
            what = ""
        if what != self._waiting_for:
            self._waiting_for = what
            self._show_footnote()

    def think(self, text: str, tokens: int) -> None:
        """The model thinks on before it answers; it has written so many tokens."""
        if not self._foot.is_attached:
            return  # composed in a moment, or just removed; `catch_up` follows where it is still needed
        self.message = replace(self.message, thinking=self.message.thinking + text)
        if self.thinking is None:
            self.thinking = self._make_thinking(replace(self.message, thinking=""))
            self.mount(self.thinking, before=0)
        self.wait_for("")
        self.thinking.grow(visible_text(text), tokens)

    def grow(self, text: str) -> None:
        """The reply goes on with `text`."""
        if not text or not self._foot.is_attached:
            return
        self.message = self.message.grown(text)
        if self.body is None:
            self.body = _markdown("")
            self.mount(self.body, before=self._foot)
        self.wait_for("")
        if self.thinking is not None:
            self.thinking.end()
        self.body.write(visible_text(text))

    def catch_up(self, fresh: ShownMessage) -> None:
        """Show what was written since this view knew of it; `fresh` is the same reply, still growing."""
        if thought := fresh.thinking[len(self.message.thinking) :]:
            self.think(thought, 0)
        self.grow(fresh.text[len(self.message.text) :])

    async def finish(self, message: ShownMessage) -> None:
        """The reply is what `message` says; text that was not streamed here is shown now."""
        if not self._foot.is_attached:
            self._hold(message)
            return
        if message.text.startswith(self.message.text):
            self.grow(message.text[len(self.message.text) :])
        elif self.body is not None:
            await self.body.finish()
            self.body.show(visible_text(message.text))
        if self.body is not None:
            await self.body.finish()
        if message.thinking and self.thinking is None:
            self.think(message.thinking, 0)
        if self.thinking is not None:
            await self.thinking.finish(visible_text(message.thinking), message.figures or ReplyFigures())
        self.message = message
        self._waiting_for = ""
        self._show_footnote()

    def next_code(self) -> tuple[int, list[str]]:
        """Which code block is to be copied now, and all of them; the next call takes the next one."""
        codes = [code.code for code in self.body.page.codes] if self.body is not None else []
        place = self._next_code % len(codes) if codes else 0
        self._next_code = place + 1
        return place, codes

    def on_blur(self) -> None:
        self._next_code = 0

    def _show_footnote(self) -> None:
        message = self.message
        unfinished = message.status in ("waiting", "writing")
        text = self._waiting_for if unfinished else footnote(message)
        content = Content(text)
        if message.versions > 1:
            content = Content("   " if text else "").join([content, version_switch(message)])
        self._foot.update(content)
        self._foot.display = bool(content)


def _markdown(text: str) -> ReplyMarkdown:
    """Imported with the first reply: Markdown and the colours of code are a sixth of what the first frame would wait
    for."""
    from localchat.ui.widgets.reply_markdown import ReplyMarkdown

    return ReplyMarkdown(visible_text(text))
