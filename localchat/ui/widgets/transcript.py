"""The conversation: messages from top to end, following the end until the reader scrolls up."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Static

from localchat.translation import _, plural
from localchat.ui.ink import ACCENT, MUTED
from localchat.ui.shown import ShownMessage
from localchat.ui.widgets.message_view import MessageView, ReplyView, UserMessage
from localchat.ui.widgets.notice import Notice

PAGE = 12
"""Messages that are laid out at first, and how many more each time the reader reaches the top."""


class EarlierMessages(Static):
    """Stands for the messages above that are not laid out yet."""


class Ground(Widget):
    """What shows nothing but its background. It lies under every row of the conversation, in every frame, and is drawn
    as one row many times over."""

    def render_lines(self, crop: Region) -> list[Strip]:
        _, background = self.background_colors
        strip = Strip.blank(crop.width, Style(background=background).rich_style)
        for line_filter in self.get_line_filters():
            strip = strip.apply_filter(line_filter, background)
        return [strip] * crop.height


class Column(Vertical, Ground):
    """The messages. At least as high as the window: Textual lets an anchored scroll sink to negative values, which
    would set a short conversation at the bottom of the screen."""


class EmptyPage(Static):
    """What a new chat shows."""


class Transcript(VerticalScroll, Ground, can_focus=False):
    """Shows `ShownMessage`s; knows nothing of where they come from."""

    class LaidOut(Message):
        """Messages are there that were not before."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._above: list[ShownMessage] = []
        self._filling = False
        self.unfolded = False

    def compose(self) -> ComposeResult:
        with Column():
            yield EmptyPage(
                Content("\n").join(
                    [
                        Content.styled("localchat", f"{ACCENT} bold"),
                        Content.styled(_("Nothing you write leaves this machine."), MUTED),
                    ]
                )
            )

    def on_mount(self) -> None:
        self._column = self.query_one(Column)
        self.anchor()

    async def show_messages(self, messages: Sequence[ShownMessage]) -> None:
        """Replace everything with these, at their end."""
        with self.app.batch_update():
            await self.query("MessageView, Notice, EarlierMessages").remove()
            self._above, visible = list(messages[:-PAGE]), messages[-PAGE:]
            self._update_top(bool(messages))
            if self._above:
                await self._column.mount(EarlierMessages(self._earlier_text()))
            await self._column.mount_all(self._view(message) for message in visible)
        self.anchor()
        self.post_message(self.LaidOut())

    async def add(self, *messages: ShownMessage) -> None:
        """Add these at the end and go there: the user has just sent something."""
        self._update_top(True)
        await self._column.mount_all(self._view(message) for message in messages)
        self.anchor()

    async def add_notice(self, text: str) -> None:
        self._update_top(True)
        await self._column.mount(Notice(text))

    async def lay_out(self, message_id: str) -> MessageView | None:
        """The view of a message of this conversation, laid out if it was not yet; None when it is none of them."""
        place = next((index for index, message in enumerate(self._above) if message.id == message_id), None)
        if place is not None:
            await self._mount_above(len(self._above) - max(0, place - PAGE // 2))
        return self.view_of(message_id)

    def go_to(self, part: Widget, row: int) -> None:
        """Show a row of this part of a message, with what stands before it, and stay there."""
        place = part.region.y - self.region.y + self.scroll_y + row
        self.scroll_to(y=max(0, place - self.size.height // 3), animate=False, immediate=True, force=True)

    def view_of(self, message_id: str) -> MessageView | None:
        return next((view for view in self.views if view.message.id == message_id), None)

    def reply(self, message_id: str) -> ReplyView | None:
        view = self.view_of(message_id)
        return view if isinstance(view, ReplyView) else None

    @property
    def shown(self) -> list[ShownMessage]:
        """Every message of the branch, those that are not laid out too."""
        return [*self._above, *(view.message for view in self.views)]

    @property
    def views(self) -> list[MessageView]:
        """The messages that are laid out. Not a query: this is asked for every token, and a query walks every block."""
        return [child for child in self._column.children if isinstance(child, MessageView)]

    @property
    def focused_view(self) -> MessageView | None:
        focused = self.screen.focused
        return focused if isinstance(focused, MessageView) else None

    def last_reply(self) -> ReplyView | None:
        return next((view for view in reversed(self.views) if isinstance(view, ReplyView)), None)

    def focus_message(self, step: int) -> bool:
        """Move the focus `step` messages down; False at the ends."""
        views = self.views
        if not views:
            return False
        focused = self.focused_view
        index = len(views) - 1 if focused is None else views.index(focused) + step
        if not 0 <= index < len(views):
            return False
        views[index].focus()
        return True

    def to_top(self) -> None:
        self.scroll_home(animate=False)

    def to_end(self) -> None:
        self.anchor()
        self.scroll_end(animate=False)
        self.anchor()

    def page(self, direction: int) -> None:
        """Turn a page, keeping two lines in sight."""
        self.release_anchor()
        self.scroll_relative(y=direction * max(1, self.size.height - 2), animate=False)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value <= 0 < old_value and self._above:
            self._show_earlier()

    def on_click(self, event: events.Click) -> None:
        if isinstance(event.widget, EarlierMessages):
            self._show_earlier()

    def _show_earlier(self) -> None:
        if not self._filling:
            self._filling = True
            self.call_later(self._lay_out_earlier)

    async def _lay_out_earlier(self) -> None:
        """Lay out one more page above, and keep what the reader looks at where it is."""
        before = self.virtual_size.height
        await self._mount_above(PAGE)

        def keep_place() -> None:
            self.scroll_to(y=self.scroll_y + self.virtual_size.height - before, animate=False, immediate=True)
            self._filling = False

        self.call_after_refresh(keep_place)

    async def _mount_above(self, count: int) -> None:
        """Lay out so many messages more at the top."""
        first = next(iter(self.views), None)
        self._above, fresh = self._above[:-count], self._above[-count:]
        mark = self.query_one(EarlierMessages)
        await self._column.mount_all([self._view(message) for message in fresh], before=first)
        if self._above:
            mark.update(self._earlier_text())
        else:
            await mark.remove()
        self.post_message(self.LaidOut())

    def _earlier_text(self) -> Content:
        count = len(self._above)
        return Content(plural("↑ {count} earlier message", "↑ {count} earlier messages", count).format(count=count))

    def _update_top(self, has_messages: bool) -> None:
        self.query_one(EmptyPage).display = not has_messages

    def _view(self, message: ShownMessage) -> MessageView:
        return UserMessage(message) if message.role == "user" else ReplyView(message, unfolded=self.unfolded)

    def unfold_thinking(self, unfolded: bool) -> None:
        """Show, or fold away, what was thought before every reply, and before those to come."""
        self.unfolded = unfolded
        for view in self.views:
            if isinstance(view, ReplyView) and view.thinking is not None:
                view.thinking.fold(not unfolded)
