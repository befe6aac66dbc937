"""Mirostat 2.0: instead of fixed filters, a limit on surprise that is steered so that the mean comes out as wished.

Source: Basu et al., Mirostat: a neural text decoding algorithm that directly controls perplexity, 2021, algorithm 2.
"""

from __future__ import annotations

import math

import numpy as np

from localchat.engine.sampling_filters import Floats, Ids


class Mirostat:
    """The limit of one reply. Surprise is -log2 of a token's probability, in bits.

    Args:
        tau: the mean surprise that is wished for.
        eta: how fast the limit follows.
    """

    def __init__(self, tau: float, eta: float) -> None:
        self._tau, self._eta = tau, eta
        self._limit = 2 * tau
        self._depths: Floats = np.zeros(0)
        self._log_total = 0.0

    def keep(self, depths: Floats) -> Ids:
        """Ids of the tokens, of depths [V], that surprise at most as much as the limit; the likeliest always stay."""
        self._depths = depths
        self._log_total = math.log(float(np.exp(-depths).sum(dtype=np.float64)))
        return (depths <= max(0.0, self._limit * math.log(2) - self._log_total)).nonzero()[0]

    def accept(self, token: int) -> None:
        """Of the tokens whose depths came last, this one was taken."""
        surprise = (float(self._depths[token]) + self._log_total) / math.log(2)
        if math.isfinite(surprise):
            self._limit -= self._eta * (surprise - self._tau)
