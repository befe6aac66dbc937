"""Making a recorded reply again: the same prompt, sampling and seed, and every token beside the recorded one."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from torch import Tensor

from localchat.engine.circumstances import circumstances
from localchat.engine.open_model import OpenModel
from localchat.engine.probabilities import Softmax, told
from localchat.engine.reply import Reply
from localchat.engine.sampling import Sampler, TokenMask
from localchat.errors import InvalidSetting
from localchat.events import PromptProgress
from localchat.messages import ReplyOptions, sampling_options
from localchat.model.decoder import Check
from localchat.recording import Recording, Replayed, TokenProbability
from localchat.text.tokenizer import Tokenizer
from localchat.translation import _

_BEFORE, _AFTER = 24, 16
"""Tokens that are shown around the place where two replies part."""


def replay(model: OpenModel, recording: Recording, check: Check) -> Iterator[PromptProgress | Replayed]:
    """See `localchat.engine.facade.Engine.replay`."""
    refuse_what_does_not_fit(model, recording)
    before: list[int] = []  # tokens of the parts that were the same
    for part in recording.parts:
        sampler = sampler_of(model, part, mask=model.masks.again(part))
        following = _Following(sampler, list(part.reply), model.text.tokenizer)
        written = yield from _write_again(model, part, following, check)
        if following.place is not None:
            yield _difference(model, before, part, following, written)
            return
        before += part.reply
    yield Replayed(len(before), False, circumstances(model))


def _write_again(
    model: OpenModel, part: Recording, following: _Following, check: Check
) -> Generator[PromptProgress, None, list[int]]:
    prompt = list(part.prompt)
    reply = Reply(model, ReplyOptions(), following, prompt)
    cached = model.rewind(prompt)
    read = len(prompt) - cached
    total = read + len(part.reply)
    for done in reply.read_prompt(cached, check):
        yield PromptProgress(done, total)
    if part.reply or part.ended:
        for _parts in reply.write(check):
            yield PromptProgress(min(read + reply.tokens, total), total)
            if following.is_over(part.ended):
                break
    return reply.written


def _difference(
    model: OpenModel, before: list[int], part: Recording, following: _Following, written: list[int]
) -> Replayed:
    place = following.place
    assert place is not None
    return Replayed(
        tokens=len(before) + place,
        differs=True,
        circumstances=circumstances(model),
        same=model.text.spell([*before, *part.reply[:place]][-_BEFORE:]),
        then=model.text.spell(part.reply[place : place + _AFTER]),
        now=model.text.spell(written[place : place + _AFTER]),
        chosen_then=following.then,
        chosen_now=following.now,
    )


def sampler_of(
    model: OpenModel, part: Recording, prompt: Sequence[int] | None = None, mask: TokenMask | None = None
) -> Sampler:
    """Who chose the tokens of one part of a recorded reply, before the first of them.

    Args:
        prompt: that it shall take for the one it was given, instead of the part's own.
        mask: what the part was held to.
    """
    return model.sampler(sampling_options(part.sampling), part.prompt if prompt is None else prompt, mask=mask)


class _Following:
    """A sampler that notices the first token that is not the recorded one.

    Attributes:
        chosen: its tokens, one that ended the reply included.
        place: of that token; None while all were the same.
        then, now: that token and the recorded one, with what is likely at that place now.
    """

    def __init__(self, sampler: Sampler, recorded: Sequence[int], tokenizer: Tokenizer) -> None:
        self.chosen: list[int] = []
        self.place: int | None = None
        self.then: TokenProbability | None = None
        self.now: TokenProbability | None = None
        self._sampler, self._recorded, self._tokenizer = sampler, recorded, tokenizer

    def sample(self, logits: Tensor) -> int:
        token, place = self._sampler.sample(logits), len(self.chosen)
        self.chosen.append(token)
        wanted = self._recorded[place] if place < len(self._recorded) else None
        same = token in self._tokenizer.stop_ids if wanted is None else token == wanted
        if self.place is None and not same:
            self.place = place
            both = [token, *self._recorded[place : place + 1]]
            self.now, *recorded = told(both, self._sampler, logits, Softmax(logits), self._tokenizer)
            self.then = recorded[0] if recorded else None
        return token

    def accept(self, token: int) -> None:
        self._sampler.accept(token)

    def is_over(self, ended: bool) -> bool:
        """Whether everything is known that there is to show; `ended`: the recorded reply did so by a token."""
        if self.place is not None:
            return len(self.chosen) >= self.place + _AFTER
        return not ended and len(self.chosen) >= len(self._recorded)


def refuse_what_does_not_fit(model: OpenModel, recording: Recording) -> None:
    """
    Raises:
        InvalidSetting: a part of the reply has tokens that this model does not know, or that its context cannot hold.
    """
    longest = max(len(part.line) for part in recording.parts)
    if max((token for part in recording.parts for token in part.line), default=0) >= model.loaded.spec.vocab_size:
        raise InvalidSetting(
            _("The model {name} has another vocabulary than the one that wrote this reply.").format(
                name=model.info.name
            ),
            _("Name that model with -m."),
        )
    if longest > model.info.context_length:
        raise InvalidSetting(
            _("The reply and its prompt have {count} tokens, and the context has room for {context_length}.").format(
                count=longest, context_length=model.info.context_length
            ),
            _("Raise context_length in the settings."),
        )
