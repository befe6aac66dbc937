"""How sure the model was of a token, and what else it might have said."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from localchat.engine.sampling import Sampler, likeliest
from localchat.engine.sampling_filters import Floats
from localchat.recording import TokenChosen, TokenProbability
from localchat.text.tokenizer import Tokenizer


class Softmax:
    """The probabilities that logits float32 [V] stand for, before penalties, temperature and filters."""

    def __init__(self, logits: Tensor) -> None:
        self._logits: Floats = logits.numpy(force=True)
        self._depths = float(self._logits.max()) - self._logits  # float32, as all of the vocabulary takes time
        self._weights = np.exp(-self._depths)
        self._total = float(self._weights.sum(dtype=np.float64))

    def of(self, token: int) -> float:
        return math.exp(-float(self._depths[token])) / self._total

    def entropy(self) -> float:
        """In bits: 0 is certainty, 1 as unsure as between two equal tokens.

        With depths d and their total Z, -log p is log Z + d, of which this is the mean.
        """
        possible = np.nan_to_num(self._depths, posinf=0.0)
        mean_depth = float((self._weights * possible).sum(dtype=np.float64)) / self._total
        return (math.log(self._total) + mean_depth) / math.log(2)

    def likeliest(self, count: int) -> list[int]:
        """The `count` most probable tokens, of equals the lowest id first."""
        ids, kept = likeliest(self._logits, min(count, len(self._logits)), None)
        return [int(id) for id in ids[np.argsort(-kept, kind="stable")][:count]]


class Watched:
    """A sampler whose choices can be explained.

    Args:
        alternatives: how many tokens to tell the probabilities of.

    Attributes:
        latest: the token that was sampled last, with its probabilities.
    """

    def __init__(self, sampler: Sampler, tokenizer: Tokenizer, alternatives: int) -> None:
        self.latest: TokenChosen | None = None
        self._sampler, self._tokenizer, self._alternatives = sampler, tokenizer, alternatives

    def sample(self, logits: Tensor) -> int:
        token = self._sampler.sample(logits)
        self.latest = explained(token, self._sampler, logits, self._tokenizer, self._alternatives)
        return token

    def accept(self, token: int) -> None:
        self._sampler.accept(token)


def explained(token: int, sampler: Sampler, logits: Tensor, tokenizer: Tokenizer, alternatives: int) -> TokenChosen:
    """How sure the model was of a token, at a place that `sampler` has not gone on from, and what else was likely."""
    softmax = Softmax(logits)
    chosen, *others = told([token, *softmax.likeliest(alternatives)], sampler, logits, softmax, tokenizer)
    return TokenChosen(chosen, softmax.entropy(), tuple(others))


def told(
    tokens: list[int], sampler: Sampler, logits: Tensor, softmax: Softmax, tokenizer: Tokenizer
) -> list[TokenProbability]:
    """How likely each of these tokens is at a place that `sampler` has not gone on from."""
    ids, probabilities = sampler.distribution(logits)
    sampled = [float(probabilities[ids == token].sum()) for token in tokens]
    return [
        TokenProbability(token, token_text(tokenizer, token), probability, softmax.of(token))
        for token, probability in zip(tokens, sampled, strict=True)
    ]


def token_text(tokenizer: Tokenizer, token: int) -> str:
    """What a token stands for; the name of a control token, and `\\xe4` for a byte that is no whole character."""
    if token in tokenizer.control_ids:
        return tokenizer.token_text(token)
    return tokenizer.token_bytes(token).decode("utf-8", "backslashreplace")
