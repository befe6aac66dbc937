"""Replies for which tokens are guessed are the same, token for token, as those for which none are."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from localchat.engine.facade import Engine
from localchat.engine.generate import Generation, prefill_steps
from localchat.engine.kv_cache import KVCache, NativeKVCache
from localchat.engine.quantized_cache import NativeQuantizedKVCache
from localchat.engine.sampling import Sampler
from localchat.engine.speculation import Speculator, refusal
from localchat.errors import Stopped
from localchat.events import Event, ReplyDone
from localchat.messages import Message, ReplyOptions, SamplingOptions
from localchat.model.cache_room import CacheKind
from localchat.model.decoder import Check, Decoder
from localchat.model.load import LoadedModel, load_model
from localchat.model.plan import Plan
from localchat.recording import Recording, Replayed, ReplyRecorded, TokenChosen
from quant.kernels import native
from tests.model.test_plan import SPEC, SPECS, THROUGH_TORCH, dense, random_weights

pytestmark = pytest.mark.skipif(native.refusal() is not None, reason=f"the CPU kernels are {native.refusal()}")

GREEDY = SamplingOptions(temperature=0.0)
DRAWN = SamplingOptions(temperature=1.0, top_k=0, top_p=0.98, min_p=0.0, repetition_penalty=1.1, seed=4)
COPY = Message("user", "Repeat this: A cat sat on the mat, a dog lay on the rug, and a bird sang in the old tree.")


class CountingPlan(Plan):
    """Remembers how many tokens it read at once."""

    def __init__(self, spec: Any = SPEC) -> None:
        super().__init__(Decoder(spec, random_weights(spec)))
        self.pieces: list[int] = []

    def __call__(self, tokens: Tensor, cache: Any, *, check: Check | None = None, all_logits: bool = False) -> Tensor:
        self.pieces.append(len(tokens))
        return super().__call__(tokens, cache, check=check, all_logits=all_logits)


class Oracle:
    """Guesses what is known to come, and is wrong as often as `errors` says."""

    def __init__(self, reply: Sequence[int], errors: float = 0.0) -> None:
        self._reply, self._errors, self._place = list(reply), errors, 0
        self._random = random.Random(5)

    def draft(self, most: int) -> list[int]:
        known = self._reply[self._place : self._place + min(most, 15)]
        return [(token + 1) % 101 if self._random.random() < self._errors else token for token in known]

    def took(self, count: int, seconds: float) -> None:
        pass

    def accept(self, _token: int) -> None:
        self._place += 1


def prompt(count: int = 30) -> list[int]:
    return torch.randint(0, SPEC.vocab_size, (count,), generator=torch.Generator().manual_seed(1)).tolist()


def generation(plan: Plan, cache: KVCache, options: SamplingOptions, **more: Any) -> Generation:
    *_earlier, (_count, logits) = prefill_steps(plan, cache, prompt())
    return Generation(plan, cache, logits, Sampler(options, prompt()), **{"stop_ids": (), **more})


def written(plan: Plan, options: SamplingOptions, **more: Any) -> list[int]:
    return list(generation(plan, NativeKVCache(plan.spec, 400), options, **{"max_tokens": 60, **more}))


@pytest.mark.parametrize("errors", [0.0, 0.2, 0.6, 1.0])
@pytest.mark.parametrize("options", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_whatever_is_guessed_the_tokens_are_the_same(options: SamplingOptions, errors: float) -> None:
    plan = CountingPlan()
    plain = written(plan, options)
    plan.pieces.clear()
    assert written(plan, options, guesses=Oracle(plain, errors)) == plain
    assert max(plan.pieces[1:]) == 16
    if not errors:
        assert len(plan.pieces) < 10
    if errors == 1:
        assert len(plan.pieces) == 60


@pytest.mark.parametrize("name", [name for name in SPECS if name not in THROUGH_TORCH])
def test_it_holds_for_every_architecture_with_a_plan(name: str) -> None:
    plan = Plan(Decoder(SPECS[name], random_weights(SPECS[name])))
    plain = written(plan, DRAWN, max_tokens=100)
    assert written(plan, DRAWN, max_tokens=100, guesses=Oracle(plain, 0.2)) == plain


@pytest.mark.parametrize("kind", ["int8", "int4"])
@pytest.mark.parametrize("name", ["qwen3", "gemma3_text"])  # the second with layers that see a window
def test_it_holds_with_a_quantized_cache(name: str, kind: CacheKind) -> None:
    """Guesses go beyond the end of a span, which then is in codes, and back."""
    plan, replies = Plan(Decoder(SPECS[name], random_weights(SPECS[name]))), []
    for errors in (None, 0.0, 0.1, 0.3):
        cache = NativeQuantizedKVCache(plan.spec, 400, kind)
        guesses = None if errors is None else Oracle(replies[0], errors)
        replies.append(list(generation(plan, cache, DRAWN, max_tokens=300, guesses=guesses)))
    assert replies[1:] == replies[:1] * 3


def test_limits_end_a_reply_at_the_same_token() -> None:
    plan = Plan(Decoder(SPEC, random_weights(SPEC)))
    plain = written(plan, GREEDY, max_tokens=300)
    for most in (1, 2, 8, 9):
        tokens = generation(plan, NativeKVCache(SPEC, 400), GREEDY, max_tokens=most, guesses=Oracle(plain))
        assert (list(tokens), tokens.finish_reason) == (plain[:most], "length")
    for context in (31, 32, 40, 41):
        cache = NativeKVCache(SPEC, context)
        tokens = generation(plan, cache, GREEDY, guesses=Oracle(plain))
        assert (list(tokens), tokens.finish_reason) == (plain[: context - 30], "context")
    stop = plain[20]
    first = plain.index(stop)
    tokens = generation(plan, NativeKVCache(SPEC, 400), GREEDY, stop_ids=(stop,), guesses=Oracle(plain))
    assert (list(tokens), tokens.finish_reason) == (plain[:first], "stop")


def test_a_reply_that_is_left_in_the_middle_leaves_only_its_own_tokens() -> None:
    plan = Plan(Decoder(SPEC, random_weights(SPEC)))
    plain = written(plan, GREEDY)
    for count in (3, 10, 17):
        cache = NativeKVCache(SPEC, 400)
        tokens = generation(plan, cache, GREEDY, guesses=Oracle(plain))
        given = [next(tokens) for _ in range(count)]
        tokens.close()
        assert cache.length + len(tokens.pending) == 30 + count
        rest = (prompt() + given)[cache.length :]
        after = plan(torch.tensor([*rest, 7]), cache)
        fresh = NativeKVCache(SPEC, 400)
        assert torch.equal(after, plan(torch.tensor([*prompt(), *given, 7]), fresh))


@pytest.mark.parametrize(("at", "count"), [(4, 1), (9, 4)], ids=["while guesses are read", "after that"])
def test_a_stop_keeps_what_was_given_out(at: int, count: int) -> None:
    plan, cache = Plan(Decoder(SPEC, random_weights(SPEC))), NativeKVCache(SPEC, 400)
    plain = written(plan, GREEDY)
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Stopped

    given: list[int] = []
    tokens = generation(plan, cache, GREEDY, guesses=Oracle(plain), check=check)
    with pytest.raises(Stopped):
        for token in tokens:
            given.append(token)
    assert given == plain[:count]
    tokens.close()
    assert cache.length + len(tokens.pending) == 30 + count


def test_drawn_tokens_have_the_distribution_of_the_model() -> None:
    """Chi-square of two tokens against what two plain steps say, over 2000 seeds and the likeliest guess."""
    plan, cache = Plan(Decoder(SPEC, random_weights(SPEC))), NativeKVCache(SPEC, 100)
    options = SamplingOptions(temperature=0.8, top_k=5, top_p=1.0, min_p=0.0, seed=0)
    *_earlier, (_count, first) = prefill_steps(plan, cache, prompt())
    expected: dict[tuple[int, ...], float] = {(): 1.0}
    for _step in range(2):
        longer: dict[tuple[int, ...], float] = {}
        for before, probability in expected.items():
            cache.truncate(30)
            logits = plan(torch.tensor(before), cache) if before else first
            ids, probabilities = Sampler(options, prompt()).distribution(logits)
            for token, each in zip(ids, probabilities, strict=True):
                longer[*before, int(token)] = probability * float(each)
        expected = longer
    likely = max(expected, key=expected.__getitem__)
    count, seen = 2000, Counter[tuple[int, ...]]()
    for seed in range(count):
        cache.truncate(30)
        sampler = Sampler(replace(options, seed=seed), prompt())
        tokens = Generation(plan, cache, first, sampler, stop_ids=(), max_tokens=2, guesses=Oracle(likely))
        seen[tuple(tokens)] += 1
        tokens.close()
    assert set(seen) <= set(expected)
    often = [tokens for tokens in expected if expected[tokens] * count >= 5]
    distance = sum((seen[tokens] - expected[tokens] * count) ** 2 / (expected[tokens] * count) for tokens in often)
    assert len(often) > 15
    assert distance < len(often) + 3 * (2 * len(often)) ** 0.5


# ---- a real model, from the question to the text


@pytest.fixture(scope="module")
def engine(smollm2_folder: Path) -> Iterator[Engine]:
    loaded = Engine()
    info = loaded.load(smollm2_folder, context_length=512)
    assert (info.speculation, info.draft) == ("", "")
    yield loaded
    loaded.unload()


def answered(engine: Engine, options: ReplyOptions) -> tuple[list[Event], Recording, ReplyDone]:
    events = list(engine.reply([COPY], options))
    (recorded,) = [event for event in events if isinstance(event, ReplyRecorded)]
    done = events[-1]
    assert isinstance(done, ReplyDone)
    return events, Recording(**recorded.recording), done


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(ReplyOptions({"temperature": 0.0}, 48), id="greedy"),
        pytest.param(ReplyOptions({"temperature": 0.8, "seed": 3}, 48), id="drawn"),
        pytest.param(ReplyOptions({"temperature": 0.5, "seed": 1, "frequency_penalty": 0.1}, 48), id="penalties"),
        pytest.param(ReplyOptions({"temperature": 0.0}, 48, stop=("bird",)), id="a stop string"),
        pytest.param(ReplyOptions({"temperature": 0.0}, 48, probabilities=2), id="probabilities"),
    ],
)
def test_a_reply_is_the_same_with_guesses(engine: Engine, options: ReplyOptions) -> None:
    _events, _recording, _done = answered(engine, options)  # what a step takes is known from now on
    guessed, recording, done = answered(engine, options)
    plain, expected, slow = answered(engine, replace(options, speculate=False))
    assert recording.reply == expected.reply
    assert (done.finish_reason, done.completion_tokens) == (slow.finish_reason, slow.completion_tokens)
    assert [e for e in guessed if isinstance(e, TokenChosen)] == [e for e in plain if isinstance(e, TokenChosen)]
    assert 0 < done.accepted_tokens <= done.drafted_tokens
    assert (slow.drafted_tokens, slow.accepted_tokens) == (0, 0)
    assert done.context_used == slow.context_used or done.context_used == slow.context_used + 1
    *_progress, replayed = engine.replay(expected)
    assert isinstance(replayed, Replayed)
    assert not replayed.differs


def test_the_next_question_finds_the_cache_as_it_should_be(engine: Engine) -> None:
    options = ReplyOptions({"temperature": 0.0}, 30)
    texts = []
    for speculate in (True, False):
        _events, first, _done = answered(engine, replace(options, speculate=speculate))
        turns = [COPY, Message("assistant", "Fine."), Message("user", "Once more, please.")]
        events = list(engine.reply(turns, replace(options, speculate=speculate)))
        (recorded,) = [event for event in events if isinstance(event, ReplyRecorded)]
        texts.append((first.reply, Recording(**recorded.recording).reply))
    assert texts[0] == texts[1]


# ---- where it is not done


def _loaded(decoder: Any, model: LoadedModel) -> LoadedModel:
    return replace(model, decoder=decoder, spec=decoder.spec)


def test_there_are_no_guesses_where_the_same_bits_are_not_promised(smollm2_folder: Path) -> None:
    model = load_model(smollm2_folder, context_length=64)
    assert refusal(model) is None
    weights = random_weights(SPEC)
    plain = Decoder(SPEC, weights)
    assert "native code" in (refusal(_loaded(plain, model)) or "")
    mixed = Plan(Decoder(SPEC, {**weights, "layers.1.down": dense(weights)["layers.1.down"]}))
    assert "layer 1" in (refusal(_loaded(mixed, model)) or "")
    assert refusal(_loaded(Plan(Decoder(SPEC, {**weights, "embedding": dense(weights)["embedding"]})), model)) is None
    states = Plan(Decoder(SPECS["lfm2"], random_weights(SPECS["lfm2"])))
    assert "states" in (refusal(_loaded(states, model)) or "")
    assert Speculator(_loaded(states, model)).begin([1, 2, 3]) is None
