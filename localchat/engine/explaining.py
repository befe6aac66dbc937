"""How sure the model was of every token of a recorded reply: it reads prompt and reply once more.

One pass over the tokens gives the logits at every place, as many at once as a prompt has. The sampler of the recording
goes along with them: it draws where it drew, and then goes on with the token that stands there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from localchat.engine.circumstances import circumstances
from localchat.engine.generate import prefill_steps
from localchat.engine.open_model import OpenModel
from localchat.engine.probabilities import explained, token_text
from localchat.engine.replay import refuse_what_does_not_fit, sampler_of
from localchat.errors import InvalidSetting
from localchat.events import PromptProgress
from localchat.model.decoder import Check
from localchat.recording import (
    Recording,
    ReplyExplained,
    TokenChosen,
    TokenExplained,
    TokenProbability,
    changed,
)
from localchat.text.stream_decoder import StreamDecoder
from localchat.text.thinking import ThinkingReader
from localchat.translation import _

_AT_ONCE = 16  # places: their logits are 10 MB for a vocabulary of 150,000, and a stop waits for all of them

Explaining = Iterator[PromptProgress | TokenExplained | ReplyExplained]
_Place = tuple[int, TokenChosen]
"""How many tokens of a part's line stand before a token, and the token."""


def explain(model: OpenModel, recording: Recording, alternatives: int, check: Check) -> Explaining:
    """See `localchat.engine.facade.Engine.explain`."""
    others = changed(recording.circumstances, circumstances(model))
    kept = "weights" in others
    if "tokenizer" in others or (kept and not all(map(_is_kept, recording.parts))):
        raise InvalidSetting(
            _("{name} has other weights now than when it wrote this reply.").format(name=model.info.name),
            _("How sure it was can only be told with those."),
        )
    refuse_what_does_not_fit(model, recording)
    reader = _Reader(model, recording.parts[0])
    for index, part in enumerate(recording.parts):
        for event in _kept(model, part) if kept else _read_again(model, part, alternatives, check):
            if isinstance(event, PromptProgress):
                yield event
            else:
                before, token = event
                yield reader.read(token, part, index, before)
    yield ReplyExplained(kept)


class _Reader:
    """From the tokens of a reply to what they say, and whether that is thinking."""

    def __init__(self, model: OpenModel, first: Recording) -> None:
        text = model.text
        bare = first.prompt[: len(first.prompt) - first.begun]
        self._tokenizer = text.tokenizer
        self._characters = StreamDecoder(text.tokenizer)
        self._thinking = ThinkingReader(text.marks, opened=text.thinks_after(bare)) if text.marks is not None else None

    def read(self, token: TokenChosen, part: Recording, index: int, before: int) -> TokenExplained:
        id = token.chosen.token
        if before >= len(part.line):
            return TokenExplained(token, "", self._thinks(), "end", index, before)
        text = token_text(self._tokenizer, id) if id in self._tokenizer.control_ids else self._characters.push(id)
        thinking = self._thinks()
        if self._thinking is not None:
            self._thinking.push(text)
        origin: Literal["written", "given"] = "written" if before >= len(part.prompt) else "given"
        return TokenExplained(token, text, thinking or self._thinks(), origin, index, before)

    def _thinks(self) -> bool:
        return self._thinking is not None and self._thinking.thinking


def _read_again(
    model: OpenModel, part: Recording, alternatives: int, check: Check
) -> Iterator[PromptProgress | _Place]:
    """Every token of one part, those that were given included, and the one that ended it."""
    tokenizer, line = model.text.tokenizer, part.line
    first = len(part.prompt) - len(part.given)
    sampler = sampler_of(model, part, line[:first])
    last = len(line) if part.ended else len(line) - 1
    for event in _logits(model, line, range(first, last + 1), check):
        if isinstance(event, PromptProgress):
            yield event
            continue
        place, logits = event
        if place == len(part.prompt):
            sampler = sampler_of(model, part, mask=model.masks.again(part))
        if place >= len(part.prompt):
            sampler.sample(logits)  # what it draws, and what it remembers, is then what it was
        token = line[place] if place < len(line) else max(tokenizer.stop_ids, key=lambda id: float(logits[id]))
        yield place, explained(token, sampler, logits, tokenizer, alternatives)
        sampler.accept(token)


def _logits(
    model: OpenModel, line: list[int], places: range, check: Check
) -> Iterator[PromptProgress | tuple[int, Tensor]]:
    """The logits float32 [V] from which the token at each of these places was chosen."""
    decoder, cache = model.loaded.decoder, model.cache
    cached = model.rewind(line[: places.start])
    total = places.stop - 1 - cached
    try:
        rows = torch.empty(0)
        for done, logits in prefill_steps(decoder, cache, line[cached : places.start], check=check):
            yield PromptProgress(done, total)
            rows = logits[None]
        place = places.start
        while place < places.stop:
            for row in rows:
                check()
                yield place, row
                place += 1
            unread = torch.tensor(line[cache.length : min(cache.length + _AT_ONCE, places.stop - 1)])
            if len(unread):
                with torch.inference_mode():
                    rows = decoder(unread, cache, check=check, all_logits=True).cpu()
                yield PromptProgress(cache.length - cached, total)
    finally:
        model.line, model.token_ids = line, line[: cache.length]


def _is_kept(part: Recording) -> bool:
    return len(part.probabilities) == len(part.reply)


def _kept(model: OpenModel, part: Recording) -> Iterator[_Place]:
    """What was kept of every token that the model wrote."""
    tokenizer = model.text.tokenizer

    def told(token: int, probability: float, plain: float) -> TokenProbability:
        return TokenProbability(token, token_text(tokenizer, token), probability, plain)

    for place, (token, kept) in enumerate(zip(part.reply, part.probabilities, strict=True), len(part.prompt)):
        probability, plain, entropy, alternatives = kept
        others = tuple(told(*each) for each in alternatives)
        yield place, TokenChosen(told(token, probability, plain), entropy, others)
