"""Each stage of sampling alone, and all of them in their documented order beside a plain implementation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from localchat.engine import sampling_filters, sampling_penalties
from localchat.engine.sampling import Sampler
from localchat.engine.sampling_filters import Floats, Ids
from localchat.errors import BadLogits
from localchat.messages import SamplingOptions

OUT = -math.inf
PLAIN = SamplingOptions(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=1)


def _logits(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _array(*values: float) -> Floats:
    return np.array(values, np.float32)


def _depths(*probabilities: float) -> Floats:
    return _array(*(-math.log(each / max(probabilities)) for each in probabilities))


def _random(size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 3


def _options(**changes: float | int | None) -> SamplingOptions:
    values = {name: getattr(PLAIN, name) for name in SamplingOptions.__slots__}
    return SamplingOptions(**{**values, **changes})


class Reference:
    """Sampling as the documentation has it: every stage on the whole vocabulary, fully sorted, in float64."""

    def __init__(self, options: SamplingOptions, prompt: Iterable[int] = ()) -> None:
        self._options, self._prompt, self._written = options, set(prompt), Counter[int]()
        self._generator = np.random.Generator(np.random.PCG64(options.seed))

    def kept(self, logits: Tensor) -> tuple[Ids, Floats]:
        """The tokens that stay, the likeliest first, and what their probabilities are proportional to."""
        options, values = self._options, self._penalized(logits)
        ids = np.argsort(-values, kind="stable")
        if options.temperature == 0:
            return ids[:1], np.ones(1)
        weights = np.exp((values[ids] - values[ids[0]]) / options.temperature)
        if 0 < options.top_k < len(ids):
            weights = weights[weights >= weights[options.top_k - 1]]
        if options.top_p < 1:
            before = np.cumsum(weights) - weights
            before[0] = OUT  # always stays
            weights = weights[before < options.top_p * weights.sum()]
        weights = weights[weights >= options.min_p]
        return ids[: len(weights)], weights

    def sample(self, logits: Tensor) -> int:
        ids, weights = self.kept(logits)
        if self._options.temperature == 0:
            return int(ids[0])
        if self._options.min_p == 0 and len(ids) == len(logits):  # where nothing is filtered, nothing is sorted
            order = ids.argsort()
            ids, weights = ids[order], weights[order]
        point = self._generator.random() * weights.sum()
        return int(ids[np.cumsum(weights) > point][0])

    def accept(self, token: int) -> None:
        self._written[token] += 1

    def _penalized(self, logits: Tensor) -> NDArray[np.float64]:
        options, values = self._options, logits.numpy().copy()
        seen = list(self._prompt | self._written.keys())
        chosen, penalty = values[seen], options.repetition_penalty
        values[seen] = np.where(chosen > 0, chosen / penalty, chosen * penalty)
        for token, count in self._written.items():
            values[token] -= count * options.frequency_penalty + options.presence_penalty
        return values.astype(np.float64)


def _replies(options: SamplingOptions, prompt: Sequence[int], logits: Iterable[Tensor]) -> tuple[list[int], list[int]]:
    """The tokens that the sampler chooses and those of the reference, which both accept as they go."""
    sampler, reference = Sampler(options, prompt), Reference(options, prompt)
    chosen, expected = [], []
    for each in logits:
        chosen.append(sampler.sample(each))
        expected.append(reference.sample(each))
        sampler.accept(expected[-1])
        reference.accept(expected[-1])
    return chosen, expected


def test_repetition_penalty_divides_positive_and_multiplies_negative_logits_of_seen_tokens() -> None:
    seen = np.array([True, True, False, True])
    logits = _array(4, -2, 3, 0)
    assert sampling_penalties.penalize_repetition(logits, seen, 2.0).tolist() == [2, -4, 3, 0]
    assert sampling_penalties.penalize_repetition(logits, seen, 0.5).tolist() == [8, -1, 3, 0]


def test_frequency_counts_and_presence_does_not() -> None:
    result = sampling_penalties.penalize_frequency(_array(5, 5, 5), _array(1, 0, 3), 0.5, 1.0)
    assert result.tolist() == [3.5, 5, 2.5]


def test_temperature_divides_differences() -> None:
    assert sampling_filters.apply_temperature(_array(3, 1, 2, OUT), 0.5).tolist() == [0, 4, 2, math.inf]


def test_the_smallest_temperature_leaves_only_the_likeliest() -> None:
    depths = sampling_filters.apply_temperature(_array(50.0, 49.0, -1e30), 5e-324)
    assert np.exp(-depths).tolist() == [1, 0, 0]


def test_top_k_keeps_the_k_likeliest() -> None:
    assert sampling_filters.top_k(_array(0, 1, 2, 3), 2).tolist() == [0, 1]


def test_top_k_keeps_all_that_equal_the_last_kept() -> None:
    assert sampling_filters.top_k(_array(0, 1, 1, 1, 2), 2).tolist() == [0, 1, 1, 1]


def test_top_k_of_0_or_of_more_than_there_are_keeps_all() -> None:
    for k in (0, 7):
        assert sampling_filters.top_k(_array(0, 1), k).tolist() == [0, 1]


def test_top_p_keeps_the_fewest_that_reach_p() -> None:
    depths = _depths(0.5, 0.25, 0.15, 0.1)
    for p, kept in ((0.0, 1), (0.4, 1), (0.6, 2), (0.8, 3), (0.95, 4), (1.0, 4)):
        assert len(sampling_filters.top_p(depths, p)) == kept


def test_top_p_counts_what_is_not_among_the_depths_when_told_of_it() -> None:
    assert len(sampling_filters.top_p(_depths(0.5, 0.25), 0.6)) == 1
    assert len(sampling_filters.top_p(_depths(0.5, 0.25), 0.6, total=2.0)) == 2


def test_min_p_keeps_what_is_likely_enough_beside_the_likeliest() -> None:
    depths = _depths(0.5, 0.26, 0.2, 0.04)
    for p, kept in ((0.0, 4), (0.1, 3), (0.5, 2), (1.0, 1)):
        assert len(sampling_filters.min_p(depths, p)) == kept


def test_a_draw_takes_the_token_in_whose_share_the_random_number_falls() -> None:
    depths = _depths(0.5, 0.25, 0.25)
    for uniform, index in ((0.0, 0), (0.49, 0), (0.51, 1), (0.74, 1), (0.76, 2), (1 - 2**-53, 2)):
        assert sampling_filters.draw(depths, uniform) == index


def test_a_draw_never_takes_what_is_out() -> None:
    depths = _array(math.inf, 0, math.inf, 0, math.inf)
    assert [sampling_filters.draw(depths, uniform) for uniform in (0.0, 0.5, 1 - 2**-53)] == [1, 3, 3]


def test_stages_and_samplers_do_not_change_what_they_are_given() -> None:
    logits, counts = _random(5000), np.zeros(5000, np.float32)
    counts[:2] = 1, 2
    before = logits.clone()
    sampling_penalties.penalize_repetition(logits.numpy(), counts > 0, 1.3)
    sampling_penalties.penalize_frequency(logits.numpy(), counts, 0.5, 0.5)
    sampling_filters.apply_temperature(logits.numpy(), 0.5)
    for changes in ({}, {"top_k": 10}, {"top_k": 2000}, {"top_p": 0.9}, {"temperature": 0.0}):
        Sampler(_options(**changes)).sample(logits)
        for penalty in (0.7, 1.3):
            sampler = Sampler(_options(repetition_penalty=penalty, frequency_penalty=0.5, **changes), prompt=[3])
            sampler.accept(4)
            sampler.sample(logits)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("size", [1, 63, 383, 5000, 50_001])
@pytest.mark.parametrize("k", [1, 2, 40, 300])
def test_top_k_of_a_vocabulary_is_what_a_full_sort_says(size: int, k: int) -> None:
    options = _options(top_k=k, seed=k)
    logits = [_random(size, seed).round(decimals=2) for seed in range(3)]  # so that there are ties
    chosen, expected = _replies(options, [], logits)
    assert chosen == expected


@pytest.mark.parametrize("spread", [0.01, 1.0, 5.0])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.9, 0.999])
def test_top_p_of_a_vocabulary_is_what_a_full_sort_says(p: float, spread: float) -> None:
    logits = [_random(20_000, seed) * spread for seed in range(3)]
    chosen, expected = _replies(_options(top_p=p, seed=3), [], logits)
    assert chosen == expected


PENALTIES: tuple[dict[str, float], ...] = (
    {},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.6},
    {"frequency_penalty": 0.7, "presence_penalty": 0.4},
    {"frequency_penalty": -0.7, "presence_penalty": 0.4},
    {"repetition_penalty": 1.1, "presence_penalty": -1.5},
    {"repetition_penalty": 1.1, "presence_penalty": 1.5},
)
FILTERS: tuple[dict[str, float], ...] = (
    {"temperature": 0.0},
    {"temperature": 1.5},
    {"top_k": 20, "top_p": 0.8, "temperature": 0.7},
    {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "temperature": 2.5},
    {"top_p": 0.9},
    {"top_p": 0.9, "min_p": 0.02, "temperature": 1.6},
    {"min_p": 0.02},
)


@pytest.mark.parametrize("penalties", PENALTIES)
@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("size", [700, 30_011])
def test_a_reply_is_what_the_plain_implementation_says(
    filters: dict[str, float], penalties: dict[str, float], size: int
) -> None:
    # The same logits again and again, so that what was written is what is likely.
    logits = [_random(size, seed % 2) for seed in range(12)]
    chosen, expected = _replies(_options(**filters, **penalties, seed=9), range(0, size, 3), logits)
    assert chosen == expected
    assert len(set(chosen)) > 1


def test_penalties_that_push_down_all_that_was_likely_bring_up_the_rest() -> None:
    logits = _random(30_000)
    likely = logits.topk(2000).indices.tolist()
    for filters in FILTERS[0], FILTERS[2]:
        chosen, expected = _replies(_options(**filters, repetition_penalty=10.0), likely, [logits] * 4)
        assert chosen == expected
        assert not set(chosen) & set(likely)


def test_penalties_that_reward_bring_up_what_was_unlikely() -> None:
    logits = _random(30_000)
    unlikely = logits.topk(3000).indices[-20:].tolist()
    for filters in FILTERS[0], FILTERS[2]:
        chosen, expected = _replies(_options(**filters, repetition_penalty=0.1), unlikely, [logits] * 4)
        assert chosen == expected
        assert set(chosen) <= set(unlikely)


def _chi_square(sampler: Sampler, logits: Tensor, ids: Ids, weights: Floats, draws: int) -> tuple[float, int]:
    """Pearson's statistic of `draws` draws, and its degrees of freedom; every expected count is above 5."""
    counts = np.bincount([sampler.sample(logits) for _ in range(draws)], minlength=len(logits))
    assert counts[ids].sum() == draws
    expected = weights / weights.sum() * draws
    assert expected.min() > 5
    return float(((counts[ids] - expected) ** 2 / expected).sum()), len(ids) - 1


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
    logits, options = _random(12, seed=4) / 3, _options(seed=11)
    statistic, freedom = _chi_square(Sampler(options), logits, *Reference(options).kept(logits), 5000)
    assert freedom == 11
    assert statistic < QUANTILE[freedom]


def test_draws_after_all_stages_are_distributed_as_the_plain_implementation_says() -> None:
    logits = _random(400, seed=5)
    options = _options(temperature=1.7, top_k=12, top_p=0.93, min_p=0.05, repetition_penalty=1.2, seed=12)
    prompt = [int(logits.argmax())]
    kept = Reference(options, prompt).kept(logits)
    statistic, freedom = _chi_square(Sampler(options, prompt), logits, *kept, 5000)
    assert 2 < freedom < 11
    assert statistic < QUANTILE[freedom]


def test_the_order_of_top_p_and_min_p_after_top_k_is_as_documented() -> None:
    # Of all, the first token has 0.4; of the two that top-k leaves it has 0.57, which alone reaches 0.5.
    logits = _logits(0.4, 0.3, 0.15, 0.15).log()
    sampler = Sampler(_options(top_k=2, top_p=0.5))
    assert {sampler.sample(logits) for _ in range(200)} == {0}


def test_top_p_prefers_lower_ids_among_equals() -> None:
    sampler = Sampler(_options(top_p=0.5))
    assert {sampler.sample(torch.zeros(4)) for _ in range(200)} == {0, 1}


@pytest.mark.parametrize("filters", [{"top_k": 1}, {"top_p": 0.0}, {"min_p": 1.0}])
def test_the_narrowest_filters_leave_the_likeliest(filters: dict[str, float]) -> None:
    sampler = Sampler(_options(**filters))
    assert {sampler.sample(_logits(OUT, 1, OUT, 0)) for _ in range(50)} == {1}


def test_greedy_is_exactly_argmax_of_the_penalized_logits() -> None:
    for seed in range(20):
        logits = _random(1000, seed)
        assert Sampler(_options(temperature=0.0, top_k=5)).sample(logits) == int(logits.argmax())
    logits = _logits(4.0, 3.0, 1.0)
    assert Sampler(_options(temperature=0.0, repetition_penalty=2.0), prompt=[0]).sample(logits) == 1


@pytest.mark.parametrize("penalty", [1.0, 0.5, 2.0])
def test_greedy_takes_the_lowest_id_among_equals(penalty: float) -> None:
    sampler = Sampler(_options(temperature=0.0, repetition_penalty=penalty), prompt=[2])
    assert sampler.sample(_logits(1, 7, 3, 7)) == 1


def test_the_same_seed_makes_the_same_reply_and_another_seed_another() -> None:
    logits = [_random(500, seed) for seed in range(200)]

    def reply(seed: int | None) -> tuple[list[int], int]:
        sampler = Sampler(_options(seed=seed))
        return [sampler.sample(each) for each in logits], sampler.seed

    assert reply(5) == reply(5)
    assert reply(5)[0] != reply(6)[0]
    tokens, seed = reply(None)
    assert reply(seed)[0] == tokens


def test_two_replies_without_a_seed_differ() -> None:
    assert Sampler(_options(seed=None)).seed != Sampler(_options(seed=None)).seed


@pytest.mark.parametrize("filters", FILTERS[1:])
def test_a_draw_takes_one_random_number_of_the_seed(filters: dict[str, float]) -> None:
    chosen, expected = _replies(_options(**filters, seed=2**63 - 1), [], [_random(50, seed) for seed in range(200)])
    assert chosen == expected


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


PATHS: tuple[dict[str, float], ...] = (
    {},
    {"temperature": 0.0},
    {"top_k": 2},
    {"top_p": 0.9},
    {"top_k": 2, "repetition_penalty": 1.1},
    {"temperature": 0.0, "repetition_penalty": 1.1},
    {"repetition_penalty": 0.9},
)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("changes", PATHS)
@pytest.mark.parametrize("size", [3, 10_007])
def test_logits_that_are_no_numbers_are_an_error(bad: float, changes: dict[str, float], size: int) -> None:
    for place in (0, 1, size - 1):
        logits = torch.zeros(size)
        logits[place] = bad
        with pytest.raises(BadLogits):
            Sampler(_options(**changes), prompt=[1]).sample(logits)


@pytest.mark.parametrize("changes", PATHS)
@pytest.mark.parametrize("size", [3, 10_007])
def test_logits_that_are_all_out_are_an_error(changes: dict[str, float], size: int) -> None:
    with pytest.raises(BadLogits):
        Sampler(_options(**changes), prompt=[1]).sample(torch.full((size,), OUT))


@pytest.mark.parametrize("changes", [{}, {"top_k": 2}, {"top_k": 40}, {"top_p": 0.999}, {"min_p": 0.001}])
def test_a_token_that_is_out_is_never_drawn(changes: dict[str, float]) -> None:
    logits = torch.full((30_001,), OUT)
    logits[[7, 30_000]] = _logits(0.0, 1.0)
    for penalty in (1.0, 1.1, 0.9):
        sampler = Sampler(_options(**changes, repetition_penalty=penalty), prompt=[5, 7])
        assert {sampler.sample(logits) for _ in range(100)} == {7, 30_000}
