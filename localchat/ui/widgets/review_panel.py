"""A writing action from its first word to its end: what the model writes, and then each of its changes to be decided
about."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from localchat.errors import LocalChatError
from localchat.translation import _, mark, plural
from localchat.ui.ink import ACCENT, FAINT, MUTED, PLAIN, WARNING
from localchat.ui.visible_text import one_line
from localchat.ui.widgets.review_view import Ending, ReviewView
from localchat.ui.widgets.split_line import SplitLine
from localchat.ui.widgets.status_line import meter
from localchat.ui.writing_task import Stage, WritingTask
from localchat.writing.answers import explained
from localchat.writing.review import Review

FRAME_S = 0.08
"""Shortest time between two pictures of what is being written."""


BREATH = 8
"""A picture that took t seconds of the processor is followed by this many t of rest: the engine needs it more."""

STAGES: Mapping[Stage, str] = {
    "waiting": mark("Waiting for the model"),
    "reading": mark("Reading"),
    "thinking": mark("Thinking"),
    "writing": mark("Writing"),
}


class ReviewPanel(Vertical):
    """Runs a writing task and lets the user decide about what came of it.

    Args:
        takes: what Enter does, in two or three words.
        saves: there is a file that can be saved.
    """

    @dataclass
    class Ended(Message):
        """The user is done: `text` is what they took of it. `review` is None for a text of the model's own."""

        how: Ending
        text: str
        writing: WritingTask
        review: Review | None

    def __init__(self, writing: WritingTask, takes: str, *, saves: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.writing = writing
        self._takes = takes
        self._saves = saves
        self._trouble = ""
        self._timer: Timer | None = None
        self._pause = FRAME_S

    def compose(self) -> ComposeResult:
        yield SplitLine(id="review-head")
        yield ReviewView(id="review")
        yield Static(id="review-remark", markup=False)
        yield SplitLine(id="review-facts")
        yield SplitLine(id="review-keys")

    def on_mount(self) -> None:
        self.view = self.query_one(ReviewView)
        self.view.focus()
        self.writing.changed = self._task_changed
        self._show_progress()
        self._run()

    @property
    def is_own_text(self) -> bool:
        """Whether what comes is a text of its own, and no change to another one."""
        return self.writing.wish.action.result == "new"

    # ---- while it is done

    @work
    async def _run(self) -> None:
        try:
            await self.writing.run()
        except LocalChatError as error:
            self._trouble = str(error)
        self._stop_timer()
        self._show_result()

    def _task_changed(self) -> None:
        """There is more to be shown; it is, a moment later."""
        if self._timer is None and self.is_mounted and not self.writing.is_over:
            self._timer = self.set_timer(self._pause, self._show_progress)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _show_progress(self) -> None:
        self._stop_timer()
        began = time.thread_time()
        writing = self.writing
        if self.is_own_text:
            self.view.show_progress(Review(writing.result, ()), None, "")
        else:
            self.view.show_progress(Review(writing.wish.text, writing.changes), writing.piece, writing.written)
        count = (
            f"  {len(writing.work.outcomes) + 1}/{writing.work.pieces}"
            if writing.work and writing.work.pieces > 1
            else ""
        )
        self._show_head(Content.assemble(meter(writing.fraction), (count, MUTED)))
        self._show_remark("")
        self.query_one("#review-facts", SplitLine).show(Content.styled(_(STAGES[writing.stage]), MUTED), Content())
        self._show_keys([("esc", _("Stop"))])
        self._pause = max(FRAME_S, BREATH * (time.thread_time() - began))

    # ---- what came of it

    def _show_result(self) -> None:
        writing = self.writing
        if self.is_own_text:
            self.view.show_review(Review(writing.result, ()))
        else:
            self.view.show_review(Review(writing.wish.text, writing.changes))
        self.view.focus()

    @on(ReviewView.Moved)
    def _show_decisions(self) -> None:
        if not self.writing.is_over:
            return
        review = self.view.review
        accepted, left = len(review.accepted), len(review.undecided)
        counts: list[tuple[str, str]] = []
        if review.changes:
            counts = [
                (
                    f"{(self.view.current or 0) + 1}/{len(review.changes)}",
                    PLAIN,
                ),
                (f"✓ {accepted}", "$text-success"),
                (f"✗ {len(review.changes) - accepted - left}", MUTED),
            ]
        self._show_head(Content("  ").join(Content.styled(*part) for part in counts))
        self._show_remark(f"! {one_line(self._trouble)}" if self._trouble else self._remark())
        self.query_one("#review-facts", SplitLine).show(self._facts(), Content())
        self._show_keys(self._keys())

    def _facts(self) -> Content:
        """The present change in words, so that nothing depends on colours; or that there is none."""
        review, current = self.view.review, self.view.current
        if current is None:
            nothing = "" if self.is_own_text and self.writing.result else _("The model has nothing to change.")
            return Content.styled(nothing, MUTED)
        change = review.changes[current]
        decision = {"accepted": _("taken"), "rejected": _("left"), None: ""}[review.decision(current)]
        old, new = (f"“{_short(text)}”" if text else "∅" for text in (change.old, change.new))
        return Content.assemble((f"{old} → {new}", MUTED), (f"  {decision}", ACCENT))

    def _remark(self) -> str:
        """What was not done, and why."""
        work = self.writing.work
        left = [outcome for outcome in work.outcomes if outcome.objection] if work else []
        parts = [_("Stopped: the rest is as it was.")] if self.writing.stopped and not self.is_own_text else []
        if left and work:
            sentence = plural(
                "{count} of {pieces} parts stays as it is: {reason}.",
                "{count} of {pieces} parts stay as they are: {reason}.",
                len(left),
            )
            reasons = "; ".join(dict.fromkeys(explained(outcome.objection) for outcome in left))
            parts.append(sentence.format(count=len(left), pieces=len(work.outcomes), reason=reasons))
        return " ".join(parts)

    def _keys(self) -> list[tuple[str, str]]:
        if self.is_own_text:
            return [("enter", self._takes), ("y", _("Copy")), ("m", _("Into the composer")), ("esc", _("Back"))]
        if not self.view.review.changes:
            return [("esc", _("Back"))]
        saves = [("s", _("and save"))] if self._saves else []
        keys = [("a", _("Take")), ("r", _("Leave")), ("enter", self._takes), *saves, ("A R", _("The rest"))]
        more = [("u", _("Undo")), ("n p", _("Next, back")), ("y", _("Copy")), ("m", _("Into the composer"))]
        return [*keys, *more, ("esc", _("Give up"))]

    # ---- lines

    def _show_remark(self, remark: str) -> None:
        line = self.query_one("#review-remark", Static)
        line.update(Content.styled(remark, WARNING))
        line.display = bool(remark)

    def _show_head(self, right: Content) -> None:
        action = self.writing.wish.action
        chosen = " · ".join(one_line(value) for value in self.writing.wish.variables.values())
        name = Content.assemble((one_line(action.name), f"{ACCENT} bold"), (f"  {chosen}" if chosen else "", MUTED))
        self.query_one("#review-head", SplitLine).show(name, right)

    def _show_keys(self, keys: list[tuple[str, str]]) -> None:
        """As many as there is room for; the last one always."""
        items = [Content.assemble((key, ACCENT), " ", (label, MUTED)) for key, label in keys]
        *items, last = items
        room = self.content_size.width - last.cell_length - 4  # the lines keep a cell free at either end
        shown: list[Content] = []
        for item in items:
            if item.cell_length > room:
                break
            shown.append(item)
            room -= item.cell_length + 2
        self.query_one("#review-keys", SplitLine).show(Content.styled("  ", FAINT).join(shown), last)

    def on_resize(self) -> None:
        if self.writing.is_over:
            self._show_keys(self._keys())

    # ---- the end

    @on(ReviewView.Ended)
    def _ended(self, event: ReviewView.Ended) -> None:
        event.stop()
        if not self.writing.is_over:
            if event.how == "give_up":
                self.writing.stop()
            return
        if event.how == "save" and not self._saves:
            return
        if self.is_own_text:
            self.post_message(self.Ended(event.how, self.writing.result, self.writing, None))
        elif event.how == "give_up" or self.view.review.changes:
            self.post_message(self.Ended(event.how, self.view.review.text, self.writing, self.view.review))

    def on_unmount(self) -> None:
        self._stop_timer()
        if not self.writing.is_over:
            self.writing.stop()


def _short(text: str, longest: int = 40) -> str:
    text = one_line(text.replace("\n", " ↵ ")) if text.strip() else text.replace("\n", "↵")
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
