"""One reply while it is being written: reading its prompt, then token after token."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from localchat.engine.generate import Chooser, Generation, prefill_steps
from localchat.engine.loop_watch import LoopWatch
from localchat.engine.open_model import OpenModel
from localchat.engine.probabilities import Watched
from localchat.engine.reply_text import ReplyText
from localchat.engine.speculation import Speculation
from localchat.events import TextCut
from localchat.messages import FinishReason, ReplyOptions
from localchat.model.decoder import Check
from localchat.recording import TokenChosen
from localchat.text.thinking import Part


class Reply:
    """From prompt ids to text that is safe to show.

    Attributes:
        written: its tokens so far.
        chosen: how sure the model was of each, where that was asked for.
        begun: what its beginning says, where that was given as tokens.
        times: of its tokens, tenths of a millisecond since the one before.
        text: what they say.
        ended: the model itself ended it.
        guesses: what was guessed of it, where that is done.
        taken_back: how many tokens were, as it went round in circles.
    """

    def __init__(self, model: OpenModel, options: ReplyOptions, sampler: Chooser, prompt: list[int]) -> None:
        self.written: list[int] = []
        self.chosen: list[TokenChosen] = []
        self.times: list[int] = []
        self.finish_reason: FinishReason = "stop"
        self._model = model
        self._prompt = prompt
        self._max_tokens = options.max_tokens
        self._sampler = sampler
        self.ended = False
        begun = prompt[len(prompt) - options.begun :]
        before = prompt[: len(prompt) - options.begun]
        opened = not options.prefill and (bool(options.thinking) or model.text.thinks_after(before))
        self.text = ReplyText(model.text, options.stop, opened=opened, goes_on=bool(options.prefill))
        self.begun: list[Part] = [part for token in begun for part in self.text.push(token)]
        self._is_over = bool(begun) and begun[-1] in model.text.tokenizer.stop_ids
        self._logits: torch.Tensor | None = None
        self._speculates = options.speculate
        self.guesses: Speculation | None = None
        self.taken_back = 0
        self._watch = LoopWatch(model.text.tokenizer.token_bytes) if options.loop_guard else None

    @property
    def tokens(self) -> int:
        return len(self.written)

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

    def write(self, check: Check) -> Iterator[list[TokenChosen | Part | TextCut]]:
        """Decode; yields for every token the text that it completes, often a word, sometimes none."""
        if self._is_over:
            return
        model = self._model
        assert self._logits is not None
        if self._speculates:
            self.guesses = model.speculator.begin(self._prompt, check)
        tokens = Generation(
            model.loaded.decoder,
            model.cache,
            self._logits,
            self._sampler,
            stop_ids=model.text.tokenizer.stop_ids,
            max_tokens=self._max_tokens,
            check=check,
            guesses=self.guesses,
        )
        last = time.perf_counter()
        try:
            for token in tokens:
                self.written.append(token)
                now = time.perf_counter()
                self.times.append(round((now - last) * 10_000))
                last = now
                parts = self.text.push(token)
                yield [*self._explained(), *parts]
                if self.text.ended:
                    return
                if self._watch is not None and (loop := self._watch.push(token, parts)) is not None:
                    kept, cut = loop
                    self._cut_back(kept)
                    yield [cut]
                    return
        finally:
            tokens.close()
            model.line = self._prompt + self.written
            if model.cache.length > len(model.line):
                model.cache.truncate(len(model.line))
            model.token_ids = model.line[: model.cache.length]
        self.finish_reason = tokens.finish_reason or "stop"
        self.ended = self.finish_reason == "stop"

    def _cut_back(self, kept: int) -> None:
        """The reply went round in circles: as many of its tokens stay."""
        self.taken_back = len(self.written) - kept
        del self.written[kept:], self.chosen[kept:], self.times[kept:]
        self.text.ended = True
        self.text.thinking_tokens = min(self.text.thinking_tokens, kept)
        self.finish_reason = "loop"

    def _explained(self) -> list[TokenChosen]:
        """How sure the model was of the latest token, where that was asked for."""
        if not isinstance(self._sampler, Watched) or self._sampler.latest is None:
            return []
        self.chosen.append(self._sampler.latest)
        return [self._sampler.latest]
