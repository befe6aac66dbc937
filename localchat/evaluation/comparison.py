"""Two models on one text: what `localchat compare` shows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from localchat.engine.caches import cache_for
from localchat.errors import InvalidSetting
from localchat.evaluation.divergence import measure_divergence
from localchat.evaluation.perplexity import begin_id, measure_perplexity, text_chunks
from localchat.evaluation.speed import bench_apart
from localchat.messages import CacheChoice
from localchat.model.device import configure_threads
from localchat.model.load import LoadedModel, load_model
from localchat.text.chat_text import load_chat_text
from localchat.text.tokenizer import Tokenizer
from localchat.translation import _


def compare_models(
    a: Path,
    b: Path,
    text: str,
    *,
    context: int = 512,
    chunks: int | None = None,
    cache: CacheChoice = "auto",
    on_progress: Callable[[str, float], None] = lambda _stage, _fraction: None,
) -> dict[str, Any]:
    """Perplexity, speed and size of both, and KL(a || b) where they read the text as the same tokens.

    Args:
        context, chunks: as of `measure_perplexity`.
        cache: how the second one's keys and values are held: a model compared with itself shows what that costs.

    Returns:
        "context", "models" (two tables) and "divergence" (a table, or None where they cut the text differently).

    Raises:
        InvalidSetting: the text is shorter than one chunk, or the context longer than a model's.
        LocalChatError: a model cannot be loaded.
    """
    benches = []
    for number, (path, kind) in enumerate(((a, "auto"), (b, cache))):
        on_progress(_("Measuring the speed"), number / 2)
        benches.append(bench_apart(path, cache=kind))
    configure_threads()
    one, other = load_model(a), load_model(b, cache=cache)
    tokenizers = load_chat_text(a).tokenizer, load_chat_text(b).tokenizer
    ids, other_ids = (tokenizer.encode(text) for tokenizer in tokenizers)
    divergence = None
    if ids == other_ids and one.spec.vocab_size == other.spec.vocab_size:
        if context > (longest := min(one.spec.context_length, other.spec.context_length)):
            raise InvalidSetting(
                _("The context is {context} tokens, but must be at most {longest}.").format(
                    context=context, longest=longest
                )
            )
        result = measure_divergence(
            one.decoder,
            other.decoder,
            text_chunks(ids, context, chunks, begin_id(tokenizers[0])),
            reference_cache=lambda: cache_for(one, context),
            model_cache=lambda: cache_for(other, context),
            on_progress=lambda fraction: on_progress(_("Comparing"), fraction),
        )
        divergence = {key: value for key, value in asdict(result).items() if "perplexity" not in key}
        perplexities = [result.reference_perplexity, result.perplexity]
    else:
        perplexities = [
            _perplexity(model, tokens, tokenizer, context, chunks, on_progress)
            for model, tokens, tokenizer in zip((one, other), (ids, other_ids), tokenizers, strict=True)
        ]
    models = []
    for bench, perplexity, tokens in zip(benches, perplexities, (ids, other_ids), strict=True):
        bits_per_byte = math.log2(perplexity) * len(tokens) / len(text.encode())
        models.append({**bench, "perplexity": perplexity, "bits_per_byte": bits_per_byte})
    return {"context": context, "models": models, "divergence": divergence}


def _perplexity(
    model: LoadedModel,
    ids: list[int],
    tokenizer: Tokenizer,
    context: int,
    chunks: int | None,
    on_progress: Callable[[str, float], None],
) -> float:
    total = min(chunks or len(ids), max(1, len(ids) // context))
    return measure_perplexity(
        model,
        ids,
        context=context,
        chunks=chunks,
        bos_id=begin_id(tokenizer),
        on_chunk=lambda so_far: on_progress(_("Scoring {name}").format(name=model.name), so_far.chunks / total),
    ).perplexity
