"""`Engine`: messages in, a stream of events out. Plain and synchronous; knows nothing of processes or screens.

engine = Engine()
engine.load("models/smollm2-135m")
for event in engine.reply([Message("user", "Hello")], ReplyOptions()):
    ...
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event as StopSignal

import torch

from localchat.engine.beginning import encode_up_to
from localchat.engine.context import fit
from localchat.engine.generate import Generation, prefill_steps
from localchat.engine.kv_cache import KVCache, cache_for
from localchat.engine.reply_text import ReplyText
from localchat.engine.sampling import Sampler
from localchat.errors import BadTemplate, LocalChatError, Stopped
from localchat.messages import (
    Event,
    FinishReason,
    LoadProgress,
    Message,
    ModelInfo,
    PromptFitted,
    PromptProgress,
    PromptSize,
    ReplyDone,
    ReplyOptions,
    SamplingOptions,
    TextDelta,
    sampling_options,
)
from localchat.model.decoder import Check
from localchat.model.device import configure_threads
from localchat.model.load import LoadedModel, load_model
from localchat.text.chat_text import ChatText, load_chat_text
from localchat.text.thinking import Part
from localchat.translation import _, mark

WARM_UP = (Message("user", "Hello"),)
"""Read once after loading: the first question then pays neither for the first use of every kernel nor for the system
prompt of the model's own template, whose keys and values stay in the cache."""


@dataclass(slots=True)
class _Model:
    """A model that is ready to answer.

    Attributes:
        cache: keys and values of the conversation that was answered last.
        token_ids: the ids that the cache holds, in order.
        line: prompt and reply that came last; the reply's last token is not in the cache.
    """

    loaded: LoadedModel
    text: ChatText
    info: ModelInfo
    cache: KVCache
    token_ids: list[int]
    line: list[int]


class Engine:
    """One loaded model and the cache of one conversation."""

    def __init__(self) -> None:
        self._model: _Model | None = None

    def load(
        self,
        path: str | Path,
        context_length: int | None = None,
        *,
        on_progress: Callable[[LoadProgress], None] = lambda _: None,
        stop: StopSignal | None = None,
    ) -> ModelInfo:
        """Load the model in a folder of ours or in a GGUF file; the one before is let go first.

        Args:
            path: the folder or file.
            context_length: tokens of context to allow, at most the model's own; None takes the model's own, or as many
                as there is memory for.

        Raises:
            Stopped: `stop` was set.
            NotEnoughMemory: it does not fit into what is free; nothing was loaded.
            LocalChatError: the model cannot be loaded, with the reason.
        """
        began = time.perf_counter()
        check = _checker(stop)
        self.unload()
        threads = configure_threads()
        path = Path(path).expanduser()
        loaded = load_model(
            path,
            context_length=context_length,
            on_progress=lambda stage, fraction: on_progress(LoadProgress(stage, fraction)),
            check=check,
        )
        text = load_chat_text(path)
        cache = cache_for(loaded, loaded.context_length)
        on_progress(LoadProgress(mark("Warming up"), 1.0))
        token_ids = _warm_up(loaded, text, cache, check)
        info = ModelInfo(
            name=loaded.name,
            architecture=loaded.spec.family,
            precision=loaded.precision,
            device=str(loaded.device),
            kernel=loaded.kernel,
            threads=threads,
            parameters=loaded.parameters,
            file_bytes=loaded.file_bytes,
            bits_per_weight=loaded.bits_per_weight,
            context_length=loaded.context_length,
            load_s=time.perf_counter() - began,
            sampling=loaded.sampling,
        )
        self._model = _Model(loaded, text, info, cache, token_ids, token_ids[:])
        return info

    def unload(self) -> None:
        """Let the model and its cache go."""
        self._model = None

    def measure(self, messages: Sequence[Message]) -> PromptSize:
        """Count the tokens of a conversation with the model's own template, without reading them."""
        model = self._ready()
        return PromptSize(len(model.text.encode(messages)), model.info.context_length)

    def reply(
        self, messages: Sequence[Message], options: ReplyOptions, *, stop: StopSignal | None = None
    ) -> Iterator[Event]:
        """Answer the last message: `PromptFitted`, `PromptProgress`..., `TextDelta`..., `ReplyDone`.

        What the cache already holds of the prompt is not read again. A stop ends the reply with its text so far.

        Raises:
            ContextOverflow: the last message is too long for the model.
            BadTemplate: the model's template refuses this conversation.
            InvalidSetting: a sampling option is out of its range.
        """
        model = self._ready()
        began = time.perf_counter()
        check = _checker(stop)
        sampling = sampling_options({**model.loaded.sampling, **options.sampling})
        if sampling.seed is None:
            sampling = replace(sampling, seed=secrets.randbits(32))
        encode = partial(encode_up_to, model.text, model.line, prefill=options.prefill, thinking=options.thinking)
        fitted = fit(messages, encode, model.info.context_length, options.max_tokens)
        prompt = fitted.token_ids
        cached = _rewind(model, prompt)
        yield PromptFitted(len(prompt), cached, fitted.left_out, model.info.context_length)

        reply = _Reply(model, options, sampling, prompt)
        first_token_at = 0.0
        try:
            for done in reply.read_prompt(cached, check):
                yield PromptProgress(done, len(prompt) - cached)
            for parts in reply.write(check):
                first_token_at = first_token_at or time.perf_counter()
                speed = _rate(reply.tokens - 1, time.perf_counter() - first_token_at)
                for part in parts:
                    yield TextDelta(part.text, reply.tokens, speed, part.thinking)
        except Stopped:
            reply.finish_reason = "stopped"
        ended = time.perf_counter()
        first_token_at = first_token_at or ended
        for part in reply.text.rest():
            yield TextDelta(part.text, reply.tokens, _rate(reply.tokens - 1, ended - first_token_at), part.thinking)
        yield ReplyDone(
            finish_reason=reply.finish_reason,
            prompt_tokens=len(prompt),
            cached_tokens=cached,
            completion_tokens=reply.tokens,
            seed=sampling.seed or 0,
            time_to_first_token_s=first_token_at - began,
            prefill_tokens_per_second=_rate(len(prompt) - cached, first_token_at - began),
            decode_tokens_per_second=_rate(reply.tokens - 1, ended - first_token_at),
            context_used=model.cache.length,
            context_length=model.info.context_length,
            left_out=fitted.left_out,
            sampling=asdict(sampling),
            thinking_tokens=reply.text.thinking_tokens,
            thinking_seconds=reply.text.thinking_seconds,
        )

    def _ready(self) -> _Model:
        if self._model is None:
            raise LocalChatError(_("No model is loaded."), _("Choose one first."))
        return self._model


class _Reply:
    """One reply while it is being written: from prompt ids to text that is safe to show."""

    def __init__(self, model: _Model, options: ReplyOptions, sampling: SamplingOptions, prompt: list[int]) -> None:
        self.tokens = 0
        self.finish_reason: FinishReason = "stop"
        self._model = model
        self._prompt = prompt
        self._max_tokens = options.max_tokens
        self._sampler = Sampler(sampling, prompt)
        opened = not options.prefill and (bool(options.thinking) or model.text.thinks_after(prompt))
        self.text = ReplyText(model.text, options.stop, opened=opened, goes_on=bool(options.prefill))
        self._logits: torch.Tensor | None = None

    def read_prompt(self, cached: int, check: Check) -> Iterator[int]:
        """Prefill what is new of the prompt; yields how many tokens were read."""
        model = self._model
        try:
            steps = prefill_steps(model.loaded.decoder, model.cache, self._prompt[cached:], check=check)
            for done, self._logits in steps:
                yield done
        finally:  # whatever was read is known, even when the rest was stopped
            model.line = self._prompt
            model.token_ids = self._prompt[: model.cache.length]

    def write(self, check: Check) -> Iterator[list[Part]]:
        """Decode; yields for every token the text that it completes, often a word, sometimes none."""
        model = self._model
        assert self._logits is not None
        tokens = Generation(
            model.loaded.decoder,
            model.cache,
            self._logits,
            self._sampler,
            stop_ids=model.text.tokenizer.stop_ids,
            max_tokens=self._max_tokens,
            check=check,
        )
        written: list[int] = []
        try:
            for token in tokens:
                self.tokens += 1
                written.append(token)
                yield self.text.push(token)
                if self.text.ended:
                    return
        finally:
            model.line = self._prompt + written
            model.token_ids = model.line[: model.cache.length]
        self.finish_reason = tokens.finish_reason or "stop"


def _rewind(model: _Model, prompt: list[int]) -> int:
    """Cut the cache back to what it shares with `prompt`, or further; returns how many tokens need no reading.

    The last token is always read again: its logits begin the reply.
    """
    shared = 0
    for known, wanted in zip(model.token_ids, prompt[:-1], strict=False):
        if known != wanted:
            break
        shared += 1
    kept = model.cache.truncate(shared)
    del model.token_ids[kept:]
    return kept


@torch.inference_mode()
def _warm_up(loaded: LoadedModel, text: ChatText, cache: KVCache, check: Check) -> list[int]:
    """Read `WARM_UP` and one token more; returns the ids that the cache then holds."""
    try:
        ids = text.encode(WARM_UP)[: cache.context_length - 1]
    except BadTemplate:  # it will say so when there is a real question
        ids = [0]
    ids.append(ids[-1])
    loaded.decoder(torch.tensor(ids[:-1]), cache, check=check)
    loaded.decoder(torch.tensor(ids[-1:]), cache, check=check)
    return ids


def _checker(stop: StopSignal | None) -> Check:
    def check() -> None:
        if stop is not None and stop.is_set():
            raise Stopped

    return check


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 and count > 0 else 0.0
