"""From logits to the next token.

The order of the stages, which is part of what an option means:

    mask -> repetition penalty -> frequency and presence penalty -> DRY -> temperature
         -> top-k -> top-p -> min-p -> typical-p -> XTC -> draw

Where mirostat is on, it takes the place of everything between temperature and draw. Temperature 0 takes the most likely
token after the penalties (the lowest id among equals), looks at no filter and draws nothing. Top-k, top-p and min-p
always leave the likeliest token; typical-p and XTC are made to leave it out.

Each stage is a pure function of numpy arrays (`sampling_filters`, `sampling_penalties`). The temperature turns logits
into depths: how far each lies below the largest. The filters take depths in ascending order. `Sampler` strings the
stages together and holds what a reply needs: its random numbers and the tokens that were seen.

What takes time here is not arithmetic. Between two tokens the weights of the model push all else out of the caches, and
an operation on twenty numbers takes as long as its code takes to arrive again: 10 to 30 µs in torch, and in numpy 5 to
15 once that is warm itself. Hence few operations, the same ones again where possible, and few passes over the
vocabulary.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from localchat.engine.landmarks import Landmarks
from localchat.engine.mirostat import Mirostat
from localchat.engine.sampling_filters import (
    Floats,
    Ids,
    apply_temperature,
    draw,
    min_p,
    top_choices,
    top_k,
    top_p,
    typical_p,
)
from localchat.engine.sampling_penalties import Penalties
from localchat.errors import BadLogits
from localchat.messages import SamplingOptions
from localchat.translation import _

_BLOCK = 64  # of the vocabulary in `_peaks`
_FEWEST, _SPARE = 16, 4  # looked at where penalties may lower some: at least 16 tokens, or 4 times those wanted
_AT_ONCE = 64  # random numbers
_IMPOSSIBLE = np.float32(-math.inf)
_LOWEST = float(np.finfo(np.float32).min)  # logits below it cannot be chosen


class TokenMask(Protocol):
    """Who says what the next token may be at all."""

    def allowed(self) -> NDArray[np.bool_] | None:
        """For every token [V] whether it may come now; None allows all. May be asked several times for one place."""

    def accept(self, token: int, /) -> None:
        """`token` is now part of the reply."""


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
        prompt: tokens before the reply; the repetition penalty counts them as seen, and DRY looks for repeats there.
        mask: applied to the logits first of all.
        landmarks: where DRY's repetitions break off, and what XTC leaves alone; without it nothing is special.

    Attributes:
        seed: of the random numbers: the options', or a fresh one, so that the reply can be made again.
    """

    def __init__(
        self,
        options: SamplingOptions,
        prompt: Iterable[int] = (),
        *,
        mask: TokenMask | None = None,
        landmarks: Landmarks | None = None,
    ) -> None:
        self.options = options
        self.seed = options.seed if options.seed is not None else secrets.randbits(32)
        self._uniforms = _uniforms(self.seed)
        self._mask = mask
        self._landmarks = landmarks
        breaks: Callable[[int], bool] = _breaks_nothing
        if landmarks is not None:
            breaks = landmarks.breaks if options.dry_breakers else landmarks.controls
        self._penalties = Penalties(options, prompt, breaks) if Penalties.wanted(options) else None
        self._mirostat = Mirostat(options.mirostat_tau, options.mirostat_eta) if options.mirostat_tau else None

    def sample(self, logits: Tensor) -> int:
        """The next token, from logits float32 [V]; call `accept` when it becomes part of the reply.

        Raises:
            BadLogits: no logit is finite, or one is not a number or plus infinity.
        """
        values, k, penalties = self._penalized(logits)
        if self.options.temperature == 0:
            return _greedy(values, penalties)
        ids, depths = self._kept(values, k, penalties)
        if self.options.xtc_probability and next(self._uniforms) < self.options.xtc_probability:
            depths = depths.copy()
            depths[self._excluded(ids, depths)] = math.inf
        return int(ids[draw(depths, next(self._uniforms))])

    def distribution(self, logits: Tensor) -> tuple[Ids, Floats]:
        """The tokens that `sample` may choose, and with what probabilities; draws nothing."""
        values, k, penalties = self._penalized(logits)
        if self.options.temperature == 0:
            return np.array([_greedy(values, penalties)]), np.ones(1)
        ids, depths = self._kept(values, k, penalties)
        weights = np.exp(-depths.astype(np.float64))
        probabilities = weights / weights.sum()
        if self.options.xtc_probability and len(top := self._excluded(ids, depths)):
            weights[top] = 0
            chance = self.options.xtc_probability
            probabilities = (1 - chance) * probabilities + chance * weights / weights.sum()
        return np.asarray(ids), probabilities

    def accept(self, token: int) -> None:
        """`token` is now part of the reply: whoever looks back counts it."""
        if self._penalties is not None:
            self._penalties.accept(token)
        if self._mask is not None:
            self._mask.accept(token)
        if self._mirostat is not None:
            self._mirostat.accept(token)

    def _penalized(self, logits: Tensor) -> tuple[Floats, int, Penalties | None]:
        """The logits, how many of the likeliest stay (0: all), and the penalties that were not applied to them yet."""
        values: Floats = logits.numpy(force=True)
        if self._mask is not None and (allowed := self._mask.allowed()) is not None:
            values = np.where(allowed, values, _IMPOSSIBLE)
        options, penalties = self.options, self._penalties
        k = 1 if options.temperature == 0 else 0 if self._mirostat is not None else options.top_k
        if k >= len(values):
            k = 0
        if penalties is not None:
            penalties.count(len(values))
            if not (k and penalties.only_lower):
                return penalties.apply(values, slice(None)), k, None
        return values, k, penalties

    def _kept(self, logits: Floats, k: int, penalties: Penalties | None) -> tuple[Ids | range, Floats]:
        """The tokens that the filters leave, and their depths."""
        options, total = self.options, None
        ids: Ids | range
        if k:
            ids, kept = likeliest(logits, k, penalties)
            depths = apply_temperature(kept, options.temperature)
        else:
            most_likely(logits)
            ids, depths = range(len(logits)), apply_temperature(logits, options.temperature)
            if self._mirostat is not None:
                steered = self._mirostat.keep(depths)
                return steered, depths[steered]
            if options.top_p < 1 or options.min_p > 0:
                total = float(np.exp(-depths).sum(dtype=np.float64))
                ids = _likely_enough(depths, total, options)
                depths = depths[ids]
        if not isinstance(ids, range):
            order = depths.argsort(kind="stable")  # of equals the lowest id first
            depths = top_k(depths[order], k)
            depths = min_p(top_p(depths, options.top_p, total), options.min_p)
            ids = ids[order[: len(depths)]]
        if options.typical_p < 1:
            typical = typical_p(depths, options.typical_p)
            ids, depths = typical if isinstance(ids, range) else ids[typical], depths[typical]
        return ids, depths

    def _excluded(self, ids: Ids | range, depths: Floats) -> Ids:
        """Indices of what XTC leaves out; none where one of them ends a line or the reply."""
        top = top_choices(depths, self.options.xtc_threshold)
        if self._landmarks is not None and any(self._landmarks.ends(int(ids[index])) for index in top):
            return top[:0]
        return top


def _breaks_nothing(_token: int) -> bool:
    return False


def _uniforms(seed: int) -> Iterator[float]:
    """Random numbers in [0, 1)."""
    generator = np.random.Generator(np.random.PCG64(seed))
    while True:
        yield from generator.random(_AT_ONCE).tolist()


def _check(largest: float) -> None:
    if not math.isfinite(largest):
        raise BadLogits(
            _("The model computed no usable answer."), _("Its weights may be damaged: get the model again.")
        )


def _greedy(logits: Floats, penalties: Penalties | None) -> int:
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


def likeliest(logits: Floats, k: int, penalties: Penalties | None) -> tuple[Ids, Floats]:
    """Ids, ascending, and penalized logits of some tokens among which are the k likeliest and their equals, as far as
    they can be chosen at all.

    The penalties only lower logits here. So when k of the tokens looked at reach `least` in spite of them, no other
    token, as none reaches it without them, can be one of the k likeliest.

    Raises:
        BadLogits: as in `Sampler.sample`.
    """
    wanted = k if penalties is None else max(_FEWEST, _SPARE * k)
    while True:
        peaks = _peaks(logits, wanted)
        _check(peaks[-1])
        least = max(float(peaks[-min(wanted, len(peaks))]), _LOWEST)
        ids = (logits >= least).nonzero()[0]
        kept = logits[ids]
        if penalties is not None:
            kept = penalties.apply(kept, ids)
            if least > _LOWEST and len((kept >= least).nonzero()[0]) < k and wanted < len(logits):
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
