"""KL divergence between two models, on distributions small enough to work out by hand and on real ones."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from localchat.engine.caches import cache_for
from localchat.engine.kv_cache import KVCache
from localchat.errors import BadLogits, InvalidSetting, Stopped
from localchat.evaluation.divergence import Divergence, measure_divergence
from localchat.evaluation.perplexity import begin_id, measure_perplexity, scored_tokens, text_chunks
from localchat.model.decoder import Check, Forward
from localchat.model.load import load_model
from localchat.model.spec import ModelSpec
from localchat.text.chat_text import load_chat_text

VOCABULARY = 11
SPEC = ModelSpec("llama", VOCABULARY, 32, 32, 1, 1, 1, 32, 1e-5, 10_000.0, 512)


class Table:
    """A model that knows only the last token: its logits are a row of a table."""

    spec = SPEC

    def __init__(self, table: Tensor) -> None:
        self.table = table
        self.starts: list[int] = []

    def __call__(
        self, tokens: Tensor, cache: KVCache, *, check: Check | None = None, all_logits: bool = False
    ) -> Tensor:
        if check is not None:
            check()
        self.starts.append(cache.length)
        cache.advance(len(tokens))
        return self.table[tokens] if all_logits else self.table[tokens[-1]]


def _table(seed: int, spread: float = 2.0) -> Tensor:
    return torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * spread


def _compare(reference: Forward, model: Forward, chunks: list[list[int]], **options: object) -> Divergence:
    def empty() -> KVCache:
        return KVCache(SPEC, len(chunks[0]))

    return measure_divergence(reference, model, chunks, reference_cache=empty, model_cache=empty, **options)  # type: ignore[arg-type]


def _chunks(count: int, length: int) -> list[list[int]]:
    ids = torch.randint(0, VOCABULARY, (count * length,), generator=torch.Generator().manual_seed(7)).tolist()
    return text_chunks(ids, length)


def test_a_model_does_not_diverge_from_itself() -> None:
    result = _compare(Table(_table(0)), Table(_table(0)), _chunks(3, 40))
    assert result.mean_kl == pytest.approx(0, abs=1e-12)
    assert result.p99_kl == pytest.approx(0, abs=1e-12)
    assert result.same_top == 1.0
    assert result.perplexity == result.reference_perplexity


def test_the_figures_are_those_of_the_second_half_of_every_chunk() -> None:
    p, q = _table(0), _table(1)
    chunks = _chunks(4, 30)
    result = _compare(Table(p), Table(q), chunks)
    log_p, log_q = p.double().log_softmax(-1), q.double().log_softmax(-1)
    kl, p_losses, q_losses, same = [], [], [], []
    for chunk in chunks:
        for position in range(15, 29):
            now, after = chunk[position], chunk[position + 1]
            kl.append(sum(math.exp(a) * (a - b) for a, b in zip(log_p[now].tolist(), log_q[now].tolist(), strict=True)))
            p_losses.append(-log_p[now][after].item())
            q_losses.append(-log_q[now][after].item())
            same.append(int(p[now].argmax()) == int(q[now].argmax()))
    assert result.tokens == len(kl) == sum(map(scored_tokens, chunks)) == 4 * 14
    assert result.mean_kl == pytest.approx(sum(kl) / len(kl), rel=1e-9)
    assert result.p99_kl == pytest.approx(torch.tensor(kl).quantile(0.99).item(), rel=1e-5)
    assert result.same_top == sum(same) / len(same)
    assert result.reference_perplexity == pytest.approx(math.exp(sum(p_losses) / len(kl)), rel=1e-9)
    assert result.perplexity == pytest.approx(math.exp(sum(q_losses) / len(kl)), rel=1e-9)


def test_divergence_is_from_the_reference_to_the_model_and_not_back() -> None:
    # The reference is sure; the model hedges: ln 2 from the one to the other, far more the other way round.
    sure = torch.full((VOCABULARY, VOCABULARY), -40.0)
    sure[:, 3] = 0.0
    hedging = sure.clone()
    hedging[:, 4] = 0.0
    assert _compare(Table(sure), Table(hedging), _chunks(1, 20)).mean_kl == pytest.approx(math.log(2), rel=1e-6)
    assert _compare(Table(hedging), Table(sure), _chunks(1, 20)).mean_kl > 10


def test_every_chunk_is_read_from_an_empty_cache_whatever_its_length() -> None:
    model = Table(_table(1))
    result = _compare(Table(_table(0)), model, _chunks(3, 301))
    assert model.starts == [0, 150, 278] * 3
    assert result.tokens == 3 * 150


def test_progress_ends_at_one_and_a_stop_passes_through() -> None:
    seen: list[float] = []
    _compare(Table(_table(0)), Table(_table(1)), _chunks(3, 40), on_progress=seen.append)
    assert seen == pytest.approx([1 / 3, 2 / 3, 1.0])

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        _compare(Table(_table(0)), Table(_table(1)), _chunks(3, 40), check=stop)


def test_logits_that_are_no_numbers_are_refused() -> None:
    broken = _table(1)
    broken[5, 2] = float("nan")
    with pytest.raises(BadLogits):
        _compare(Table(_table(0)), Table(broken), _chunks(3, 40))


def test_chunks_begin_with_the_token_that_the_tokenizer_adds() -> None:
    assert text_chunks(list(range(10)), 4, bos_id=99) == [[99, 1, 2, 3], [99, 5, 6, 7]]
    assert text_chunks(list(range(10)), 4, count=1) == [[0, 1, 2, 3]]
    with pytest.raises(InvalidSetting, match="fewer than one chunk"):
        text_chunks([1, 2, 3], 4)


def test_perplexity_beside_the_divergence_is_the_one_that_is_measured_alone(
    smollm2_folder: Path, shared_dir: Path
) -> None:
    model, tokenizer = load_model(smollm2_folder), load_chat_text(smollm2_folder).tokenizer
    text = (shared_dir / "data/wikitext-2-test.txt").read_text("utf-8")[:3000]
    ids = tokenizer.encode(text)
    result = measure_divergence(
        model.decoder,
        model.decoder,
        text_chunks(ids, 128, 2, begin_id(tokenizer)),
        reference_cache=lambda: cache_for(model, 128),
        model_cache=lambda: cache_for(model, 128),
    )
    alone = measure_perplexity(model, ids, context=128, chunks=2, bos_id=begin_id(tokenizer))
    assert result.perplexity == pytest.approx(alone.perplexity, rel=1e-4)
    assert result.tokens == alone.tokens_scored == 2 * 63
    assert result.mean_kl == pytest.approx(0, abs=1e-9)
