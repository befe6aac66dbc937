"""DRY, typical-p, XTC and mirostat, each beside a plain implementation of what its authors published."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from localchat.engine.landmarks import Landmarks
from localchat.engine.repeated_sequences import RepeatedSequences
from localchat.engine.sampling import Sampler
from localchat.engine.sampling_filters import top_choices, typical_p
from localchat.messages import SamplingOptions
from localchat.text.tokenizer import Tokenizer

PLAIN: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 1}


def _options(**changes: float) -> SamplingOptions:
    return SamplingOptions(**{**PLAIN, **changes})


def _probable(*probabilities: float) -> Tensor:
    return torch.tensor(probabilities, dtype=torch.float32).log()


def _random(size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 3


def _landmarks(texts: Sequence[bytes], stop: Collection[int] = ()) -> Landmarks:
    tokenizer = SimpleNamespace(token_bytes=texts.__getitem__, control_ids=frozenset(), stop_ids=frozenset(stop))
    return Landmarks(cast(Tokenizer, tokenizer))


# ---- DRY


def reference_penalties(tokens: Sequence[int], breakers: Collection[int], options: SamplingOptions) -> dict[int, float]:
    """For every earlier occurrence of the last token, walk back from both as long as they agree."""
    result: dict[int, float] = {}
    if not tokens or tokens[-1] in breakers:
        return result
    for place in range(len(tokens) - 1):
        length = 0
        while length <= place and tokens[place - length] == tokens[-1 - length] and length < 50:
            if tokens[place - length] in breakers:
                break
            length += 1
        following = tokens[place + 1]
        if length >= options.dry_allowed_length and following not in breakers:
            penalty = options.dry_multiplier * options.dry_base ** (length - options.dry_allowed_length)
            result[following] = max(result.get(following, 0.0), penalty)
    return result


@pytest.mark.parametrize("allowed", [1, 2, 4])
def test_dry_penalties_are_what_walking_back_from_every_place_gives(allowed: int) -> None:
    options = _options(dry_multiplier=0.8, dry_base=1.5, dry_allowed_length=allowed)
    for seed in range(30):
        generator = np.random.default_rng(seed)
        tokens = generator.integers(0, int(generator.integers(2, 7)), 90).tolist() + [1, 2, 3] * int(seed / 2)
        breakers = {0} if seed % 3 else set()
        sequences = RepeatedSequences(0.8, 1.5, allowed, breakers.__contains__)
        sequences.read(tokens[:40])
        for place in range(40, len(tokens)):
            assert sequences.penalties() == pytest.approx(reference_penalties(tokens[:place], breakers, options))
            sequences.read(tokens[place : place + 1])


def test_dry_lowers_what_would_repeat_and_nothing_else() -> None:
    logits = torch.zeros(10)
    sampler = Sampler(_options(dry_multiplier=2.0, dry_base=1.5, temperature=1.0), prompt=[1, 2, 3, 4, 5, 2, 3])
    ids, probabilities = sampler.distribution(logits)
    by_token = dict(zip(ids.tolist(), probabilities.tolist(), strict=True))
    assert by_token[4] == pytest.approx(by_token[0] * math.exp(-2.0))
    assert len({round(by_token[token], 9) for token in range(10) if token != 4}) == 1


def test_dry_ends_a_greedy_loop_that_goes_on_for_ever_without_it() -> None:
    follows = {1: 2, 2: 3, 3: 4, 4: 1}

    def reply(options: SamplingOptions) -> list[int]:
        sampler, tokens = Sampler(options, prompt=[1]), [1]
        for _ in range(60):
            logits = torch.full((50,), -4.0)
            logits[follows.get(tokens[-1], 1)] = 4.0
            logits[10 + len(tokens) % 30] = -1.0
            tokens.append(sampler.sample(logits))
            sampler.accept(tokens[-1])
        return tokens

    assert set(reply(_options(temperature=0.0))) == {1, 2, 3, 4}
    assert len(set(reply(_options(temperature=0.0, dry_multiplier=0.8)))) > 10


def test_a_loop_of_short_lines_is_ended_where_breakers_are_off() -> None:
    def reply(breakers: int) -> set[int]:
        options = _options(temperature=0.0, dry_multiplier=0.8, dry_breakers=breakers)
        sampler, last = Sampler(options, prompt=[1, 0], landmarks=_landmarks([b"\n", *[b"x"] * 40], stop=[40])), 0
        chosen = set()
        for _ in range(60):
            logits = torch.zeros(41)
            logits[1 if last == 0 else 0] = 8.0
            last = sampler.sample(logits)
            sampler.accept(last)
            chosen.add(last)
        return chosen

    assert reply(1) == {0, 1}
    assert len(reply(0)) > 2


def test_no_repetition_reaches_across_a_landmark_and_none_is_held_back() -> None:
    texts = [b"a", b"b", b"c", b"\n", b'x"', "：".encode(), b"<end>", b"d"]
    landmarks = _landmarks(texts, stop=[6])
    assert [landmarks.breaks(token) for token in range(8)] == [False, False, False, True, True, True, True, False]
    for mark in (3, 4, 5, 6):
        sequences = RepeatedSequences(1.0, 2.0, 2, landmarks.breaks)
        sequences.read([0, mark, 1, 2, 7, 0, mark, 1])
        assert sequences.penalties() == {}  # only one token is the same after the mark
        sequences.read([2])
        assert sequences.penalties() == {7: 1.0}
        sequences.read([7, 0])
        assert mark not in sequences.penalties()


# ---- typical-p


def reference_typical(logits: Tensor, mass: float) -> set[int]:
    probabilities = logits.double().softmax(0)
    surprise = -probabilities.log()
    entropy = (probabilities * surprise).sum()
    order = (surprise - entropy).abs().argsort(stable=True)
    kept, reached = set[int](), 0.0
    for token in order.tolist():
        if reached >= mass and kept:
            break
        kept.add(token)
        reached += float(probabilities[token])
    return kept


@pytest.mark.parametrize("mass", [0.0, 0.2, 0.6, 0.95])
def test_typical_p_keeps_what_surprises_as_expected(mass: float) -> None:
    for seed in range(10):
        logits = _random(3000, seed)
        ids, probabilities = Sampler(_options(typical_p=mass)).distribution(logits)
        assert set(ids.tolist()) == reference_typical(logits, mass)
        wanted = logits[torch.from_numpy(ids)].double().softmax(0)
        np.testing.assert_allclose(probabilities, wanted.numpy(), rtol=1e-4)


def test_typical_p_may_leave_out_the_likeliest() -> None:
    depths = -np.log(np.array([0.4] + [0.02] * 30) / 0.4)
    assert 0 not in typical_p(depths, 0.3)
    assert typical_p(depths, 1.0).tolist() == list(range(31))


def test_typical_p_looks_at_what_the_filters_before_it_left() -> None:
    logits = _probable(0.3, 0.25, 0.2, 0.15, 0.1)
    ids, _ = Sampler(_options(top_k=3, typical_p=0.5)).distribution(logits)
    assert set(ids.tolist()) == reference_typical(logits[:3], 0.5)


# ---- XTC


def test_xtc_leaves_out_all_likely_tokens_but_the_last_of_them() -> None:
    depths = -np.log(np.array([0.4, 0.3, 0.2, 0.1]) / 0.4)
    for threshold, excluded in ((0.5, 0), (0.4, 0), (0.25, 1), (0.2, 2), (0.1, 3), (0.0, 3)):
        assert top_choices(depths, threshold - 1e-9).tolist() == list(range(excluded))


def test_xtc_acts_as_often_as_it_is_told() -> None:
    logits = _probable(0.5, 0.3, 0.2)
    sampler = Sampler(_options(xtc_probability=0.25, xtc_threshold=0.25))
    counts = np.bincount([sampler.sample(logits) for _ in range(6000)], minlength=3) / 6000
    expected = 0.75 * np.array([0.5, 0.3, 0.2]) + 0.25 * np.array([0, 0.6, 0.4])
    np.testing.assert_allclose(counts, expected, atol=0.025)
    ids, probabilities = sampler.distribution(logits)
    np.testing.assert_allclose(probabilities[ids.argsort()], expected, rtol=1e-5)


def test_xtc_comes_after_the_other_filters() -> None:
    # Of the two that top-k leaves, both are likely enough; without it the second would not be.
    sampler = Sampler(_options(top_k=2, xtc_probability=1.0, xtc_threshold=0.3))
    assert {sampler.sample(_probable(0.4, 0.25, 0.2, 0.15)) for _ in range(50)} == {1}


@pytest.mark.parametrize("text", [b"\n", b". \n\n"])
def test_xtc_lets_the_end_of_a_line_or_a_reply_stay(text: bytes) -> None:
    logits = _probable(0.5, 0.3, 0.2)
    options = _options(xtc_probability=1.0, xtc_threshold=0.25)
    for landmarks in (_landmarks([text, b"a", b"b"]), _landmarks([b"a", b"b", b"c"], stop=[0])):
        sampler = Sampler(options, landmarks=landmarks)
        assert {sampler.sample(logits) for _ in range(200)} == {0, 1, 2}


def test_xtc_without_landmarks_leaves_the_likeliest_out() -> None:
    sampler = Sampler(_options(xtc_probability=1.0, xtc_threshold=0.25))
    assert {sampler.sample(_probable(0.5, 0.3, 0.2)) for _ in range(200)} == {1, 2}


# ---- mirostat


class ReferenceMirostat:
    """Algorithm 2 of the paper, on the whole vocabulary, sorted, in float64."""

    def __init__(self, tau: float, eta: float) -> None:
        self.limit, self._tau, self._eta = 2 * tau, tau, eta

    def kept(self, logits: Tensor) -> set[int]:
        surprise = -logits.double().softmax(0).log2()
        kept = (surprise <= self.limit).nonzero().flatten().tolist()
        return set(kept) or {int(logits.argmax())}

    def accept(self, logits: Tensor, token: int) -> None:
        surprise = float(-logits.double().softmax(0).log2()[token])
        self.limit -= self._eta * (surprise - self._tau)


def test_mirostat_keeps_what_the_paper_keeps_reply_long() -> None:
    sampler = Sampler(_options(mirostat_tau=4.0, mirostat_eta=0.3, top_k=3, min_p=0.9))
    reference = ReferenceMirostat(4.0, 0.3)
    sizes = set()
    for seed in range(60):
        logits = _random(4000, seed)
        token = sampler.sample(logits)
        kept = reference.kept(logits)
        assert set(sampler.distribution(logits)[0].tolist()) == kept
        assert token in kept
        sizes.add(len(kept))
        sampler.accept(token)
        reference.accept(logits, token)
    assert len(sizes) > 20


@pytest.mark.parametrize("tau", [3.5, 6.0])
def test_mirostat_steers_the_mean_surprise_to_what_is_wished(tau: float) -> None:
    sampler = Sampler(_options(mirostat_tau=tau, mirostat_eta=0.1))
    surprises = []
    for seed in range(600):
        logits = _random(5000, seed % 7)
        token = sampler.sample(logits)
        sampler.accept(token)
        surprises.append(float(-logits.double().softmax(0).log2()[token]))
    assert np.mean(surprises[200:]) == pytest.approx(tau, abs=0.15)


# ---- all of them


CHAINS: tuple[dict[str, float], ...] = (
    {"dry_multiplier": 0.8, "temperature": 0.0},
    {"dry_multiplier": 0.8, "top_k": 40},
    {"typical_p": 0.8, "top_p": 0.9},
    {"xtc_probability": 0.5, "min_p": 0.02},
    {"mirostat_tau": 3.0, "repetition_penalty": 1.2},
    {"dry_multiplier": 1.0, "typical_p": 0.9, "xtc_probability": 0.3, "top_k": 20, "frequency_penalty": 0.2},
)


@pytest.mark.parametrize("chain", CHAINS)
def test_the_same_seed_makes_the_same_reply_whether_it_is_watched_or_not(chain: dict[str, float]) -> None:
    def reply(watched: bool) -> list[int]:
        sampler, tokens = Sampler(_options(**chain), prompt=range(5)), []
        for seed in range(80):
            logits = _random(300, seed % 3)
            tokens.append(sampler.sample(logits))
            if watched:
                ids, probabilities = sampler.distribution(logits)
                assert tokens[-1] in ids[probabilities > 0]
                assert probabilities.sum() == pytest.approx(1)
            sampler.accept(tokens[-1])
        return tokens

    assert reply(watched=True) == reply(watched=False)


class EvenOnly:
    """A mask that lets even tokens through."""

    def __init__(self) -> None:
        self.accepted: list[int] = []

    def allowed(self) -> Any:
        return np.arange(300) % 2 == 0

    def accept(self, token: int) -> None:
        self.accepted.append(token)


@pytest.mark.parametrize("chain", [*CHAINS, {"temperature": 0.0}, {"top_k": 250}, {}, {"top_p": 0.9}])
def test_a_mask_comes_before_all_stages(chain: dict[str, float]) -> None:
    mask = EvenOnly()
    sampler = Sampler(_options(**chain), prompt=range(5), mask=mask)
    for seed in range(40):
        logits = _random(300, seed)
        token = sampler.sample(logits)
        sampler.accept(token)
        plain = sampler.distribution(logits)
        assert set(plain[0][plain[1] > 0] % 2) == {0}
    assert len(mask.accepted) == 40
    assert {token % 2 for token in mask.accepted} == {0}


def test_what_a_mask_leaves_is_drawn_as_if_there_were_nothing_else() -> None:
    def tokens(logits: Iterable[Tensor], sampler: Sampler) -> list[int]:
        return [sampler.sample(each) for each in logits]

    many = [_random(300, seed) for seed in range(40)]
    chosen = tokens(many, Sampler(_options(top_k=20, top_p=0.9), mask=EvenOnly()))
    alone = tokens([each[::2] for each in many], Sampler(_options(top_k=20, top_p=0.9)))
    assert chosen == [2 * token for token in alone]
