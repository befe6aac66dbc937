"""An engine that answers from a script: what the interface is tested with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from localchat.errors import EngineDied, LocalChatError, Stopped
from localchat.messages import (
    Event,
    Loaded,
    LoadProgress,
    Message,
    ModelInfo,
    PromptFitted,
    PromptProgress,
    PromptSize,
    ReplyDone,
    ReplyOptions,
    TextDelta,
)

INFO = ModelInfo(
    name="tiny",
    architecture="llama",
    precision="int4",
    device="cpu",
    kernel="reference",
    threads=2,
    parameters=135_000_000,
    file_bytes=98_000_000,
    bits_per_weight=5.0,
    context_length=8192,
    load_s=0.5,
)


@dataclass
class Script:
    """One reply: its pieces, and what happens around them.

    Attributes:
        thinking: pieces that the model writes for itself before those.
        pause_s: before every piece.
        hold: the reply waits for this event before its n-th piece; for thinking, the key is ~n.
        dies_after: the engine dies after so many pieces.
        error: raised instead of a reply.
    """

    pieces: Sequence[str] = ("Hello", " there", ".")
    thinking: Sequence[str] = ()
    pause_s: float = 0.0
    hold: dict[int, asyncio.Event] = field(default_factory=dict)
    dies_after: int | None = None
    error: LocalChatError | None = None
    left_out: int = 0


class FakeEngine:
    """`EngineLink` without a model. `replies` are used one after the other, the last one again and again."""

    def __init__(self, *replies: Script, load_s: float = 0.0) -> None:
        self.replies = list(replies) or [Script()]
        self.load_s = load_s
        self.may_load = asyncio.Event()
        self.may_load.set()
        self.info = INFO
        self.load_error: LocalChatError | None = None
        self.errors_of: dict[str, LocalChatError] = {}  # by the model that cannot be loaded
        self.loads: list[str] = []
        self.contexts: list[int | None] = []
        self.asked: list[tuple[Message, ...]] = []
        self.options: list[ReplyOptions] = []
        self.stops = 0
        self.closed = False
        self._stopping = asyncio.Event()
        self.answer: Callable[[Sequence[Message]], Script] | None = None

    async def load(self, model: str, context_length: int | None = None) -> AsyncGenerator[Event]:
        self.loads.append(model)
        self.contexts.append(context_length)
        self._stopping.clear()
        yield LoadProgress("Importing libraries")
        await self._until(self.may_load)
        if (error := self.errors_of.get(model, self.load_error)) is not None:
            raise error
        for step in range(4):
            await self._sleep(self.load_s / 4)
            yield LoadProgress("Reading the weights", (step + 1) / 4)
        yield Loaded(self.info)

    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncGenerator[Event]:
        self.asked.append(tuple(messages))
        self.options.append(options)
        self._stopping.clear()
        if self.answer is not None:
            script = self.answer(messages)
        else:
            script = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if script.error is not None:
            raise script.error
        prompt = sum(len(message.content) for message in messages)
        yield PromptFitted(prompt, 0, script.left_out, INFO.context_length)
        yield PromptProgress(prompt, prompt)
        count = 0
        reason = "stop"
        try:
            for piece in script.thinking:
                if (gate := script.hold.get(~count)) is not None:
                    await self._until(gate)
                await self._sleep(script.pause_s)
                count += 1
                yield TextDelta(piece, count, 84.0, thinking=True)
            for index, piece in enumerate(script.pieces):
                if script.dies_after == index:
                    raise EngineDied("The engine stopped unexpectedly (status -9).", "It starts again.")
                if (gate := script.hold.get(index)) is not None:
                    await self._until(gate)
                await self._sleep(script.pause_s)
                count += 1
                yield TextDelta(piece, count, 84.0)
        except Stopped:
            reason = "stopped"
        yield ReplyDone(
            finish_reason=reason,  # type: ignore[arg-type]
            prompt_tokens=prompt,
            cached_tokens=0,
            completion_tokens=count,
            seed=1,
            time_to_first_token_s=0.1,
            prefill_tokens_per_second=400.0,
            decode_tokens_per_second=84.0,
            context_used=prompt + count,
            context_length=INFO.context_length,
            left_out=script.left_out,
            sampling={},
            thinking_tokens=min(count, len(script.thinking)),
            thinking_seconds=3.2 if script.thinking else 0.0,
        )

    async def measure(self, messages: Sequence[Message]) -> PromptSize:
        return PromptSize(sum(len(message.content) for message in messages), INFO.context_length)

    def stop(self) -> None:
        self.stops += 1
        self._stopping.set()

    async def close(self) -> None:
        self.closed = True

    async def _sleep(self, seconds: float) -> None:
        if self._stopping.is_set():
            raise Stopped
        if not seconds:
            await asyncio.sleep(0)
            return
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
        raise Stopped

    async def _until(self, gate: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(gate.wait()), asyncio.ensure_future(self._stopping.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if not gate.is_set():
            raise Stopped
