"""The stages of sampling that look back: tokens become less likely, or likelier, for having been there before."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from localchat.engine.repeated_sequences import RepeatedSequences
from localchat.engine.sampling_filters import Floats, Ids
from localchat.messages import SamplingOptions


def penalize_repetition(logits: Floats, seen: NDArray[np.bool_], penalty: float) -> Floats:
    """Divide the positive logits [n] of the tokens `seen` [n] by `penalty` and multiply the negative ones.

    Source: Keskar et al., CTRL, 2019, section 4.1; the negative case is what every implementation has added since.
    """
    ids = seen.nonzero()[0]
    chosen = logits[ids]
    which = np.minimum if penalty > 1 else np.maximum  # of the two is what the sign asks for
    result = logits.copy()
    result[ids] = which(chosen / penalty, chosen * penalty)
    return result


def penalize_frequency(logits: Floats, counts: Floats, frequency: float, presence: float) -> Floats:
    """Subtract `frequency` times its count [n] from every logit [n], and `presence` where the count is not 0."""
    return logits - (counts * frequency + np.minimum(counts, 1) * presence)


class Penalties:
    """The penalties of a reply, and the tokens that they count.

    Args:
        breaks: see `RepeatedSequences`.
    """

    def __init__(self, options: SamplingOptions, prompt: Iterable[int], breaks: Callable[[int], bool]) -> None:
        self._options = options
        self._seen: NDArray[np.bool_] | None = None  # [V], which `count` is told
        self._counts: Floats = np.zeros(0, np.float32)  # [V], of this reply
        self._prompt, self._new = list(prompt), list[int]()
        self._sequences: RepeatedSequences | None = None
        if options.dry_multiplier:
            self._sequences = RepeatedSequences(
                options.dry_multiplier, options.dry_base, options.dry_allowed_length, breaks
            )
            self._sequences.read(self._prompt)
        self._dry: Floats = np.zeros(0, np.float32)  # [V], what each token loses now
        self.only_lower = (
            options.repetition_penalty >= 1 and options.frequency_penalty >= 0 and options.presence_penalty >= 0
        )

    @staticmethod
    def wanted(options: SamplingOptions) -> bool:
        """Whether these options ask for any."""
        changed = options.repetition_penalty != 1 or options.frequency_penalty or options.presence_penalty
        return bool(changed or options.dry_multiplier)

    def accept(self, token: int) -> None:
        self._new.append(token)

    def count(self, vocab_size: int) -> None:
        """The tokens accepted since the last call."""
        first = self._seen is None
        if self._seen is None:
            self._seen, self._counts = np.zeros(vocab_size, np.bool_), np.zeros(vocab_size, np.float32)
            self._seen[self._prompt] = True
        for token in self._new:
            self._seen[token] = True
            self._counts[token] += 1
        if self._sequences is not None and (first or self._new):
            self._sequences.read(self._new)
            self._dry = np.zeros(vocab_size, np.float32)
            for token, penalty in self._sequences.penalties().items():
                self._dry[token] = penalty
        self._new.clear()

    def apply(self, logits: Floats, ids: Ids | slice) -> Floats:
        """Penalize the logits of the tokens `ids`."""
        options = self._options
        assert self._seen is not None
        if options.repetition_penalty != 1:
            logits = penalize_repetition(logits, self._seen[ids], options.repetition_penalty)
        if options.frequency_penalty or options.presence_penalty:
            logits = penalize_frequency(logits, self._counts[ids], options.frequency_penalty, options.presence_penalty)
        return logits if self._sequences is None else logits - self._dry[ids]
