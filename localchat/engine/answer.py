"""One answer, from messages to the last event: what the model is given, what it writes, and what that took."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial

from localchat.engine.beginning import begun_tokens, encode_up_to, exact_line
from localchat.engine.circumstances import circumstances, recorded
from localchat.engine.context import Fitted, fit
from localchat.engine.masking import masked
from localchat.engine.open_model import OpenModel
from localchat.engine.probabilities import Watched
from localchat.engine.reply import Reply
from localchat.errors import Stopped
from localchat.events import Event, PromptFitted, PromptProgress, ReplyDone, TextCut, TextDelta
from localchat.messages import Message, ReplyOptions, SamplingOptions, sampling_options
from localchat.model.decoder import Check
from localchat.recording import ReplyRecorded, TokenChosen


@dataclass(slots=True)
class _Clock:
    """Seconds of `time.perf_counter` at which things happened; 0 before."""

    began: float = field(default_factory=time.perf_counter)
    first_token: float = 0.0
    ended: float = 0.0

    def speed(self, tokens: int) -> float:
        """Tokens per second, of so many written so far."""
        return _rate(tokens - 1, (self.ended or time.perf_counter()) - self.first_token)


def answer(model: OpenModel, messages: Sequence[Message], options: ReplyOptions, check: Check) -> Iterator[Event]:
    """See `localchat.engine.facade.Engine.reply`."""
    clock, sampling, fitted = _Clock(), _sampling(model, options), _fitted(model, messages, options)
    prompt, held = fitted.token_ids, masked(options, messages)
    begun = begun_tokens(model.text, prompt, fitted.messages, options)
    mask = model.masks.begin(held, prompt, begun)
    cached, length = model.rewind(prompt, check), model.info.context_length
    yield PromptFitted(len(prompt), cached, fitted.left_out, length, fitted.summarised)

    sampler, alternatives = model.sampler(sampling, prompt, mask=mask), options.probabilities
    watched = Watched(sampler, model.text.tokenizer, alternatives) if alternatives else sampler
    reply = Reply(model, options, watched, prompt)
    try:
        yield from _written(reply, model, options.chat, len(prompt), cached, clock, check)
    except Stopped:
        reply.finish_reason = "stopped"
    clock.ended = time.perf_counter()
    clock.first_token = clock.first_token or clock.ended
    for part in reply.text.rest():
        yield TextDelta(part.text, reply.tokens, clock.speed(reply.tokens), part.thinking)
    model.keep(options.chat)
    around = circumstances(model, wait=reply.finish_reason != "stopped")
    yield ReplyRecorded(asdict(recorded(reply, prompt, begun, sampling, around, held)))
    yield _done(reply, model, fitted, cached, sampling, clock)


def _sampling(model: OpenModel, options: ReplyOptions) -> SamplingOptions:
    """What the user chose, else what the authors recommend; with a seed, so that the reply can be made again."""
    sampling = sampling_options({**model.loaded.sampling, **options.sampling})
    return replace(sampling, seed=secrets.randbits(32)) if sampling.seed is None else sampling


def _fitted(model: OpenModel, messages: Sequence[Message], options: ReplyOptions) -> Fitted:
    length = model.info.context_length
    if options.line:
        return exact_line(options, messages, length)
    begin = partial(encode_up_to, prefill=options.prefill, thinking=options.thinking, think=options.think)
    encode = partial(begin, model.text, options.known or model.line)
    return fit(messages, encode, length, options.max_tokens, options.overflow)


def _written(
    reply: Reply, model: OpenModel, chat: str, prompt_tokens: int, cached: int, clock: _Clock, check: Check
) -> Iterator[Event]:
    """Read the prompt, and write."""
    for part in reply.begun:
        yield TextDelta(part.text, 0, 0.0, part.thinking)
    for done in reply.read_prompt(cached, check):
        yield PromptProgress(done, prompt_tokens - cached)
    model.keep(chat)
    for parts in reply.write(check):
        clock.first_token = clock.first_token or time.perf_counter()
        for each in parts:
            if isinstance(each, (TokenChosen, TextCut)):
                yield each
            else:
                yield TextDelta(each.text, reply.tokens, clock.speed(reply.tokens), each.thinking)


def _done(
    reply: Reply, model: OpenModel, fitted: Fitted, cached: int, sampling: SamplingOptions, clock: _Clock
) -> ReplyDone:
    prompt_tokens, waited = len(fitted.token_ids), clock.first_token - clock.began
    return ReplyDone(
        finish_reason=reply.finish_reason,
        prompt_tokens=prompt_tokens,
        cached_tokens=cached,
        completion_tokens=reply.tokens,
        seed=sampling.seed or 0,
        time_to_first_token_s=waited,
        prefill_tokens_per_second=_rate(prompt_tokens - cached, waited),
        decode_tokens_per_second=clock.speed(reply.tokens + reply.taken_back),
        context_used=model.cache.length,
        context_length=model.info.context_length,
        left_out=fitted.left_out,
        sampling=asdict(sampling),
        thinking_tokens=reply.text.thinking_tokens,
        thinking_seconds=reply.text.thinking_seconds,
        drafted_tokens=reply.guesses.drafted if reply.guesses else 0,
        accepted_tokens=reply.guesses.accepted if reply.guesses else 0,
        summarised=fitted.summarised,
    )


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 and count > 0 else 0.0
