"""One writing action on one text, done piece by piece by the engine's process, with progress, until it ends or is
stopped. Between two pieces, questions that wait are answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from localchat.engine.client import EngineLink
from localchat.errors import Stopped
from localchat.events import PromptFitted, PromptProgress, ReplyDone, TextDelta
from localchat.messages import FinishReason
from localchat.ui.answering import Answering
from localchat.writing.action import Action
from localchat.writing.changes import Change, changes_by_line
from localchat.writing.pieces import Piece
from localchat.writing.work import Request, Work

Stage = Literal["waiting", "reading", "thinking", "writing"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be done with which part of a text.

    Attributes:
        text: all of it.
        start, end: the part.
        variables: what the user chose, such as {"tone": "polite"}.
    """

    action: Action
    text: str
    start: int
    end: int
    variables: Mapping[str, str]

    @property
    def part(self) -> str:
        return self.text[self.start : self.end]


class WritingTask:
    """Does what is wished.

    Attributes:
        changed: is called whenever there is more to be shown.
        work: None until the model is loaded.
        written: what the model has written for the present piece.
        stage: what the engine is doing.
        model: the name of the one that writes.
        stopped: by the user; what was done until then stays.
    """

    def __init__(self, answering: Answering, wish: Wish) -> None:
        self.wish = wish
        self.changed: Callable[[], None] = lambda: None
        self.work: Work | None = None
        self.written = ""
        self.stage: Stage = "waiting"
        self.model = ""
        self.stopped = False
        self.is_over = False
        self._answering = answering
        self._engine: EngineLink | None = None
        self._share = 0.0

    async def run(self) -> None:
        """Until all of it is done.

        Raises:
            LocalChatError: no model can be loaded, or it cannot answer. What was done until then stays.
        """
        try:
            while not self.stopped and await self._do_next():
                self.changed()
        finally:
            self.is_over = True
            self.written = ""
            self.changed()

    def stop(self) -> None:
        """End it within a moment."""
        self.stopped = True
        if self._engine is not None:
            self._engine.stop()

    async def _do_next(self) -> bool:
        """Do one piece; false when there is none left."""
        async with self._answering.borrow() as self._engine:
            try:
                if self.stopped:
                    return False
                work = self._begun()
                request = work.request()
                if request is None:
                    return False
                reason = await self._answer(self._engine, request)
            except Stopped:
                return False
            finally:
                self._engine = None
        if not self.stopped:
            work.answered(self.written, reason)
        return True

    def _begun(self) -> Work:
        if self.work is None:
            model = self._answering.state.model
            assert model is not None
            self.model = model.name
            self.work = Work(
                self.wish.action,
                self.wish.part,
                self.wish.variables,
                context_length=model.context_length,
                thinking_switch=model.thinking_switch,
            )
        return self.work

    async def _answer(self, engine: EngineLink, request: Request) -> FinishReason:
        self.written, self._share = "", 0.0
        reason: FinishReason = "stopped"
        async with aclosing(engine.reply(request.messages, request.options)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    self.stage = "thinking" if event.thinking else "writing"
                    self._share = min(1.0, event.tokens / request.expected_tokens)
                    self.written += "" if event.thinking else event.text
                elif isinstance(event, (PromptFitted, PromptProgress)):
                    self.stage = "reading"
                elif isinstance(event, ReplyDone):
                    reason = event.finish_reason
                self.changed()
        return reason

    # ---- how far it is

    @property
    def fraction(self) -> float:
        """How much of it is done, from 0 to 1."""
        if self.work is None or not self.work.pieces:
            return 0.0
        return min(1.0, (len(self.work.outcomes) + self._share) / self.work.pieces)

    @property
    def piece(self) -> Piece | None:
        """What is being worked on, where it stands in the whole text; None when nothing is, or none of it."""
        work = self.work
        if self.is_over or work is None or len(work.outcomes) >= work.pieces or self.wish.action.result == "new":
            return None
        piece = work.next_piece
        return Piece(piece.start + self.wish.start, piece.end + self.wish.start, piece.text)

    @property
    def changes(self) -> list[Change]:
        """What the pieces done so far change in the whole text."""
        return [change.moved(self.wish.start) for change in self.work.changes()] if self.work is not None else []

    @property
    def result(self) -> str:
        """Where a text of its own was wished for: as far as it is written."""
        done = self.work.result() if self.work is not None else ""
        return "\n\n".join(part for part in (done, self.written.strip()) if part)


class OtherVersion(WritingTask):
    """Another version of a text, which is there already: no model is asked.

    Args:
        name: what it is called.
    """

    def __init__(self, answering: Answering, text: str, other: str, name: str) -> None:
        super().__init__(answering, Wish(Action(name, {}, {}), text, 0, len(text), {}))
        self._other = other

    async def run(self) -> None:
        self.is_over = True

    @property
    def changes(self) -> list[Change]:
        return changes_by_line(self.wish.text, self._other)
