"""One reply while it is being written: reading its prompt, then token after token."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from localchat.engine.generate import Chooser, Generation, prefill_steps
from localchat.engine.open_model import OpenModel
from localchat.engine.probabilities import Watched
from localchat.engine.reply_text import ReplyText
from localchat.messages import FinishReason, ReplyOptions
from localchat.model.decoder import Check
from localchat.recording import TokenChosen
from localchat.text.thinking import Part


class Reply:
    """From prompt ids to text that is safe to show.

    Attributes:
        written: its tokens so far.
        chosen: how sure the model was of each, where that was asked for.
        text: what they say.
        ended: the model itself ended it.
    """

    def __init__(self, model: OpenModel, options: ReplyOptions, sampler: Chooser, prompt: list[int]) -> None:
        self.written: list[int] = []
        self.chosen: list[TokenChosen] = []
        self.finish_reason: FinishReason = "stop"
        self._model = model
        self._prompt = prompt
        self._max_tokens = options.max_tokens
        self._sampler = sampler
        self.ended = False
        opened = not options.prefill and (bool(options.thinking) or model.text.thinks_after(prompt))
        self.text = ReplyText(model.text, options.stop, opened=opened, goes_on=bool(options.prefill))
        self._logits: torch.Tensor | None = None

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

    def write(self, check: Check) -> Iterator[list[TokenChosen | Part]]:
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
        try:
            for token in tokens:
                self.written.append(token)
                yield [*self._explained(), *self.text.push(token)]
                if self.text.ended:
                    return
        finally:
            model.line = self._prompt + self.written
            model.token_ids = model.line[: model.cache.length]
        self.finish_reason = tokens.finish_reason or "stop"
        self.ended = self.finish_reason == "stop"

    def _explained(self) -> list[TokenChosen]:
        """How sure the model was of the latest token, where that was asked for."""
        if not isinstance(self._sampler, Watched) or self._sampler.latest is None:
            return []
        self.chosen.append(self._sampler.latest)
        return [self._sampler.latest]
