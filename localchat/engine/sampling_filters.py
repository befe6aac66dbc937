"""The stages of sampling that know nothing but numbers: pure functions of depths.

A depth is how far a logit lies below the largest, so that a token is as likely as exp(-depth) says. The filters take
depths in ascending order and say which stay.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ids = NDArray[np.intp]

_BINS, _BINS_A_NAT = 1024, 32  # of distances in `typical_p`
_COLDEST = 1e-6  # below it, float32 logits cannot differ by less than certainty


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


def typical_p(depths: Floats, p: float) -> Ids:
    """Indices, ascending, of the tokens that surprise about as much as the next token is expected to.

    They are taken by how far -log p(token) lies from the entropy, the nearest first, until their probability reaches p;
    of equals the first. The depths may come in any order; the likeliest token need not be among those that stay.

    Source: Meister et al., Locally Typical Sampling, 2023, section 3.
    """
    weights = np.exp(-depths.astype(np.float64))
    probabilities = weights / weights.sum()
    surprises = -np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    distances = np.abs(surprises - float((probabilities * surprises).sum()))
    # To sort a whole vocabulary would take longer than all else: only those of the bin where p is reached are.
    bins = np.minimum(distances * _BINS_A_NAT, _BINS - 1).astype(np.intp)
    sums = np.add.accumulate(np.bincount(bins, probabilities, _BINS))
    wanted = max(p, float(np.finfo(np.float64).tiny))  # at least one stays
    edge = min(int(sums.searchsorted(wanted)), _BINS - 1)
    last = (bins == edge).nonzero()[0]
    last = last[distances[last].argsort(kind="stable")]
    before = sums[edge - 1] if edge else 0.0
    reached = before + np.add.accumulate(probabilities[last]) - probabilities[last]
    return np.sort(np.concatenate([(bins < edge).nonzero()[0], last[reached < wanted]]))


def top_choices(depths: Floats, threshold: float) -> Ids:
    """Indices of the tokens that XTC leaves out: all that have at least the probability `threshold`, but the least
    likely of them, of equals the last. The depths may come in any order.

    Source: P. E. Weidmann, Exclude Top Choices, 2024 (text-generation-webui, pull request 6335).
    """
    weights = np.exp(-depths.astype(np.float64))
    above = (weights >= threshold * weights.sum()).nonzero()[0]
    likeliest_first: Ids = above[depths[above].argsort(kind="stable")]
    return likeliest_first[:-1]


def draw(depths: Floats, uniform: float) -> int:
    """Index of one of the depths, as likely as exp(-depth) says; `uniform` is a random number in [0, 1)."""
    sums = _running_sums(depths)
    # As `uniform` is at most 1 - 2**-53, the product is below the last sum: there is one above it.
    return int(sums.searchsorted(uniform * float(sums[-1]), side="right"))


def _running_sums(depths: Floats) -> NDArray[np.float64]:
    return np.add.accumulate(np.exp(-depths), dtype=np.float64)
