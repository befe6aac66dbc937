"""The passport of an installed model: what its quantization cost, and what it takes to run, measured on this machine.

Two short texts, Chinese and English, are read by the source in float32 and by the model, and their distributions over
the next token are compared. Speed and memory are those of `localchat bench` in a process of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from localchat.engine.caches import cache_for
from localchat.errors import InvalidSetting
from localchat.evaluation.divergence import Comparison, compare_logits
from localchat.evaluation.perplexity import begin_id, scored_blocks, scored_tokens, text_chunks
from localchat.evaluation.reference import Reference
from localchat.evaluation.speed import bench_apart
from localchat.model.decoder import Check
from localchat.model.device import configure_threads
from localchat.model.load import LoadedModel, load_model
from localchat.model.sources import WeightSource, open_source
from localchat.paths import assets_dir
from localchat.text.chat_text import load_chat_text
from localchat.text.tokenizer import Tokenizer
from localchat.translation import _

LANGUAGES = ("en", "zh")
"""Of `assets/passport`: a text each."""

CONTEXT = 512
"""Tokens of a chunk, the second half of which is scored."""

CHUNKS = 8
"""Of each text, at most; a tokenizer that splits a language finely makes more of it."""

_BENCH_FIELDS = (
    "device",
    "kernel",
    "threads",
    "prompt_tokens",
    "prefill_tokens_per_second",
    "generated_tokens",
    "decode_tokens_per_second",
    "load_s",
    "peak_rss_bytes",
)

OnProgress = Callable[[str, float], None]
"""Called with what is being done, and the share of it that is done, 0 to 1."""


def measure_passport(
    source: Path,
    folder: Path,
    *,
    on_progress: OnProgress = lambda _stage, _fraction: None,
    check: Check = lambda: None,
    chunks: int = CHUNKS,
) -> dict[str, Any]:
    """Measure the model in `folder` against the weights that it was made of, in a GGUF file or a checkpoint folder.

    The source goes through memory layer by layer, in float32. Needed at most: the model itself, its vocabulary matrices
    in float32, one layer in float32, and 4 bytes of hidden state for each of `hidden_size` and of up to 8192 tokens.
    That was 2.9 GB for a model of 0.5 billion parameters, the mapped source included, and is some 10 GB for one of 7
    billion in int4.

    Args:
        check: called several times a second; raises to abandon.
        chunks: of each text, at most.

    Returns:
        What quantization.json keeps under "passport".

    Raises:
        InvalidSetting: the two do not have the same vocabulary.
        BadWeights, UnsupportedModel, ModelNotFound: one of them cannot be used.
        NotEnoughMemory: the model does not fit.
    """
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    texts = _divergences(open_source(source), folder, chunks, on_progress, check)
    on_progress(_("Measuring the speed"), 0.0)
    bench = bench_apart(folder, check=check)
    return {
        "measured_at": measured_at,
        "source": source.resolve().name,
        "context": CONTEXT,
        "texts": texts,
        **{field: bench[field] for field in ("bits_per_weight", "file_bytes", *_BENCH_FIELDS)},
    }


def _divergences(
    source: WeightSource, folder: Path, most: int, on_progress: OnProgress, check: Check
) -> dict[str, dict[str, Any]]:
    model = load_model(folder, check=check)
    if source.spec.vocab_size != model.spec.vocab_size:
        raise InvalidSetting(
            _("{name} has a vocabulary of {vocab_size} tokens, and its source one of {source_size}.").format(
                name=model.name, vocab_size=f"{model.spec.vocab_size:,}", source_size=f"{source.spec.vocab_size:,}"
            ),
            _("Name the weights that the model was made of."),
        )
    configure_threads()  # loading left torch a single thread, and the source is read by torch
    tokenizer = load_chat_text(folder).tokenizer
    contents = {language: (assets_dir() / f"passport/{language}.txt").read_bytes() for language in LANGUAGES}
    read = {language: _chunks(tokenizer, content.decode(), most) for language, content in contents.items()}
    every = [chunk for parts in read.values() for chunk in parts]
    reference = Reference(
        source, every, on_progress=lambda fraction: on_progress(_("Reading with the source"), fraction), check=check
    )
    texts: dict[str, dict[str, Any]] = {}
    first = 0
    for language, parts in read.items():
        comparisons = _comparisons(reference, first, model, parts, check)
        result = compare_logits(
            comparisons,
            sum(map(scored_tokens, parts)),
            lambda fraction, language=language: on_progress(
                _("Comparing, {language}").format(language=language), fraction
            ),  # type: ignore[misc]
        )
        texts[language] = {
            "text": f"passport/{language}.txt",
            "sha256": hashlib.sha256(contents[language]).hexdigest(),
            **asdict(result),
        }
        first += len(parts)
    return texts


def _chunks(tokenizer: Tokenizer, text: str, most: int) -> list[list[int]]:
    return text_chunks(tokenizer.encode(text), CONTEXT, most, begin_id(tokenizer))


@torch.inference_mode()
def _comparisons(
    reference: Reference, first: int, model: LoadedModel, chunks: Sequence[Sequence[int]], check: Check
) -> Iterator[Comparison]:
    """Of `chunks`, which the reference knows by the numbers from `first` on."""
    cache = cache_for(model, CONTEXT)
    for number, chunk in enumerate(chunks, start=first):
        cache.truncate(0)
        start = len(chunk) - 1 - scored_tokens(chunk)
        for found, targets in scored_blocks(model.decoder, cache, torch.tensor(chunk), check=check):
            yield reference.logits(number, start, start + len(targets)), found, targets
            start += len(targets)
