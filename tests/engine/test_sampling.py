"""Each stage of sampling alone, and all of them in their documented order."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from localchat.engine import sampling
from localchat.engine.sampling import Sampler
from localchat.errors import BadLogits
from localchat.messages import SamplingOptions

OUT = -math.inf
PLAIN = SamplingOptions(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=1)


def _logits(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _random(size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 3


def _options(**changes: float | int | None) -> SamplingOptions:
    values = {name: getattr(PLAIN, name) for name in SamplingOptions.__slots__}
    return SamplingOptions(**{**values, **changes})  # type: ignore[arg-type]


def test_repetition_penalty_divides_positive_and_multiplies_negative_logits_of_seen_tokens() -> None:
    result = sampling.penalize_repetition(_logits(4, -2, 3, 0), torch.tensor([0, 1, 3]), 2.0)
    assert result.tolist() == [2, -4, 3, 0]


def test_frequency_counts_and_presence_does_not() -> None:
    result = sampling.penalize_frequency(_logits(5, 5, 5), torch.tensor([2, 0]), torch.tensor([3, 1]), 0.5, 1.0)
    assert result.tolist() == [3.5, 5, 2.5]


def test_temperature_divides_differences() -> None:
    result = sampling.apply_temperature(_logits(3, 1, 2), 0.5)
    assert (result - result[0]).tolist() == [0, -4, -2]


def test_the_smallest_temperature_leaves_only_the_likeliest() -> None:
    result = sampling.apply_temperature(_logits(50.0, 49.0, -1e30), 5e-324).softmax(0)
    assert result.tolist() == [1, 0, 0]


def test_top_k_keeps_the_k_largest() -> None:
    assert sampling.top_k(_logits(1, 4, 2, 3), 2).tolist() == [OUT, 4, OUT, 3]


def test_top_k_keeps_all_that_equal_the_smallest_kept() -> None:
    assert sampling.top_k(_logits(1, 2, 2, 3, 2), 2).tolist() == [OUT, 2, 2, 3, 2]


def test_top_k_of_0_or_of_more_than_there_are_keeps_all() -> None:
    assert sampling.top_k(_logits(1, 2), 0).tolist() == sampling.top_k(_logits(1, 2), 7).tolist() == [1, 2]


@pytest.mark.parametrize("size", [1, 63, 5000, 50_000, 50_001])
@pytest.mark.parametrize("k", [1, 2, 40, 300])
def test_top_k_of_a_vocabulary_is_what_a_full_sort_says(size: int, k: int) -> None:
    logits = _random(size).round(decimals=2)  # so that there are ties
    kth = logits.sort(descending=True).values[min(k, size) - 1]
    expected = torch.where(logits >= kth, logits, OUT)
    assert torch.equal(sampling.top_k(logits, k), expected)


def test_top_p_keeps_the_smallest_set_that_reaches_p() -> None:
    logits = _logits(0.1, 0.5, 0.15, 0.25).log()
    for p, kept in ((0.0, [1]), (0.4, [1]), (0.6, [1, 3]), (0.8, [1, 2, 3]), (0.95, [0, 1, 2, 3]), (1.0, [0, 1, 2, 3])):
        assert sampling.top_p(logits, p).isfinite().nonzero()[:, 0].tolist() == kept


def test_top_p_prefers_lower_ids_among_equals() -> None:
    assert sampling.top_p(torch.zeros(4), 0.5).tolist() == [0, 0, OUT, OUT]


@pytest.mark.parametrize("spread", [0.01, 1.0, 5.0])
@pytest.mark.parametrize("p", [0.1, 0.9, 0.999])
def test_top_p_of_a_vocabulary_is_what_a_full_sort_says(p: float, spread: float) -> None:
    logits = _random(20_000) * spread
    ordered, ids = logits.double().softmax(0).sort(descending=True, stable=True)
    kept = ids[: int((ordered.cumsum(0) < p).sum()) + 1]
    assert set(sampling.top_p(logits, p).isfinite().nonzero()[:, 0].tolist()) == set(kept.tolist())


def test_min_p_keeps_what_is_likely_enough_beside_the_likeliest() -> None:
    logits = _logits(0.5, 0.26, 0.2, 0.04).log()
    for p, kept in ((0.0, [0, 1, 2, 3]), (0.1, [0, 1, 2]), (0.5, [0, 1]), (1.0, [0])):
        assert sampling.min_p(logits, p).isfinite().nonzero()[:, 0].tolist() == kept


def test_stages_do_not_change_what_they_are_given() -> None:
    logits, seen = _random(5000), torch.tensor([1, 2])
    before = logits.clone()
    sampling.penalize_repetition(logits, seen, 1.3)
    sampling.penalize_frequency(logits, seen, torch.tensor([1, 2]), 0.5, 0.5)
    sampling.apply_temperature(logits, 0.5)
    sampling.top_k(logits, 10)
    sampling.top_p(logits, 0.5)
    sampling.min_p(logits, 0.1)
    Sampler(_options(top_k=10, repetition_penalty=1.3), prompt=[3]).sample(logits)
    assert torch.equal(logits, before)


def test_filters_leave_what_was_out_out_and_never_leave_nothing() -> None:
    logits = _logits(OUT, 1, OUT, 0)
    for stage in (
        lambda x: sampling.top_k(x, 3),
        lambda x: sampling.top_p(x, 0.999),
        lambda x: sampling.min_p(x, 1e-9),
    ):
        assert stage(logits).tolist() == [OUT, 1, OUT, 0]
    for stage in (lambda x: sampling.top_k(x, 1), lambda x: sampling.top_p(x, 0.0), lambda x: sampling.min_p(x, 1.0)):
        assert stage(logits).tolist() == [OUT, 1, OUT, OUT]


def _chi_square(sampler: Sampler, logits: Tensor, probabilities: Tensor, draws: int) -> tuple[float, int]:
    """Pearson's statistic of `draws` draws, and its degrees of freedom; every expected count is above 5."""
    counts = torch.zeros(logits.numel())
    for _ in range(draws):
        counts[sampler.sample(logits)] += 1
    possible = probabilities > 0
    assert counts[~possible].sum() == 0
    expected = probabilities[possible] * draws
    assert expected.min() > 5
    return float(((counts[possible] - expected) ** 2 / expected).sum()), int(possible.sum()) - 1


# 99.9 % quantiles of chi square by degrees of freedom
QUANTILE = {
    1: 10.83,
    2: 13.82,
    3: 16.27,
    4: 18.47,
    5: 20.52,
    6: 22.46,
    7: 24.32,
    8: 26.12,
    9: 27.88,
    10: 29.59,
    11: 31.26,
}


def test_draws_are_distributed_as_the_softmax_says() -> None:
    logits = _random(12, seed=4) / 3
    statistic, freedom = _chi_square(Sampler(_options(seed=11)), logits, logits.softmax(0), 5000)
    assert statistic < QUANTILE[freedom]


def test_draws_after_all_stages_are_distributed_as_the_stages_one_by_one_say() -> None:
    logits = _random(400, seed=5)
    options = _options(temperature=1.7, top_k=12, top_p=0.93, min_p=0.05, repetition_penalty=1.2, seed=12)
    top = int(logits.argmax())
    staged = sampling.penalize_repetition(logits, torch.tensor([top]), 1.2)
    staged = sampling.top_k(sampling.apply_temperature(staged, 1.7), 12)
    staged = sampling.min_p(sampling.top_p(staged, 0.93), 0.05)
    statistic, freedom = _chi_square(Sampler(options, prompt=[top]), logits, staged.softmax(0), 5000)
    assert 2 < freedom < 11
    assert statistic < QUANTILE[freedom]


def test_the_order_of_top_p_and_min_p_after_top_k_is_as_documented() -> None:
    # Of all, the first token has 0.4; of the two that top-k leaves it has 0.57, which alone reaches 0.5.
    logits = _logits(0.4, 0.3, 0.15, 0.15).log()
    sampler = Sampler(_options(top_k=2, top_p=0.5))
    assert {sampler.sample(logits) for _ in range(200)} == {0}


def test_greedy_is_exactly_argmax_of_the_penalized_logits() -> None:
    for seed in range(20):
        logits = _random(1000, seed)
        assert Sampler(_options(temperature=0.0, top_k=5)).sample(logits) == int(logits.argmax())
    logits = _logits(4.0, 3.0, 1.0)
    assert Sampler(_options(temperature=0.0, repetition_penalty=2.0), prompt=[0]).sample(logits) == 1


def test_greedy_takes_the_lowest_id_among_equals() -> None:
    assert Sampler(_options(temperature=0.0)).sample(_logits(1, 7, 3, 7)) == 1


def test_the_same_seed_makes_the_same_reply_and_another_seed_another() -> None:
    logits = [_random(500, seed) for seed in range(40)]

    def reply(seed: int | None) -> tuple[list[int], int]:
        sampler = Sampler(_options(seed=seed))
        return [sampler.sample(each) for each in logits], sampler.seed

    assert reply(5) == reply(5)
    assert reply(5)[0] != reply(6)[0]
    tokens, seed = reply(None)
    assert reply(seed)[0] == tokens


def test_two_replies_without_a_seed_differ() -> None:
    assert Sampler(_options(seed=None)).seed != Sampler(_options(seed=None)).seed


def test_penalties_count_accepted_tokens_only_and_the_prompt_only_for_repetition() -> None:
    logits = _logits(4.0, 3.0, 1.0)
    sampler = Sampler(_options(temperature=0.0, frequency_penalty=0.6), prompt=[0, 0, 0])
    assert [sampler.sample(logits) for _ in range(3)] == [0, 0, 0]
    chosen = []
    for _ in range(5):
        chosen.append(sampler.sample(logits))
        sampler.accept(chosen[-1])
    assert chosen == [0, 0, 1, 0, 1]  # 4, 3.4, (2.8 against 3), 2.8 against 2.4, 2.2 against 2.4


def test_a_presence_penalty_is_taken_once() -> None:
    sampler = Sampler(_options(temperature=0.0, presence_penalty=0.6))
    for _ in range(9):
        sampler.accept(0)
    assert sampler.sample(_logits(4.0, 3.0)) == 0
    assert sampler.sample(_logits(3.5, 3.0)) == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_no_numbers_are_an_error(bad: float, temperature: float) -> None:
    with pytest.raises(BadLogits):
        Sampler(_options(temperature=temperature)).sample(_logits(1, bad, 2))


def test_logits_that_are_all_out_are_an_error() -> None:
    with pytest.raises(BadLogits):
        Sampler(PLAIN).sample(_logits(OUT, OUT))


@pytest.mark.parametrize("top_k", [0, 2, 40])
def test_a_token_that_is_out_is_never_drawn(top_k: int) -> None:
    logits = torch.full((30_001,), OUT)
    logits[[7, 30_000]] = _logits(0.0, 1.0)
    sampler = Sampler(_options(top_k=top_k))
    assert {sampler.sample(logits) for _ in range(100)} == {7, 30_000}
