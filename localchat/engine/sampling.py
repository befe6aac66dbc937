"""From logits to the next token.

The order of the stages, which is part of what an option means:

    repetition penalty -> frequency and presence penalty -> temperature -> top-k -> top-p -> min-p -> draw

Each stage is a pure function of logits, float32 [V], and returns new ones in which minus infinity is a token that is
out. Temperature 0 takes the most likely token after the penalties (the lowest id among equals) and draws nothing.
The filters always leave the likeliest token. `Sampler` strings the stages together and holds what a reply needs: its
random numbers and the tokens that were seen.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from localchat.errors import BadLogits
from localchat.messages import SamplingOptions

_BLOCK = 64  # of the vocabulary in `_kth_largest`
_COLDEST = 1e-6  # below it, float32 logits cannot differ by less than certainty
_LIKELY = 1024  # sorted first in `top_p`; a whole vocabulary takes 10 ms to sort


def penalize_repetition(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Divide the positive logits of the tokens `seen` (int64, unique) by `penalty` and multiply the negative ones.

    Source: Keskar et al., CTRL, 2019, section 4.1; the negative case is what every implementation has added since.
    """
    chosen = logits[seen]
    return logits.index_copy(0, seen, torch.where(chosen > 0, chosen / penalty, chosen * penalty))


def penalize_frequency(logits: Tensor, seen: Tensor, counts: Tensor, frequency: float, presence: float) -> Tensor:
    """Subtract `frequency` times its count, and `presence` once, from every token `seen` (int64, unique)."""
    return logits.index_add(0, seen, counts.to(logits.dtype) * frequency + presence, alpha=-1)


def apply_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Divide by a temperature above 0, after moving the largest logit to 0 so that nothing overflows."""
    return (logits - logits.max()) / max(temperature, _COLDEST)


def top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the k largest, and whatever equals the smallest of them; 0 keeps all."""
    if k == 0 or k >= logits.numel():
        return logits
    return logits.masked_fill(logits < _kth_largest(logits, k), -torch.inf)


def top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the smallest set whose probability reaches p (Holtzman et al., 2020); lower ids win between equals."""
    if p >= 1:
        return logits
    normalizer = logits.double().logsumexp(0)
    count = min(_LIKELY, logits.numel())
    while True:
        ordered, ids = _largest(logits, count)
        before = (ordered.double() - normalizer).exp().cumsum(0)
        kept = 1 + int((before[:-1] < p).sum())  # a token stays while those before it do not reach p
        if kept < count or count == logits.numel():
            break
        count = logits.numel()
    result = torch.full_like(logits, -torch.inf)
    result[ids[:kept]] = ordered[:kept]
    return result


def min_p(logits: Tensor, p: float) -> Tensor:
    """Keep what is at least p times as likely as the likeliest; 0 keeps all."""
    if p == 0:
        return logits
    return logits.masked_fill(logits < logits.max() + math.log(p), -torch.inf)


def draw(logits: Tensor, generator: torch.Generator) -> int:
    """One token, as likely as the softmax of the logits says; takes one random number from the generator."""
    cumulative = (logits - logits.max()).double().exp().cumsum(0)
    point = torch.rand((), generator=generator, dtype=torch.float64) * cumulative[-1]
    return int(torch.searchsorted(cumulative, point, right=True).clamp_(max=int(_last_possible(logits))))


def most_likely(logits: Tensor) -> int:
    """The token with the largest logit, the lowest id among equals."""
    return int(logits.numpy(force=True).argmax())  # numpy promises the first of equals; torch promises none


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
        self._generator = torch.Generator().manual_seed(self.seed)
        self._prompt = frozenset(prompt)
        self._written: dict[int, int] = {}  # token -> times in this reply

    def sample(self, logits: Tensor) -> int:
        """The next token, from logits float32 [V]; call `accept` when it becomes part of the reply.

        Raises:
            BadLogits: no logit is finite, or one is not a number or plus infinity.
        """
        options = self.options
        if not math.isfinite(logits.max()):
            raise BadLogits("The model computed no usable answer.", "Its weights may be damaged: get the model again.")
        logits = self._penalize(logits)
        if options.temperature == 0:
            return most_likely(logits)
        # A temperature keeps the order of logits, so top-k may come first: what it leaves is a handful, and the other
        # stages see only that, as a shorter vector.
        ids = _top_k_ids(logits, options.top_k)
        kept = apply_temperature(logits if ids is None else logits[ids], options.temperature)
        chosen = draw(min_p(top_p(kept, options.top_p), options.min_p), self._generator)
        return chosen if ids is None else int(ids[chosen])

    def accept(self, token: int) -> None:
        """`token` is now part of the reply: penalties count it."""
        self._written[token] = self._written.get(token, 0) + 1

    def _penalize(self, logits: Tensor) -> Tensor:
        options = self.options
        if options.repetition_penalty != 1 and (self._prompt or self._written):
            seen = torch.tensor(sorted(self._prompt | self._written.keys()))
            logits = penalize_repetition(logits, seen, options.repetition_penalty)
        if self._written and (options.frequency_penalty or options.presence_penalty):
            seen, counts = torch.tensor(list(self._written)), torch.tensor(list(self._written.values()))
            logits = penalize_frequency(logits, seen, counts, options.frequency_penalty, options.presence_penalty)
        return logits


def _top_k_ids(logits: Tensor, k: int) -> Tensor | None:
    """Ids, ascending, of what `top_k` keeps; None for all."""
    if k == 0 or k >= logits.numel():
        return None
    ids, values = _candidates(logits, k)
    return ids[(values >= values.topk(k).values[-1]) & (ids < logits.numel())]


def _kth_largest(logits: Tensor, k: int) -> Tensor:
    return _candidates(logits, k)[1].topk(k).values[-1]


def _candidates(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Ids, ascending, and values of some tokens among which are all that reach the k-th largest logit.

    torch.topk over a vocabulary takes 0.7 ms. Here only blocks whose largest logit reaches the k-th largest of the
    blocks' largest are looked into: the k-th largest logit is at least that, so every block that reaches it is in.
    """
    if logits.numel() < 4 * k * _BLOCK:
        return torch.arange(logits.numel()), logits
    padded = F.pad(logits, (0, -logits.numel() % _BLOCK), value=-torch.inf) if logits.numel() % _BLOCK else logits
    blocks = padded.view(-1, _BLOCK)
    largest = blocks.amax(1)
    chosen = (largest >= largest.topk(k).values[-1]).nonzero()[:, 0]
    ids = (chosen[:, None] * _BLOCK + torch.arange(_BLOCK)).view(-1)
    return ids, blocks[chosen].view(-1)


def _largest(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest, descending, and their ids; lower ids first among equals."""
    if count == logits.numel():
        ordered, ids = logits.sort(descending=True, stable=True)
        return ordered, ids
    smallest = logits.topk(count).values[-1]
    ids = (logits >= smallest).nonzero()[:, 0]
    ordered, order = logits[ids].sort(descending=True, stable=True)
    return ordered[:count], ids[order[:count]]


def _last_possible(logits: Tensor) -> Tensor:
    """Id of the last token that is not out: where rounding of the sum would carry a draw beyond the end."""
    return (logits > -torch.inf).nonzero()[-1, 0]
