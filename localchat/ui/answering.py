"""The one who asks the engine: answers one question after the other, and saves what comes.

No widgets here. What happens is told to a listener; questions that come while the model loads or writes wait in line.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Literal

from localchat.engine.client import EngineLink
from localchat.errors import EngineDied, HistoryUnavailable, LocalChatError, Stopped
from localchat.events import Event, Loaded, LoadProgress, PromptFitted, PromptProgress, ReplyDone, TextCut, TextDelta
from localchat.history.store import HistoryStore
from localchat.messages import ReplyOptions
from localchat.recording import Recording, ReplyRecorded
from localchat.translation import _, mark
from localchat.ui.aside import Aside
from localchat.ui.engine_state import EngineState, Phase
from localchat.ui.model_slot import ModelSlot
from localchat.ui.session_events import EngineChanged, Listener, ReplyEnded, ReplyGrew, Trouble
from localchat.ui.turn import ModelSource, Turn, prompt_messages

FinalStatus = Literal["complete", "stopped", "interrupted", "error"]

RESTARTED = mark("The engine stopped unexpectedly and was restarted; what was written is kept.")


class Answering:
    """Owner of the engine and of its state.

    Args:
        store_of: the history that a chat is in, by its id.
        system_prompt: of a chat, by its id.
        options: of the next reply in a chat, by its id.
    """

    def __init__(
        self,
        engine: EngineLink,
        store_of: Callable[[str], HistoryStore],
        listener: Listener,
        *,
        system_prompt: Callable[[str], str],
        options: Callable[[str], ReplyOptions],
    ) -> None:
        self.engine = engine
        self._store_of = store_of
        self._tell = listener
        self._system_prompt = system_prompt
        self._options = options
        self._slot = ModelSlot(engine, lambda state: self._tell(EngineChanged(state)), self._load_failed)
        self._waiting: deque[Turn] = deque()
        self._current: Turn | None = None
        self._worker: asyncio.Task[None] | None = None
        self._engine_taken = asyncio.Lock()
        self.aside = Aside(engine)

    @property
    def state(self) -> EngineState:
        return self._slot.state

    @property
    def chosen(self) -> ModelSource | None:
        """The model that answers, or will once it is loaded."""
        return self._slot.chosen

    def load(self, source: ModelSource) -> None:
        """Let this model answer from now on; a load under way gives way to it."""
        self.aside.cancel()
        self._slot.choose(source)
        self._work()

    def rest(self) -> bool:
        """Let the engine end until somebody wants something of it; False when it is busy, or not there."""
        if self.busy or self.state.phase != "ready":
            return False
        self.aside.cancel()
        self._slot.rest()
        return True

    def wake(self) -> None:
        """Load the model again if the engine rests."""
        self._slot.wake()

    def _load_failed(self, reason: str) -> None:
        if not self._waiting:  # otherwise the question that waits shows it
            self._tell(Trouble(reason))

    # ---- questions

    def answer(self, turn: Turn) -> None:
        """Answer this when its turn comes."""
        self._waiting.append(turn)
        self._work()

    def turn_of(self, reply_id: str) -> Turn | None:
        """The turn that writes or will write this reply."""
        for turn in (self._current, *self._waiting):
            if turn is not None and turn.reply_id == reply_id:
                return turn
        return None

    @property
    def writing(self) -> Turn | None:
        """The turn that the engine is at."""
        return self._current

    @property
    def busy(self) -> bool:
        """Whether anything is being answered or waits for it, or the engine is borrowed."""
        return self._engine_taken.locked() or self._current is not None or bool(self._waiting)

    @asynccontextmanager
    async def borrow(self, model: ModelSource | None = None) -> AsyncIterator[EngineLink]:
        """The engine with the chosen model, for something that is no reply; questions wait until it is given back.

        Args:
            model: another one than the chosen, which is loaded again after that.

        Raises:
            LocalChatError: there is no model, or it cannot be loaded.
        """
        async with self._engine_taken:
            await self.aside.give_way()
            wanted = model or self._slot.chosen
            if wanted is None or not await self._slot.bring(wanted):
                raise LocalChatError(self.state.detail or _("No model is loaded."), _("Choose one with Ctrl+O."))
            try:
                yield self.engine
            finally:
                if not self._waiting:
                    self._slot.go_home()

    def stop(self, chat_id: str | None) -> bool:
        """End what goes on in this chat, or the load when nothing does; what was written is kept.

        Returns whether there was anything to stop.
        """
        if self.stop_chat(chat_id) or (self._current is not None and self.stop_chat(self._current.chat_id)):
            return True
        return not self._waiting and self._slot.stop()

    def stop_chat(self, chat_id: str | None) -> bool:
        """End the first reply that is written or waited for in this chat."""
        turns = [turn for turn in (self._current, *self._waiting) if turn is not None and not turn.stopped]
        turn = next((turn for turn in turns if turn.chat_id == chat_id), None)
        if turn is None:
            return False
        turn.stopped = True
        if turn is self._current:
            if self.state.phase in ("reading", "writing"):
                self._slot.set(replace(self.state, phase="stopping", fraction=None))
                self.engine.stop()
        else:
            self._waiting.remove(turn)
            if turn.model is not None and turn.model == self._slot.source:
                self._slot.stop()
        self._finish(turn, "stopped")  # at once, for the eye and for the disk; the figures follow
        return True

    async def close(self) -> None:
        """Stop, save, and end the engine."""
        await self.aside.give_way()
        for turn in list(self._waiting):
            self._waiting.remove(turn)
            self._finish(turn, "stopped")
        if self._current is not None:
            self.stop(self._current.chat_id)
        tasks = [task for task in (self._worker, self._slot.loading) if task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=0.4)
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.engine.close()

    def _work(self) -> None:
        if self._waiting and (self._worker is None or self._worker.done()):
            self._worker = asyncio.create_task(self._answer_all())

    async def _answer_all(self) -> None:
        while self._waiting:
            turn = self._waiting[0]
            wanted = turn.model or self._slot.chosen
            if wanted is None:
                return  # the first start is still going on; `load` will come back to the line
            await self.aside.give_way()
            async with self._engine_taken:
                if turn.stopped:
                    continue
                if await self._slot.bring(wanted):
                    if not turn.stopped:
                        await self._answer_next()
                elif not turn.stopped and self._slot.source == wanted:
                    self._give_up_all_for(turn.model)
        self._slot.go_home()

    async def _answer_next(self) -> None:
        self._current = turn = self._waiting.popleft()
        try:
            await self._answer(turn)
        finally:
            self._current = None

    def _give_up_all_for(self, model: ModelSource | None) -> None:
        """This model cannot be loaded: whoever waits for it is told why there is no reply."""
        for turn in [turn for turn in self._waiting if turn.model == model]:
            self._waiting.remove(turn)
            self._finish(turn, "error", self.state.detail)

    async def _answer(self, turn: Turn) -> None:
        status: FinalStatus = "interrupted"
        error = ""
        self._slot.set(replace(self.state, phase="reading", fraction=None, tokens_per_second=0.0))
        try:
            line = self._store_of(turn.chat_id).line_to(turn.question_id)
            messages = prompt_messages(line, self._system_prompt(turn.chat_id))
            options = turn.begins(self._options(turn.chat_id))
            async with aclosing(self.engine.reply(messages, options)) as events:
                async for event in events:
                    self._follow_reply(turn, event)
            status = "complete"
        except Stopped:
            turn.stopped = True
        except EngineDied as death:
            error = str(death)
            self._tell(Trouble(_(RESTARTED), "warning", turn.chat_id))
            self._slot.restart()
        except LocalChatError as failure:
            status, error = "error", str(failure)
        finally:
            if turn.stopped or (turn.done is not None and turn.done.finish_reason == "stopped"):
                status, error = "stopped", ""
            self._finish(turn, status, error)
            if status == "complete" and turn.prefill and turn.text == turn.prefill:
                self._tell(Trouble(_("The model has nothing to add."), "information"))
            if self.state.phase in ("reading", "writing", "stopping"):
                self._slot.set(replace(self.state, phase="ready", fraction=None, tokens_per_second=0.0))

    def _follow_reply(self, turn: Turn, event: Event) -> None:
        state = self.state
        if isinstance(event, (LoadProgress, Loaded)):  # the engine had died and loads again before it answers
            self._slot.follow(event)
        elif isinstance(event, PromptFitted):
            turn.fitted = event
            self._slot.set(replace(state, phase=self._phase(turn, "reading"), context_used=event.prompt_tokens))
        elif isinstance(event, PromptProgress):
            fraction = event.done / event.total if event.total else None
            self._slot.set(replace(state, phase=self._phase(turn, "reading"), fraction=fraction))
        elif isinstance(event, TextDelta):
            if not turn.stopped:
                turn.grow(event)
                self._tell(ReplyGrew(turn.chat_id, turn.reply_id, event.text, event.thinking, event.tokens))
                self._checkpoint(turn)
            used = (turn.fitted.prompt_tokens if turn.fitted else 0) + event.tokens
            phase = self._phase(turn, "writing")
            speed = event.tokens_per_second
            self._slot.set(replace(state, phase=phase, fraction=None, tokens_per_second=speed, context_used=used))
        elif isinstance(event, TextCut):
            if not turn.stopped:
                turn.cut_back(event)
        elif isinstance(event, ReplyRecorded):
            turn.recording = Recording.of(event, turn.before)
        elif isinstance(event, ReplyDone):
            turn.done = event
            self._slot.set(replace(state, context_used=event.context_used))

    @staticmethod
    def _phase(turn: Turn, phase: Phase) -> Phase:
        return "stopping" if turn.stopped else phase

    def _checkpoint(self, turn: Turn) -> None:
        """Save what there is; a full disk must not end the reply, and is said when it ends."""
        with contextlib.suppress(HistoryUnavailable):
            turn.checkpoint(self._store_of(turn.chat_id))

    def _finish(self, turn: Turn, status: FinalStatus, error: str = "") -> None:
        try:
            self._store_of(turn.chat_id).finish(
                turn.reply_id,
                turn.text,
                status,
                thinking=turn.thinking,
                stats=turn.stats(),
                error=error,
                recording=turn.kept_recording,
            )
        except HistoryUnavailable as trouble:
            self._tell(Trouble(str(trouble), "error", turn.chat_id))
        self._tell(ReplyEnded(turn.chat_id, turn.reply_id))

    def show_context(self, used: int | None) -> None:
        """Another conversation is on screen; it fills so much of the context."""
        if self._current is None:
            self._slot.set(replace(self.state, context_used=used))
