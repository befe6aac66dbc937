"""The one who talks to the engine: loads the model, answers one question after the other, and saves what comes.

No widgets here. What happens is told to a listener; questions that come while the model loads or writes wait in line.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Literal

from localchat.engine.client import EngineLink
from localchat.errors import EngineDied, HistoryUnavailable, LocalChatError, Stopped
from localchat.history.store import HistoryStore
from localchat.messages import (
    Event,
    Loaded,
    LoadProgress,
    PromptFitted,
    PromptProgress,
    ReplyDone,
    ReplyOptions,
    TextDelta,
)
from localchat.ui.engine_state import EngineState, Phase
from localchat.ui.session_events import EngineChanged, Listener, ReplyEnded, ReplyGrew, Trouble
from localchat.ui.turn import Turn, line_to, prompt_messages

FinalStatus = Literal["complete", "stopped", "interrupted", "error"]

RESTARTED = "The engine stopped unexpectedly and was restarted; what was written is kept."


class Answering:
    """Owner of the engine and of its state.

    Args:
        system_prompt: of a chat, by its id.
        options: of the next reply in a chat, by its id.
    """

    def __init__(
        self,
        engine: EngineLink,
        store: HistoryStore,
        listener: Listener,
        *,
        system_prompt: Callable[[str], str],
        options: Callable[[str], ReplyOptions],
    ) -> None:
        self.engine = engine
        self.store = store
        self.state = EngineState()
        self._tell = listener
        self._system_prompt = system_prompt
        self._options = options
        self._model: tuple[str, int | None] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._waiting: deque[Turn] = deque()
        self._current: Turn | None = None
        self._worker: asyncio.Task[None] | None = None

    # ---- the model

    def load(self, model: str, name: str, context_length: int | None = None) -> None:
        """Load `model` (a folder or a file), called `name`; a load under way gives way to this one."""
        self._model = (model, context_length)
        previous, self._loading = self._loading, None
        if previous is not None and not previous.done():
            self.engine.stop()
        self._set(EngineState("starting", model_name=name))
        self._loading = asyncio.create_task(self._load_after(previous))
        self._work()

    async def _load_after(self, previous: asyncio.Task[None] | None) -> None:
        if previous is not None:
            await asyncio.wait([previous])
        if self._loading is asyncio.current_task():
            await self._load()

    async def _load(self) -> None:
        """Load what was asked for last, and let the state say how that goes."""
        assert self._model is not None
        me = asyncio.current_task()
        try:
            async with aclosing(self.engine.load(*self._model)) as events:
                async for event in events:
                    if self._loading is me:
                        self._follow_load(event)
        except Stopped:
            self._fail_load(me, "Loading was stopped")
        except LocalChatError as error:
            if self._loading is me and not self._waiting:  # otherwise the question that waits shows it
                self._tell(Trouble(str(error)))
            self._fail_load(me, str(error))

    def _follow_load(self, event: Event) -> None:
        if isinstance(event, LoadProgress):
            phase: Phase = "restarting" if self.state.phase == "restarting" else "loading"
            self._set(replace(self.state, phase=phase, detail=event.stage, fraction=event.fraction))
        elif isinstance(event, Loaded):
            self._set(replace(self.state, phase="ready", detail="", fraction=None, model=event.model))

    def _fail_load(self, me: asyncio.Task[None] | None, sentence: str) -> None:
        if self._loading is me:
            self._set(replace(self.state, phase="failed", detail=sentence, fraction=None, model=None))

    @property
    def _loaded(self) -> bool:
        return self.state.model is not None

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

    def stop(self, chat_id: str | None) -> bool:
        """End what goes on in this chat, or the load when nothing does; what was written is kept.

        Returns whether there was anything to stop.
        """
        if self.stop_chat(chat_id) or (self._current is not None and self.stop_chat(self._current.chat_id)):
            return True
        if self._loading is not None and not self._loading.done() and not self._waiting:
            self.engine.stop()
            return True
        return False

    def stop_chat(self, chat_id: str | None) -> bool:
        """End the first reply that is written or waited for in this chat."""
        turns = [turn for turn in (self._current, *self._waiting) if turn is not None and not turn.stopped]
        turn = next((turn for turn in turns if turn.chat_id == chat_id), None)
        if turn is None:
            return False
        turn.stopped = True
        if turn is self._current:
            if self.state.phase in ("reading", "writing"):
                self._set(replace(self.state, phase="stopping", fraction=None))
                self.engine.stop()
        else:
            self._waiting.remove(turn)
        self._finish(turn, "stopped")  # at once, for the eye and for the disk; the figures follow
        return True

    async def close(self) -> None:
        """Stop, save, and end the engine."""
        for turn in list(self._waiting):
            self._waiting.remove(turn)
            self._finish(turn, "stopped")
        if self._current is not None:
            self.stop(self._current.chat_id)
        tasks = [task for task in (self._worker, self._loading) if task is not None]
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
            if not await self._ready():
                break
            if not self._waiting:  # stopped meanwhile
                break
            self._current = turn = self._waiting.popleft()
            try:
                await self._answer(turn)
            finally:
                self._current = None

    async def _ready(self) -> bool:
        """Wait for the model. Without one, whoever waits for a reply is told why there is none."""
        if self._model is None:
            return False  # the first start is still going on; `load` will come back to the line
        while not self._loaded:
            if self._loading is None or self._loading.done():
                self._set(replace(self.state, phase="starting", detail=""))
                self._loading = asyncio.create_task(self._load_after(None))
            await asyncio.wait([self._loading])
            if not self._loaded and self._loading.done():
                while self._waiting:
                    self._finish(self._waiting.popleft(), "error", f"{self.state.detail}")
                return False
        return True

    async def _answer(self, turn: Turn) -> None:
        status: FinalStatus = "interrupted"
        error = ""
        self._set(replace(self.state, phase="reading", fraction=None, tokens_per_second=0.0))
        try:
            line = line_to(self.store, turn.chat_id, turn.question_id)
            messages = prompt_messages(line, self._system_prompt(turn.chat_id))
            async with aclosing(self.engine.reply(messages, self._options(turn.chat_id))) as events:
                async for event in events:
                    self._follow_reply(turn, event)
            status = "complete"
        except Stopped:
            turn.stopped = True
        except EngineDied as death:
            error = str(death)
            self._engine_died(turn)
        except LocalChatError as failure:
            status, error = "error", str(failure)
        finally:
            if turn.stopped or (turn.done is not None and turn.done.finish_reason == "stopped"):
                status, error = "stopped", ""
            self._finish(turn, status, error)
            if self.state.phase in ("reading", "writing", "stopping"):
                self._set(replace(self.state, phase="ready", fraction=None, tokens_per_second=0.0))

    def _follow_reply(self, turn: Turn, event: Event) -> None:
        state = self.state
        if isinstance(event, (LoadProgress, Loaded)):  # the engine had died and loads again before it answers
            self._follow_load(event)
        elif isinstance(event, PromptFitted):
            turn.fitted = event
            self._set(replace(state, phase=self._phase(turn, "reading"), context_used=event.prompt_tokens))
        elif isinstance(event, PromptProgress):
            fraction = event.done / event.total if event.total else None
            self._set(replace(state, phase=self._phase(turn, "reading"), fraction=fraction))
        elif isinstance(event, TextDelta):
            if not turn.stopped:
                turn.text += event.text
                self._tell(ReplyGrew(turn.chat_id, turn.reply_id, event.text))
                self._checkpoint(turn)
            used = (turn.fitted.prompt_tokens if turn.fitted else 0) + event.tokens
            phase = self._phase(turn, "writing")
            speed = event.tokens_per_second
            self._set(replace(state, phase=phase, fraction=None, tokens_per_second=speed, context_used=used))
        elif isinstance(event, ReplyDone):
            turn.done = event
            self._set(replace(state, context_used=event.context_used))

    @staticmethod
    def _phase(turn: Turn, phase: Phase) -> Phase:
        return "stopping" if turn.stopped else phase

    def _engine_died(self, turn: Turn) -> None:
        """Say so, and start another engine now rather than with the next question."""
        self._tell(Trouble(RESTARTED, "warning", turn.chat_id))
        self._set(replace(self.state, phase="restarting", detail="", fraction=None, model=None))
        self._loading = asyncio.create_task(self._load_after(None))

    def _checkpoint(self, turn: Turn) -> None:
        """Save what there is; a full disk must not end the reply, and is said when it ends."""
        with contextlib.suppress(HistoryUnavailable):
            turn.checkpoint(self.store)

    def _finish(self, turn: Turn, status: FinalStatus, error: str = "") -> None:
        try:
            self.store.finish(turn.reply_id, turn.text, status, stats=turn.stats(), error=error)
        except HistoryUnavailable as trouble:
            self._tell(Trouble(str(trouble), "error", turn.chat_id))
        self._tell(ReplyEnded(turn.chat_id, turn.reply_id))

    def show_context(self, used: int | None) -> None:
        """Another conversation is on screen; it fills so much of the context."""
        if self._current is None:
            self._set(replace(self.state, context_used=used))

    def _set(self, state: EngineState) -> None:
        if state != self.state:
            self.state = state
            self._tell(EngineChanged(state))
