"""How far one model's predictions are from another's: what quantization cost, in nats.

For every scored token the two models each give a distribution over the vocabulary. The Kullback-Leibler divergence
KL(reference || model) is the mean over the reference's own choices of how much less likely the model finds them; it is
0 only where both agree entirely. Chunks, context and scored positions are those of `localchat.evaluation.perplexity`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from localchat.engine.kv_cache import KVCache
from localchat.errors import BadLogits
from localchat.evaluation.perplexity import scored_blocks, scored_tokens
from localchat.model.decoder import Check, Forward
from localchat.translation import _

_ROWS = 16  # distributions in float64 at a time: 20 MB each for a vocabulary of 150,000

Comparison = tuple[Tensor, Tensor, Tensor]
"""Logits of the reference and of the model, [T, vocab_size], and the tokens that came, int64 [T]."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """Result of a comparison.

    Attributes:
        tokens: scored.
        mean_kl: KL(reference || model), nats a token; p99_kl: 99 of 100 tokens have less.
        same_top: share of tokens, 0 to 1, for which both find the same one likeliest.
        perplexity: of the model; reference_perplexity: of the reference.
    """

    tokens: int
    mean_kl: float
    p99_kl: float
    same_top: float
    perplexity: float
    reference_perplexity: float


@torch.inference_mode()
def measure_divergence(
    reference: Forward,
    model: Forward,
    chunks: Sequence[Sequence[int]],
    *,
    reference_cache: Callable[[], KVCache],
    model_cache: Callable[[], KVCache],
    on_progress: Callable[[float], None] = lambda _: None,
    check: Check | None = None,
) -> Divergence:
    """Compare two models of one vocabulary on `chunks`, which `perplexity.text_chunks` makes.

    Args:
        reference_cache: makes an empty cache for the reference that holds a chunk; `model_cache` one for the model.
        on_progress: called with the share that is done, 0 to 1.
        check: called at every layer; what it raises passes through.

    Raises:
        BadLogits: a model computed something that is no number.
    """
    caches = reference_cache(), model_cache()

    def comparisons() -> Iterator[Comparison]:
        for chunk in chunks:
            ids = torch.tensor(chunk)
            for cache in caches:
                cache.truncate(0)
            blocks = (
                scored_blocks(decoder, cache, ids, check=check)
                for decoder, cache in zip((reference, model), caches, strict=True)
            )
            for (wanted, targets), (found, _targets) in zip(*blocks, strict=True):
                yield wanted, found, targets

    return compare_logits(comparisons(), sum(map(scored_tokens, chunks)), on_progress)


def compare_logits(
    comparisons: Iterable[Comparison], total: int, on_progress: Callable[[float], None] = lambda _: None
) -> Divergence:
    """The divergence over all of `comparisons`, which score `total` tokens. Everything is computed in float64.

    Raises:
        BadLogits: something is no number.
    """
    divergences: list[Tensor] = []
    same, losses, reference_losses = 0, 0.0, 0.0
    scored = 0
    for comparison in comparisons:
        for wanted, found, targets in zip(*(torch.split(part, _ROWS) for part in comparison), strict=True):
            wanted, found = (logits.double().log_softmax(-1) for logits in (wanted, found))
            same += int((wanted.argmax(-1) == found.argmax(-1)).sum())
            reference_losses += float(F.nll_loss(wanted, targets, reduction="sum"))
            losses += float(F.nll_loss(found, targets, reduction="sum"))
            divergences.append(F.kl_div(found, wanted, reduction="none", log_target=True).sum(-1))
            scored += len(targets)
        on_progress(scored / total)
    kl = torch.cat(divergences)
    if not math.isfinite(losses + reference_losses) or not bool(kl.isfinite().all()):
        raise BadLogits(
            _("A model computed something that is no number."), _("Its weights may be damaged: get it again.")
        )
    return Divergence(
        tokens=scored,
        mean_kl=float(kl.mean()),
        p99_kl=float(kl.quantile(0.99)),
        same_top=same / scored,
        perplexity=math.exp(losses / scored),
        reference_perplexity=math.exp(reference_losses / scored),
    )
