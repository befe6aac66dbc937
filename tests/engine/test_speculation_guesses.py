"""Where guesses come from, and when they are worth reading."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from localchat.engine.facade import Engine
from localchat.engine.generate import Generation, prefill_steps
from localchat.engine.kv_cache import NativeKVCache
from localchat.engine.sampling import Sampler
from localchat.engine.speculation import Speculation
from localchat.engine.speculation_lookup import LONGEST, Lookup
from localchat.engine.speculation_model import DraftModel
from localchat.engine.speculation_policy import MOST, Costs, best_length
from localchat.events import ModelInfo, ReplyDone
from localchat.messages import Message, ReplyOptions, SamplingOptions
from localchat.model.decoder import Decoder
from localchat.model.load import load_model
from localchat.model.plan import Plan
from localchat.recording import Recording, ReplyRecorded
from quant.kernels import native
from tests.model.test_plan import SPEC, random_weights

TEXT = [*range(100, 160)]


def following(*tokens: int, before: list[int] = TEXT) -> Lookup:
    lookup = Lookup([*before, 1, 2, 3])
    for token in tokens:
        lookup.accept(token)
    return lookup


# ---- looking up


def test_nothing_is_guessed_of_a_text_that_does_not_repeat_itself() -> None:
    lookup = Lookup([])
    for token in range(50):
        assert lookup.guess(7) == []
        lookup.accept(token)


def test_two_tokens_that_were_there_are_followed_by_what_came_then() -> None:
    assert following(110).guess(3) == []
    lookup = following(110, 111)
    assert (lookup.matched, lookup.guess(3)) == (2, [112, 113, 114])


def test_the_place_counts_before_which_most_is_the_same_and_of_equals_the_latest() -> None:
    text = [5, 1, 2, 3, 40, 6, 2, 3, 41, 7, 2, 3, 42]
    assert Lookup([*text, 9]).guess(1) == []
    for before, expected in (([9, 2, 3], 42), ([6, 2, 3], 41), ([1, 2, 3], 40), ([5, 1, 2, 3], 40)):
        lookup = Lookup(text)
        for token in before:
            lookup.accept(token)
        assert lookup.next == expected
        assert lookup.guess(1) == [expected]


def test_a_text_that_goes_round_is_guessed_beyond_its_end() -> None:
    lookup = following(4, 5, 6, 4, 5)
    assert lookup.guess(7) == [6, 4, 5, 6, 4, 5, 6]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        pytest.param([7], [117, 118], id="one token for another"),
        pytest.param([7, 8, 9, 117], [118, 119], id="three for one"),
        pytest.param([119], [120, 121], id="three left out"),
        pytest.param([7, 8, 116], [117, 118], id="two put in"),
    ],
)
def test_after_a_small_change_the_text_is_found_again(changed: list[int], expected: list[int]) -> None:
    lookup = following(*range(110, 116))
    assert lookup.next == 116
    for token in changed:
        lookup.accept(token)
    assert lookup.guess(2) == expected


def test_a_text_that_went_elsewhere_is_not_looked_for_any_longer() -> None:
    lookup = following(*range(110, 116))
    for token in range(20):
        lookup.accept(token + 500)
    lookup.accept(118)
    assert lookup.guess(2) == []


def test_what_matched_is_what_was_there() -> None:
    chooser = random.Random(2)
    tokens: list[int] = []
    lookup, followed = Lookup(tokens), 0
    for _ in range(1200):
        token = chooser.randrange(6) if chooser.random() < 0.3 or lookup.matched < 0 else lookup.next
        lookup.accept(token)
        tokens.append(token)
        if lookup.matched >= 2:
            followed += 1
            latest, guessed = tokens[-lookup.matched :], lookup.next
            places = (i for i in range(len(tokens) - lookup.matched) if tokens[i : i + lookup.matched] == latest)
            assert guessed in [tokens[place + lookup.matched] for place in places]
    assert followed > 200
    assert lookup.tokens == tokens
    assert lookup.matched <= LONGEST


# ---- whether it pays


def measured(*ratios: float, one: float = 0.01) -> Costs:
    """Costs where reading 2, 3, … tokens takes so much longer than one."""
    costs = Costs()
    for _ in range(9):
        costs.took(1, one)
        for count, ratio in enumerate(ratios, 2):
            costs.took(count, one * ratio)
    return costs


def test_as_many_are_read_as_give_most_tokens_for_the_time() -> None:
    cheap, dear = measured(*[1.1] * MOST), measured(*(1 + 0.9 * n for n in range(1, MOST + 1)))
    assert best_length([0.98] * MOST, cheap, credit=10) == MOST
    assert best_length([0.01] * MOST, cheap, credit=10) == 0
    assert best_length([0.98] * MOST, dear, credit=10) in (1, 2)
    assert best_length([0.8] * MOST, dear, credit=10) == 0
    assert 0 < best_length([0.9, 0.9, 0.0, 0.9, 0.9], cheap, credit=10) <= 2
    assert best_length([0.98] * MOST, cheap, credit=0.05) == 0
    assert best_length([0.7] * MOST, cheap, credit=10, each=0.1) > 0
    assert best_length([0.7] * MOST, cheap, credit=10, each=0.9) == 0


def test_one_disturbance_does_not_change_what_is_known_of_the_costs() -> None:
    costs = measured(*(1 + n / 10 for n in range(1, MOST + 1)))
    costs.took(4, 1.0)
    costs.took(1, 1.0)
    assert costs.excess(3) == pytest.approx(0.3)
    assert costs.excess(0) == 0
    assert costs.steps(0.02) == pytest.approx(2.0)
    for _ in range(9):  # but when it stays
        costs.took(4, 0.02)
    assert costs.excess(3) == pytest.approx(1.0)


def _steps(prompt: list[int], reply: list[int], ratios: list[float]) -> tuple[float, Speculation]:
    """What writing `reply` takes, in steps of one token, and who guessed it."""
    guesses, steps, place = Speculation(prompt, measured(*ratios)), 0.0, 0
    while place < len(reply):
        guessed = guesses.draft(len(reply) - place - 1)
        guesses.took(1 + len(guessed), 0.01 * ([1.0, *ratios][len(guessed)]))
        steps += [1.0, *ratios][len(guessed)]
        right = 0
        while right < len(guessed) and guessed[right] == reply[place + right]:
            right += 1
        for token in reply[place : place + right + 1]:
            guesses.accept(token)
        place += right + 1
    return steps, guesses


RATIOS = [1.12, 1.25, 1.4, 1.65, 1.85, 2.0, 2.15, 2.7, 2.9, 3.1, 3.2, 3.3, 3.35, 3.4, 3.45]


def test_a_text_that_is_copied_takes_a_third_of_the_steps() -> None:
    chooser = random.Random(1)
    text = [chooser.randrange(1000) for _ in range(300)]
    steps, guesses = _steps(text, text, RATIOS)
    assert steps < len(text) / 3
    assert guesses.accepted > 0.85 * len(text)


@pytest.mark.parametrize(
    "ratios", [RATIOS, [1.02] * MOST, [1 + 0.9 * n for n in range(1, MOST + 1)]], ids=["typical", "cheap", "dear"]
)
@pytest.mark.parametrize("length", [40, 300, 3000])
def test_guesses_that_are_always_wrong_cost_at_most_half_a_token_and_one_percent(
    length: int, ratios: list[float]
) -> None:
    """The worst text: every pair of tokens was there before, and what came then never comes."""
    prompt = [token for a in range(12) for b in range(12) for token in (a, b, 99 + a)]
    chooser = random.Random(length)
    reply = [chooser.randrange(12) for _ in range(length)]
    steps, guesses = _steps(prompt, reply, ratios)
    assert guesses.drafted > 0 or ratios[0] > 1.5
    assert steps <= length * 1.01 + 0.5


def test_nothing_is_guessed_before_it_is_known_what_a_token_takes() -> None:
    guesses = Speculation(TEXT, Costs())
    for token in TEXT[:10]:
        guesses.accept(token)
    assert guesses.draft(7) == []
    guesses.took(1, 0.01)
    assert guesses.draft(7) == TEXT[10:][: len(guesses.draft(7))] != []


# ---- a smaller model that guesses

QUESTION = [Message("user", "What is the capital of France?")]
needs_kernels = pytest.mark.skipif(native.refusal() is not None, reason="the CPU kernels are not there")


def _loaded(folder: Path, draft: Path) -> tuple[Engine, ModelInfo]:
    engine = Engine()
    return engine, engine.load(folder, context_length=256, draft=draft)


def _reply(engine: Engine, options: ReplyOptions) -> tuple[Recording, ReplyDone]:
    events = list(engine.reply(QUESTION, options))
    (recorded,) = [event for event in events if isinstance(event, ReplyRecorded)]
    done = events[-1]
    assert isinstance(done, ReplyDone)
    return Recording(**recorded.recording), done


@pytest.fixture(scope="module")
def drafted(smollm2_folder: Path) -> Iterator[Engine]:
    """A model that guesses ahead of itself."""
    engine, info = _loaded(smollm2_folder, smollm2_folder)
    assert (info.draft, info.draft_problem) == ("smollm2-135m", "")
    yield engine
    engine.unload()


class Unhurried(Speculation):
    """For which everything goes on taking what it took."""

    def took(self, count: int, seconds: float) -> None:
        pass


@needs_kernels
def test_a_draft_model_guesses_what_it_would_write_itself(smollm2_folder: Path) -> None:
    plan = Plan(Decoder(SPEC, random_weights(SPEC)))
    model = replace(load_model(smollm2_folder, context_length=64), decoder=plan, spec=SPEC)
    draft, prompt = DraftModel(model, 300), [5, 6, 7] * 10
    for _reply in range(2):
        for context in (prompt, [*prompt[:20], 8, 9]):  # what it has read is of use as far as it is the same
            draft.begin(None)
            cache = NativeKVCache(SPEC, 400)
            *_earlier, (_count, logits) = prefill_steps(plan, cache, context)
            guesses = Unhurried(context, measured(*RATIOS, one=10.0), draft)
            sampler = Sampler(SamplingOptions(temperature=0.0))
            tokens = Generation(plan, cache, logits, sampler, stop_ids=(), max_tokens=40, guesses=guesses)
            written = list(tokens)
            assert written == _greedy(plan, context, 40)
            assert 25 < guesses.accepted <= guesses.drafted
    assert draft.guess(list(range(299)), 2) == []  # its context is full


def _greedy(plan: Plan, prompt: list[int], count: int) -> list[int]:
    cache, written = NativeKVCache(SPEC, 400), list[int]()
    logits = plan(torch.tensor(prompt), cache)
    while len(written) < count:
        written.append(int(logits.argmax()))
        logits = plan(torch.tensor(written[-1:]), cache)
    return written


@needs_kernels
@pytest.mark.parametrize("sampling", [{"temperature": 0.0}, {"temperature": 1.0, "seed": 2}], ids=["greedy", "drawn"])
def test_a_reply_is_the_same_with_a_draft_model(drafted: Engine, sampling: dict[str, float]) -> None:
    options = ReplyOptions(sampling, 32)
    guessed = [_reply(drafted, options)[0].reply for _round in range(2)]
    plain, _done = _reply(drafted, replace(options, speculate=False))
    assert guessed == [plain.reply] * 2


@needs_kernels
def test_a_draft_model_that_cannot_be_used_is_named_and_the_other_answers(smollm2_folder: Path, tmp_path: Path) -> None:
    engine, info = _loaded(smollm2_folder, tmp_path / "nothing")
    assert (info.draft, "nothing" in info.draft_problem) == ("", True)
    assert _reply(engine, ReplyOptions({"temperature": 0.0}, 4))[1].completion_tokens == 4
