"""A text with a model's changes in it, which the user takes or leaves one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from localchat.ui.review_picture import Known, Picture, picture
from localchat.writing.pieces import Piece
from localchat.writing.review import Decision, Review

Ending = Literal["take", "save", "copy", "message", "give_up"]
"""take: the text with what was accepted; save: that, into its file; copy: into the clipboard; message: into the
composer; give_up: the text as it was."""


MOST_KNOWN = 20_000
"""Lines whose layout is remembered: what is being written makes a new one with every token."""


class ReviewView(ScrollView, can_focus=True):
    """Shows a `Review` and decides in it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n,down,right", "step(1)", "Next change", id="review.next", show=False),
        Binding("p,up,left", "step(-1)", "Previous change", id="review.previous", show=False),
        Binding("a,space", "decide('accepted')", "Take it", id="review.accept", show=False),
        Binding("r,x", "decide('rejected')", "Leave it", id="review.reject", show=False),
        Binding("A", "decide_rest('accepted')", "Take the rest", id="review.accept_rest", show=False),
        Binding("R", "decide_rest('rejected')", "Leave the rest", id="review.reject_rest", show=False),
        Binding("u,ctrl+z", "undo", "Undo", id="review.undo", show=False),
        Binding("enter", "end('take')", "Take over what was accepted", id="review.take", show=False),
        Binding("s,ctrl+s", "end('save')", "Take it over and save the file", id="review.save", show=False),
        Binding("y", "end('copy')", "Copy", id="review.copy", show=False),
        Binding("m", "end('message')", "Into the composer", id="review.message", show=False),
        Binding("escape", "end('give_up')", "Give up", id="review.leave", show=False),
    ]

    class Moved(Message):
        """Another change is asked about, or something was decided."""

    @dataclass
    class Ended(Message):
        """The user is done."""

        how: Ending

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.review = Review("", ())
        self.current: int | None = None
        self.auto_links = False
        self._piece: Piece | None = None
        self._written = ""
        self._picture = Picture((), {}, 0)
        self._known: Known = {}
        self._known_width = 0

    def show_progress(self, review: Review, piece: Piece | None, written: str) -> None:
        """Show what is done so far, and what is being written."""
        self.review, self.current, self._piece, self._written = review, None, piece, written
        self._draw()
        row = self._picture.last_row
        self.scroll_to_region(Region(0, row, 1, 1), animate=False, force=True)

    def show_review(self, review: Review) -> None:
        """Ask about the changes, the first of them first."""
        self.review, self._piece, self._written = review, None, ""
        self._go_to(0 if review.changes else None)

    # ---- what the user asks

    def action_step(self, step: int) -> None:
        if self.current is None:
            self.scroll_relative(y=step, animate=False)
        else:
            self._go_to(max(0, min(len(self.review.changes) - 1, self.current + step)))

    def action_decide(self, decision: Decision) -> None:
        """Decide about the present change, and go on to the next that waits: after it, or else before."""
        if self.current is None:
            return
        self.review.decide(decision, [self.current])
        waiting = self.review.undecided
        self._go_to(next((number for number in waiting if number > self.current), min(waiting, default=self.current)))

    def action_decide_rest(self, decision: Decision) -> None:
        if self.current is not None:
            self.review.decide_rest(decision)
            self._go_to(self.current)

    def action_undo(self) -> None:
        """Take the last decision back, and go where it was made."""
        before = [self.review.decision(number) for number in range(len(self.review.changes))]
        if self.current is not None and self.review.undo():
            now = [self.review.decision(number) for number in range(len(self.review.changes))]
            other = next((n for n, (one, two) in enumerate(zip(before, now, strict=True)) if one != two), self.current)
            self._go_to(other)

    def action_end(self, how: Ending) -> None:
        self.post_message(self.Ended(how))

    def _go_to(self, number: int | None) -> None:
        self.current = number
        self._draw()
        self._show_current()
        self.post_message(self.Moved())

    def _show_current(self) -> None:
        """Have the present change on the screen, and what stands around it."""
        row = self._picture.row_of.get(-1 if self.current is None else self.current)
        if row is not None:  # it is none before the first layout, which will call this again
            space = max(1, self.size.height // 3)
            around = Region(0, max(0, row - space), 1, 2 * space)
            self.scroll_to_region(around, animate=False, force=True, immediate=True)

    # ---- rows

    def on_resize(self) -> None:
        self._draw()
        self._show_current()

    def _draw(self) -> None:
        width = self.scrollable_content_region.width
        if width <= 0:
            return
        if width != self._known_width or len(self._known) > MOST_KNOWN:
            self._known, self._known_width = {}, width
        self._picture = picture(self.review, self.current, width, self._known, self._piece, self._written)
        self.virtual_size = Size(width, len(self._picture.rows))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width, place = self.size.width, y + self.scroll_offset.y
        if place >= len(self._picture.rows):
            return Strip.blank(width, self.visual_style.rich_style)
        row = self._picture.rows[place]
        strips = Visual.to_strips(self, row, width, 1, self.visual_style, pad=True)
        return strips[0] if strips else Strip.blank(width)
