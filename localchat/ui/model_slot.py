"""Which model the engine has loaded: the one that the user chose, or for one reply another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace

from localchat.engine.client import EngineLink
from localchat.errors import LocalChatError, Stopped
from localchat.events import Event, Loaded, LoadProgress
from localchat.translation import _
from localchat.ui.engine_state import EngineState, Errand, Phase
from localchat.ui.turn import ModelSource


class ModelSlot:
    """Owner of what is loaded, and of the engine's state, which others change too while it answers.

    Args:
        changed: is told every new state.
        failed: is told why a load failed.
    """

    def __init__(
        self, engine: EngineLink, changed: Callable[[EngineState], None], failed: Callable[[str], None]
    ) -> None:
        self.state = EngineState()
        self.chosen: ModelSource | None = None
        self.source: ModelSource | None = None
        self._engine = engine
        self._changed = changed
        self._failed = failed
        self._loading: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    @property
    def loaded(self) -> bool:
        return self.state.model is not None

    @property
    def loading(self) -> asyncio.Task[None] | None:
        """The load under way."""
        return self._loading if self._loading is not None and not self._loading.done() else None

    def set(self, state: EngineState) -> None:
        if state != self.state:
            self.state = state
            self._changed(state)

    def choose(self, source: ModelSource) -> None:
        """Load what the user wants from now on; after the reply of another model, if there is one under way."""
        visited = self.source is not None and self.source != self.chosen
        self.chosen = source
        if not visited:
            self._begin(source, "")

    async def bring(self, source: ModelSource) -> bool:
        """Have this model loaded. False when it cannot be, or when another was asked for meanwhile."""
        if self.source != source:
            self._begin(source, "" if source == self.chosen else "visit")
        elif not self.loaded and self.loading is None:
            self._begin(source, self.state.errand)
        while self.loading is not None:
            await asyncio.wait([self.loading])
        return self.loaded and self.source == source

    def go_home(self) -> None:
        """Load the chosen model again when another one is loaded."""
        if self.chosen is not None and self.source != self.chosen:
            self._begin(self.chosen, "return")

    def rest(self) -> None:
        """End the engine, so that its memory goes back to the system; whoever wants a model loads it again."""
        self.set(replace(self.state, phase="resting", model=None))
        self._ending = asyncio.create_task(self._engine.close())

    def wake(self) -> None:
        """Load again what was there before `rest`."""
        if self.state.phase == "resting" and self.source is not None:
            used = self.state.context_used
            self._begin(self.source, "")
            self.set(replace(self.state, context_used=used))

    def restart(self) -> None:
        """The engine died: start another now rather than with the next question."""
        self.set(replace(self.state, phase="restarting", detail="", fraction=None, model=None))
        self._loading = asyncio.create_task(self._load_after(None))

    def stop(self) -> bool:
        """End the load under way; False when there is none."""
        if self.loading is None:
            return False
        self._engine.stop()
        return True

    def _begin(self, source: ModelSource, errand: Errand) -> None:
        """Load this; a load under way gives way to it."""
        self.source = source
        previous = self.loading
        if previous is not None:
            self._engine.stop()
        self.set(EngineState("starting", model_name=source.name, errand=errand))
        self._loading = asyncio.create_task(self._load_after(previous))

    async def _load_after(self, previous: asyncio.Task[None] | None) -> None:
        if previous is not None:
            await asyncio.wait([previous])
        if self._loading is asyncio.current_task():
            await self._load()

    async def _load(self) -> None:
        """Load what was asked for last, and let the state say how that goes."""
        source = self.source
        assert source is not None
        me = asyncio.current_task()
        try:
            async with aclosing(self._engine.load(source.path, source.context_length, source.draft)) as events:
                async for event in events:
                    if self._loading is me:
                        self.follow(event)
        except Stopped:
            self._fail(me, _("Loading was stopped"))
        except LocalChatError as error:
            if self._loading is me:
                self._failed(str(error))
            self._fail(me, str(error))

    def follow(self, event: Event) -> None:
        """Let the state say what a load tells."""
        if isinstance(event, LoadProgress):
            phase: Phase = "restarting" if self.state.phase == "restarting" else "loading"
            self.set(replace(self.state, phase=phase, detail=event.stage, fraction=event.fraction))
        elif isinstance(event, Loaded):
            errand: Errand = "visit" if self.source != self.chosen else ""
            self.set(replace(self.state, phase="ready", detail="", fraction=None, model=event.model, errand=errand))
            for note in filter(None, (event.model.draft_problem, event.model.cache_note)):
                self._failed(note)

    def _fail(self, me: asyncio.Task[None] | None, sentence: str) -> None:
        if self._loading is me:
            self.set(replace(self.state, phase="failed", detail=sentence, fraction=None, model=None))
