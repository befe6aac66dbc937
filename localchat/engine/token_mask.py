"""Masks over the vocabulary: which tokens may come next. `localchat.engine.sampling.TokenMask` gives them out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
"""True for each token that may come next, [V]."""


def mask_of(ids: Iterable[int], size: int) -> Mask:
    """A mask [size] that allows these tokens alone."""
    mask = np.zeros(size, np.bool_)
    mask[[id for id in ids if id < size]] = True
    return mask
