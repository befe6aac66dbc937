"""Perplexity of a text, as llama.cpp's tool defines it, so that figures compare.

The text is tokenized once and cut into consecutive chunks; what is left over at the end is not used. The first token
of each chunk is replaced by BOS when the tokenizer adds one. Each chunk is read from an empty cache, and the second
half of it is scored: the first half is context.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from localchat.engine.kv_cache import cache_for
from localchat.errors import InvalidSetting
from localchat.model.load import LoadedModel


@dataclass(frozen=True, slots=True)
class Perplexity:
    """Result of a measurement. `nll` is the mean negative log-likelihood of a scored token, in nats."""

    tokens_scored: int
    chunks: int
    nll: float

    @property
    def perplexity(self) -> float:
        return math.exp(self.nll)


@torch.inference_mode()
def measure_perplexity(
    model: LoadedModel,
    token_ids: Sequence[int],
    *,
    context: int = 512,
    chunks: int | None = None,
    bos_id: int | None = None,
    on_chunk: Callable[[Perplexity], None] = lambda _: None,
) -> Perplexity:
    """Score `token_ids`.

    Args:
        context: length of a chunk in tokens.
        chunks: at most so many; None scores the whole text.
        bos_id: token that begins every chunk, for tokenizers that add one.
        on_chunk: called after each chunk with the result so far.

    Raises:
        InvalidSetting: the text is shorter than one chunk, or the context is longer than the model's.
    """
    if not 4 <= context <= model.spec.context_length:
        raise InvalidSetting(
            f"The context is {context} tokens, but must be from 4 to {model.spec.context_length}, the model's own."
        )
    available = len(token_ids) // context
    if not available:
        raise InvalidSetting(f"The text has {len(token_ids)} tokens, fewer than one chunk of {context}.")
    count = min(chunks or available, available)
    first = context // 2
    total, scored = 0.0, 0
    cache = cache_for(model, context)
    result = Perplexity(0, 0, 0.0)
    for chunk in range(count):
        ids = torch.tensor(token_ids[chunk * context : (chunk + 1) * context])
        if bos_id is not None:
            ids[0] = bos_id
        cache.truncate(0)
        logits = model.decoder(ids, cache, all_logits=True)
        losses = F.cross_entropy(logits[first:-1], ids[first + 1 :], reduction="none")
        total += float(losses.double().sum())
        scored += losses.numel()
        result = Perplexity(scored, chunk + 1, total / scored)
        on_chunk(result)
    return result
