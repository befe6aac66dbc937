"""From logits to the next token.

The order of the stages, which is part of what an option means:

    repetition penalty -> frequency and presence penalty -> temperature -> top-k -> top-p -> min-p -> draw

Temperature 0 takes the most likely token after the penalties (the lowest id among equals) and draws nothing. The
filters always leave the likeliest token.

Each stage is a pure function of numpy arrays. The temperature turns logits into depths: how far each lies below the
largest. The filters take depths in ascending order and return the first so many. `Sampler` strings the stages together
and holds what a reply needs: its random numbers and the tokens that were seen.

What takes time here is not arithmetic. Between two tokens the weights of the model push all else out of the caches, and
an operation on twenty numbers takes as long as its code takes to arrive again: 10 to 30 µs in torch, and in numpy 5 to
15 once that is warm itself. Hence few operations, the same ones again where possible, and few passes over the
vocabulary.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from localchat.errors import BadLogits
from localchat.messages import SamplingOptions
from localchat.translation import _

Floats = NDArray[np.floating[Any]]
Ids = NDArray[np.intp]

_BLOCK = 64  # of the vocabulary in `_peaks`
_COLDEST = 1e-6  # below it, float32 logits cannot differ by less than certainty
_FEWEST, _SPARE = 16, 4  # looked at where penalties may lower some: at least 16 tokens, or 4 times those wanted
_AT_ONCE = 64  # random numbers


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


def apply_temperature(logits: Floats, temperature: float) -> Floats:
    """Depths: how far each logit is below the largest, divided by a temperature above 0."""
    return (float(logits[logits.argmax()]) - logits) / max(temperature, _COLDEST)


def top_k(depths: Floats, k: int) -> Floats:
    """The first k of ascending depths, and what equals the k-th; 0 keeps all."""
    if k == 0 or k >= len(depths):
        return depths
    return depths[: depths.searchsorted(depths[k - 1], side="right")]


def top_p(depths: Floats, p: float, total: float | None = None) -> Floats:
    """The first of ascending depths, until their probability reaches p (Holtzman et al., 2020).

    Args:
        total: the sum of exp(-depth), where `depths` are not all that there are.
    """
    if p >= 1:
        return depths
    sums = _running_sums(depths)
    reached = p * (float(sums[-1]) if total is None else total)
    return depths[: 1 + sums[:-1].searchsorted(reached)]  # a token stays while those before it do not reach p


def min_p(depths: Floats, p: float) -> Floats:
    """Of ascending depths, what is at least p times as likely as depth 0; 0 keeps all."""
    if p == 0:
        return depths
    return depths[: depths.searchsorted(-math.log(p), side="right")]


def draw(depths: Floats, uniform: float) -> int:
    """Index of one of the depths, as likely as exp(-depth) says; `uniform` is a random number in [0, 1)."""
    sums = _running_sums(depths)
    # As `uniform` is at most 1 - 2**-53, the product is below the last sum: there is one above it.
    return int(sums.searchsorted(uniform * float(sums[-1]), side="right"))


def most_likely(logits: Floats) -> int:
    """The token with the largest logit, the lowest id among equals.

    Raises:
        BadLogits: as in `Sampler.sample`.
    """
    token = int(logits.argmax())  # the first that is not a number, if there is one
    _check(logits[token])
    return token


class Sampler:
    """Chooses the tokens of one reply.

    Args:
        options: checked by their own class.
        prompt: tokens before the reply; the repetition penalty counts them as seen.

    Attributes:
        seed: of the random numbers: the options', or a fresh one, so that the reply can be made again.
    """

    def __init__(self, options: SamplingOptions, prompt: Iterable[int] = ()) -> None:
        self.options = options
        self.seed = options.seed if options.seed is not None else secrets.randbits(32)
        self._uniforms = _uniforms(self.seed)
        any_penalty = options.repetition_penalty != 1 or options.frequency_penalty or options.presence_penalty
        self._penalties = _Penalties(options, prompt) if any_penalty else None

    def sample(self, logits: Tensor) -> int:
        """The next token, from logits float32 [V]; call `accept` when it becomes part of the reply.

        Raises:
            BadLogits: no logit is finite, or one is not a number or plus infinity.
        """
        values, k, penalties = self._penalized(logits)
        if self.options.temperature == 0:
            return _greedy(values, penalties)
        ids, depths = self._kept(values, k, penalties)
        return int(ids[draw(depths, next(self._uniforms))])

    def distribution(self, logits: Tensor) -> tuple[Ids, Floats]:
        """The tokens that `sample` may choose, and with what probabilities; draws nothing."""
        values, k, penalties = self._penalized(logits)
        if self.options.temperature == 0:
            return np.array([_greedy(values, penalties)]), np.ones(1)
        ids, depths = self._kept(values, k, penalties)
        weights = np.exp(-depths.astype(np.float64))
        return np.asarray(ids), weights / weights.sum()

    def accept(self, token: int) -> None:
        """`token` is now part of the reply: penalties count it."""
        if self._penalties is not None:
            self._penalties.accept(token)

    def _penalized(self, logits: Tensor) -> tuple[Floats, int, _Penalties | None]:
        """The logits, how many of the likeliest stay (0: all), and the penalties that were not applied to them yet."""
        values: Floats = logits.numpy(force=True)
        options, penalties = self.options, self._penalties
        k = 1 if options.temperature == 0 else options.top_k
        if k >= len(values):
            k = 0
        if penalties is not None:
            penalties.count(len(values))
            if not (k and penalties.only_lower):
                return penalties.apply(values, slice(None)), k, None
        return values, k, penalties

    def _kept(self, logits: Floats, k: int, penalties: _Penalties | None) -> tuple[Ids | range, Floats]:
        """The tokens that the filters leave, and their depths."""
        options, total = self.options, None
        if k:
            ids, kept = likeliest(logits, k, penalties)
            depths = apply_temperature(kept, options.temperature)
        else:
            most_likely(logits)
            depths = apply_temperature(logits, options.temperature)
            if options.top_p == 1 and options.min_p == 0:
                return range(len(logits)), depths
            total = float(np.exp(-depths).sum(dtype=np.float64))
            ids = _likely_enough(depths, total, options)
            depths = depths[ids]
        order = depths.argsort(kind="stable")  # of equals the lowest id first
        depths = top_k(depths[order], k)
        depths = min_p(top_p(depths, options.top_p, total), options.min_p)
        return ids[order[: len(depths)]], depths


class _Penalties:
    """The penalties of a reply, and the tokens that they count."""

    def __init__(self, options: SamplingOptions, prompt: Iterable[int]) -> None:
        self._options = options
        self._seen: NDArray[np.bool_] | None = None  # [V], which `count` is told
        self._counts: Floats = np.zeros(0, np.float32)  # [V], of this reply
        self._prompt, self._new = list(prompt), list[int]()
        self.only_lower = (
            options.repetition_penalty >= 1 and options.frequency_penalty >= 0 and options.presence_penalty >= 0
        )

    def accept(self, token: int) -> None:
        self._new.append(token)

    def count(self, vocab_size: int) -> None:
        """The tokens accepted since the last call."""
        if self._seen is None:
            self._seen, self._counts = np.zeros(vocab_size, np.bool_), np.zeros(vocab_size, np.float32)
            self._seen[self._prompt] = True
        for token in self._new:
            self._seen[token] = True
            self._counts[token] += 1
        self._new.clear()

    def apply(self, logits: Floats, ids: Ids | slice) -> Floats:
        """Penalize the logits of the tokens `ids`."""
        options = self._options
        assert self._seen is not None
        if options.repetition_penalty != 1:
            logits = penalize_repetition(logits, self._seen[ids], options.repetition_penalty)
        if options.frequency_penalty or options.presence_penalty:
            logits = penalize_frequency(logits, self._counts[ids], options.frequency_penalty, options.presence_penalty)
        return logits


def _uniforms(seed: int) -> Iterator[float]:
    """Random numbers in [0, 1)."""
    generator = np.random.Generator(np.random.PCG64(seed))
    while True:
        yield from generator.random(_AT_ONCE).tolist()


def _running_sums(depths: Floats) -> NDArray[np.float64]:
    return np.add.accumulate(np.exp(-depths), dtype=np.float64)


def _check(largest: float) -> None:
    if not math.isfinite(largest):
        raise BadLogits(
            _("The model computed no usable answer."), _("Its weights may be damaged: get the model again.")
        )


def _greedy(logits: Floats, penalties: _Penalties | None) -> int:
    if penalties is None:
        return most_likely(logits)
    ids, kept = likeliest(logits, 1, penalties)
    return int(ids[kept.argmax()])


def _likely_enough(depths: Floats, total: float, options: SamplingOptions) -> Ids:
    """Ids, ascending, of some tokens among which are all that top-p and min-p leave.

    The last token that top-p leaves and all after it are together likelier than 1 - p, and it is the likeliest of them:
    it has more than one part in V of that. Half of it leaves room for rounding.
    """
    least = max(options.min_p, (1 - options.top_p) * total / len(depths)) / 2
    return (depths <= -math.log(least)).nonzero()[0]


def likeliest(logits: Floats, k: int, penalties: _Penalties | None) -> tuple[Ids, Floats]:
    """Ids, ascending, and penalized logits of some tokens among which are the k likeliest and their equals.

    The penalties only lower logits here. So when k of the tokens looked at reach `least` in spite of them, no other
    token, as none reaches it without them, can be one of the k likeliest.

    Raises:
        BadLogits: as in `Sampler.sample`.
    """
    wanted = k if penalties is None else max(_FEWEST, _SPARE * k)
    while True:
        peaks = _peaks(logits, wanted)
        _check(peaks[-1])
        least = peaks[-min(wanted, len(peaks))]
        ids = (logits >= least).nonzero()[0]
        kept = logits[ids]
        if penalties is not None:
            kept = penalties.apply(kept, ids)
            if len((kept >= least).nonzero()[0]) < k and wanted < len(logits):
                wanted *= _SPARE
                continue
        return ids, kept


def _peaks(logits: Floats, k: int) -> Floats:
    """Some of the logits, ascending, the largest among them: at least k, or all.

    They are the largest of each block of the vocabulary, or all logits where that makes few blocks. A block is a column
    of the vocabulary written in rows, as numpy takes the maxima of columns side by side.
    """
    blocks = len(logits) // _BLOCK
    if blocks < max(2 * k, _BLOCK):
        peaks = logits.copy()
    else:
        peaks = np.maximum.reduce(logits[: blocks * _BLOCK].reshape(_BLOCK, blocks))
        rest = logits[blocks * _BLOCK :]
        np.maximum(peaks[: len(rest)], rest, out=peaks[: len(rest)])
    peaks.sort()  # what is not a number last
    return peaks
