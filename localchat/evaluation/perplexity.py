"""Perplexity of a text, as llama.cpp's tool defines it, so that figures compare.

The text is tokenized once and cut into consecutive chunks; what is left over at the end is not used. The first token
of each chunk is replaced by BOS when the tokenizer adds one. Each chunk is read from an empty cache, and the second
half of it is scored: the first half is context.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from localchat.engine.caches import cache_for
from localchat.engine.kv_cache import KVCache
from localchat.errors import InvalidSetting
from localchat.model.decoder import Check, Forward
from localchat.model.load import LoadedModel
from localchat.text.tokenizer import Tokenizer
from localchat.translation import _

_BLOCK = 128  # tokens whose logits are held at a time: 80 MB for a vocabulary of 150,000


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
            _("The context is {context} tokens, but must be from 4 to {context_length}, the model's own.").format(
                context=context, context_length=model.spec.context_length
            )
        )
    total, scored = 0.0, 0
    cache = cache_for(model, context)
    result = Perplexity(0, 0, 0.0)
    for number, chunk in enumerate(text_chunks(token_ids, context, chunks, bos_id), start=1):
        cache.truncate(0)
        for logits, targets in scored_blocks(model.decoder, cache, torch.tensor(chunk)):
            losses = F.cross_entropy(logits, targets, reduction="none")
            total += float(losses.double().sum())
        scored += scored_tokens(chunk)
        result = Perplexity(scored, number, total / scored)
        on_chunk(result)
    return result


def text_chunks(
    token_ids: Sequence[int], context: int = 512, count: int | None = None, bos_id: int | None = None
) -> list[list[int]]:
    """The consecutive chunks of `context` tokens, at most `count` of them, each begun by `bos_id` where that is given.

    Raises:
        InvalidSetting: the text is shorter than one chunk.
    """
    available = len(token_ids) // context
    if not available:
        raise InvalidSetting(
            _("The text has {count} tokens, fewer than one chunk of {context}.").format(
                count=len(token_ids), context=context
            )
        )
    chunks = [
        list(token_ids[start * context : (start + 1) * context]) for start in range(min(count or available, available))
    ]
    if bos_id is not None:
        for chunk in chunks:
            chunk[0] = bos_id
    return chunks


def begin_id(tokenizer: Tokenizer) -> int | None:
    """The token that begins every chunk, where the tokenizer adds one."""
    return tokenizer.bos_id if tokenizer.adds_bos else None


def scored_tokens(chunk: Sequence[int]) -> int:
    """How many tokens of a chunk are scored."""
    return len(chunk) - 1 - len(chunk) // 2


def scored_blocks(
    decoder: Forward, cache: KVCache, chunk: Tensor, *, check: Check | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Read a chunk (int64 [T]) into an empty cache.

    Yields:
        A few at a time: logits that score the second half, float32 [n, vocab_size], and the tokens that came, [n].
    """
    first, last = len(chunk) // 2, len(chunk) - 1
    decoder(chunk[:first], cache, check=check)
    for start in range(first, last, _BLOCK):
        stop = min(start + _BLOCK, last)
        yield decoder(chunk[start:stop], cache, check=check, all_logits=True).cpu(), chunk[start + 1 : stop + 1]
