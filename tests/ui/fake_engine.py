"""An engine that answers from a script: what the interface is tested with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise

from localchat.engine.context import Fitted, fit
from localchat.errors import ContextOverflow, EngineDied, LocalChatError, Stopped
from localchat.events import (
    Event,
    Loaded,
    LoadProgress,
    ModelInfo,
    PromptFitted,
    PromptProgress,
    PromptSize,
    ReplyDone,
    TextCut,
    TextDelta,
)
from localchat.ledger import ContextLedger
from localchat.messages import Message, ReplyOptions
from localchat.recording import Recording, Replayed, ReplyExplained, ReplyRecorded, TokenExplained

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


def encode(messages: Sequence[Message]) -> list[int]:
    """A template that costs two tokens a message, and one a character."""
    return [0 for m in messages for _ in range(len(m.content) + 2)]


@dataclass
class Script:
    """One reply: its pieces, and what happens around them.

    Attributes:
        thinking: pieces that the model writes for itself before those.
        pause_s: before every piece.
        hold: the reply waits for this event before its n-th piece; for thinking, the key is ~n.
        dies_after: the engine dies after so many pieces.
        error: raised instead of a reply.
        cut: it is a loop, of which so many characters are taken back.
    """

    pieces: Sequence[str] = ("Hello", " there", ".")
    thinking: Sequence[str] = ()
    pause_s: float = 0.0
    hold: dict[int, asyncio.Event] = field(default_factory=dict)
    dies_after: int | None = None
    error: LocalChatError | None = None
    left_out: int = 0
    cut: int = 0


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
        self.drafts: list[str | None] = []
        self.asked: list[tuple[Message, ...]] = []
        self.options: list[ReplyOptions] = []
        self.stops = 0
        self.ledgers = 0
        self.seen: list[tuple[Message, ...]] = []  # of what was asked, what fits
        self.window: int | None = None  # tokens (see `encode`) that fit, when that is to matter
        self.recording: Recording | None = None  # told of every reply
        self.explanation: Sequence[TokenExplained] | LocalChatError = ()
        self.replayed = Replayed(2, False, {})
        self.looked_at: list[Recording] = []
        self.may_look = asyncio.Event()
        self.may_look.set()
        self.closed = False
        self.forgotten: list[str] = []
        self._stopping = asyncio.Event()
        self.answer: Callable[[Sequence[Message]], Script] | None = None

    async def load(
        self, model: str, context_length: int | None = None, draft: str | None = None
    ) -> AsyncGenerator[Event]:
        self.loads.append(model)
        self.drafts.append(draft)
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
        fitted = self._fit(messages, options)
        self.seen.append(tuple(fitted.messages))
        left_out = script.left_out or fitted.left_out
        yield PromptFitted(prompt, 0, left_out, INFO.context_length, fitted.summarised)
        yield PromptProgress(prompt, prompt)
        if options.line:
            yield TextDelta("".join(map(chr, options.line[-options.begun :])), 0, 0.0)
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
            if script.cut:
                reason = "loop"
                yield TextCut(script.cut)
        except Stopped:
            reason = "stopped"
        if self.recording is not None:
            yield ReplyRecorded(asdict(self.recording))
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
            left_out=left_out,
            summarised=fitted.summarised,
            sampling={},
            thinking_tokens=min(count, len(script.thinking)),
            thinking_seconds=3.2 if script.thinking else 0.0,
        )

    async def measure(self, messages: Sequence[Message]) -> PromptSize:
        return PromptSize(sum(len(message.content) for message in messages), INFO.context_length)

    async def ledger(
        self, messages: Sequence[Message], options: ReplyOptions, ends: Sequence[Sequence[int]] = (), ahead: int = 0
    ) -> ContextLedger:
        self.ledgers += 1
        refusal = ""
        try:
            fitted = self._fit(messages, options, ahead)
        except ContextOverflow as error:
            fitted, refusal = Fitted(encode(messages), messages), str(error)
        cuts = [list(ends[i]) if i < len(ends) else [len(m.content)] for i, m in enumerate(messages)]
        parts = tuple(tuple(b - a for a, b in pairwise([0, *each])) for each in cuts)
        stays = sum(sum(part) for i, part in enumerate(parts) if i not in fitted.gone)
        summary = len(fitted.messages[fitted.summary_at].content) if fitted.summary_at is not None else 0
        return ContextLedger(
            parts=parts,
            gone=fitted.gone,
            summarised=fitted.summarised,
            summary=summary,
            template=len(fitted.token_ids) - stays - summary,
            prompt_tokens=len(fitted.token_ids),
            reserve=512,
            context_length=self.info.context_length,
            refusal=refusal,
        )

    async def replay(self, recording: Recording) -> AsyncGenerator[Event]:
        self.looked_at.append(recording)
        self._stopping.clear()
        yield PromptProgress(1, 2)
        await self._until(self.may_look)
        yield self.replayed

    async def explain(self, recording: Recording, alternatives: int) -> AsyncGenerator[Event]:  # noqa: ARG002
        self.looked_at.append(recording)
        self._stopping.clear()
        if isinstance(self.explanation, LocalChatError):
            raise self.explanation
        for place, token in enumerate(self.explanation):
            yield PromptProgress(place, len(self.explanation))
            yield token
        await self._until(self.may_look)
        yield ReplyExplained(kept=False)

    def _fit(self, messages: Sequence[Message], options: ReplyOptions, ahead: int = 0) -> Fitted:
        if self.window is None:
            return Fitted(encode(messages), messages)
        return fit(messages, encode, self.window, options.max_tokens, options.overflow, ahead)

    def forget(self, chat: str) -> None:
        self.forgotten.append(chat)

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
