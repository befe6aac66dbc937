"""Reading prompts in chunks and writing replies token by token, over a decoder whose next token is known."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from localchat.engine import generate as module
from localchat.engine.generate import Generation, prefill_steps
from localchat.engine.kv_cache import KVCache
from localchat.engine.sampling import Sampler
from localchat.errors import ContextOverflow, Stopped
from localchat.messages import SamplingOptions
from localchat.model.decoder import Check, Decoder
from localchat.model.families import tensor_shapes
from localchat.model.spec import ModelSpec

SPEC = ModelSpec(
    family="llama",
    vocab_size=50,
    hidden_size=32,
    intermediate_size=32,
    num_layers=2,
    num_heads=2,
    num_key_value_heads=1,
    head_dim=16,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    context_length=4096,
)
GREEDY = SamplingOptions(temperature=0.0)


class CountingDecoder(Decoder):
    """Remembers how long the pieces were that it read."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        super().__init__(SPEC, {n: torch.randn(s, generator=generator) * 0.5 for n, s in tensor_shapes(SPEC).items()})
        self.pieces: list[int] = []

    def forward(
        self, tokens: Tensor, cache: KVCache, *, check: Check | None = None, all_logits: bool = False
    ) -> Tensor:
        self.pieces.append(len(tokens))
        return super().forward(tokens, cache, check=check, all_logits=all_logits)


class Clock:
    """A clock on which every reading is `step` seconds after the one before."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def perf_counter(self) -> float:
        self.now += self.step
        return self.now


def _prompt(count: int) -> list[int]:
    return torch.randint(0, 50, (count,), generator=torch.Generator().manual_seed(1)).tolist()


def _read(decoder: Decoder, cache: KVCache, ids: list[int]) -> Tensor:
    return list(prefill_steps(decoder, cache, ids))[-1][1]


def _greedy_reply(decoder: Decoder, prompt: list[int], count: int) -> list[int]:
    """Without a cache: everything is read again for every token."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(decoder(torch.tensor(ids), KVCache(SPEC, 4096)).argmax()))
    return ids[len(prompt) :]


def _generation(decoder: Decoder, cache: KVCache, prompt: Iterable[int], **options: object) -> Generation:
    logits = _read(decoder, cache, list(prompt))
    options = {"stop_ids": ()} | options
    return Generation(decoder, cache, logits, Sampler(GREEDY), **options)  # type: ignore[arg-type]


def test_a_prompt_in_chunks_gives_the_logits_of_the_prompt_at_once() -> None:
    decoder, ids = CountingDecoder(), _prompt(700)
    logits = _read(decoder, KVCache(SPEC, 4096), ids)
    assert len(decoder.pieces) > 1
    torch.testing.assert_close(logits, decoder(torch.tensor(ids), KVCache(SPEC, 4096)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(10.0, 16, id="so slow that a layer of more would hold up a stop"),
        pytest.param(0.09, 96, id="slow: enough to make reading the weights worth while"),
        pytest.param(0.03, 192, id="what fits into the time between two steps of the progress"),
        pytest.param(1e-5, 3072, id="fast: the most"),
    ],
)
def test_chunks_fit_the_speed(seconds: float, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "time", Clock(seconds))  # what reading the first 48 tokens takes
    decoder = CountingDecoder()
    _read(decoder, KVCache(SPEC, 4096), _prompt(3400))
    assert decoder.pieces[:2] == [48, expected]
    assert sum(decoder.pieces) == 3400


def test_progress_ends_with_the_whole_prompt() -> None:
    done = [count for count, _ in prefill_steps(CountingDecoder(), KVCache(SPEC, 4096), _prompt(300))]
    assert done == sorted(set(done))
    assert done[-1] == 300


def test_a_stop_while_reading_keeps_the_whole_chunks_that_were_read() -> None:
    decoder, cache, ids = CountingDecoder(), KVCache(SPEC, 4096), _prompt(600)
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 5:  # before and in the first chunk: three; before the second: one; in it
            raise Stopped

    with pytest.raises(Stopped):
        list(prefill_steps(decoder, cache, ids, check=check))
    assert cache.length == 48
    rest = _read(decoder, cache, ids[48:])
    torch.testing.assert_close(rest, _read(decoder, KVCache(SPEC, 4096), ids), rtol=1e-3, atol=1e-3)


def test_an_empty_prompt_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="nothing"):
        list(prefill_steps(CountingDecoder(), KVCache(SPEC, 10), []))


def test_a_prompt_longer_than_the_context_is_refused() -> None:
    with pytest.raises(ContextOverflow):
        list(prefill_steps(CountingDecoder(), KVCache(SPEC, 10), _prompt(11)))


def test_a_greedy_reply_is_what_reading_everything_again_says() -> None:
    decoder, prompt = CountingDecoder(), _prompt(30)
    tokens = _generation(decoder, KVCache(SPEC, 4096), prompt, max_tokens=20)
    reply = list(tokens)
    assert reply == _greedy_reply(decoder, prompt, 20)
    assert len(set(reply)) > 3
    assert tokens.finish_reason == "length"


def test_a_stop_token_ends_the_reply_and_is_not_given_out() -> None:
    decoder, prompt = CountingDecoder(), _prompt(30)
    expected = _greedy_reply(decoder, prompt, 20)
    stop = expected[7]
    tokens = _generation(decoder, KVCache(SPEC, 4096), prompt, stop_ids={stop}, max_tokens=20)
    assert list(tokens) == expected[: expected.index(stop)]
    assert tokens.finish_reason == "stop"


def test_a_reply_ends_when_the_context_is_full_and_every_token_of_it_fits() -> None:
    cache = KVCache(SPEC, 40)
    tokens = _generation(CountingDecoder(), cache, _prompt(30))
    assert len(list(tokens)) == 10
    assert tokens.finish_reason == "context"
    assert cache.length + len(tokens.pending) == 40


def test_no_token_is_computed_before_it_is_asked_for() -> None:
    decoder, cache = CountingDecoder(), KVCache(SPEC, 4096)
    tokens = _generation(decoder, cache, _prompt(30))
    assert tokens.finish_reason is None
    read = len(decoder.pieces)
    next(tokens)
    assert (len(decoder.pieces), cache.length) == (read, 30)
    next(tokens)
    assert (len(decoder.pieces), cache.length) == (read + 1, 31)


def test_a_reply_that_was_stopped_in_the_middle_of_a_token_can_go_on() -> None:
    decoder, prompt, cache = CountingDecoder(), _prompt(30), KVCache(SPEC, 4096)
    stopping = False
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += stopping
        if calls == 3:  # before the token, before its first layer, before its second
            raise Stopped

    tokens = _generation(decoder, cache, prompt, max_tokens=9, check=check)
    begun = [next(tokens) for _ in range(4)]
    stopping = True
    with pytest.raises(Stopped):
        next(tokens)
    assert cache.length == 33
    assert begun + list(tokens) == _greedy_reply(decoder, prompt, 9)


def test_max_tokens_of_zero_writes_nothing() -> None:
    tokens = _generation(CountingDecoder(), KVCache(SPEC, 4096), _prompt(3), max_tokens=0)
    assert list(tokens) == []
    assert tokens.finish_reason == "length"
