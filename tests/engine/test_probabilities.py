"""How sure the model was: the softmax that sampled, and the plain one, beside a reference in torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from localchat.engine.caches import cache_for
from localchat.engine.facade import Engine
from localchat.engine.probabilities import Softmax, token_text
from localchat.engine.sampling import Sampler
from localchat.events import Event, TextDelta, event_from_json, to_json
from localchat.messages import Message, ReplyOptions, SamplingOptions, sampling_options
from localchat.model.load import load_model
from localchat.recording import Recording, ReplyRecorded, TokenChosen
from localchat.text.chat_text import load_chat_text

QUESTION = [Message("user", "Tell me about lighthouses, 请用中文 🌊.")]
HOT = {"temperature": 1.3, "top_k": 30, "top_p": 0.9, "min_p": 0.02, "repetition_penalty": 1.1, "seed": 7}


def reference(logits: Tensor, options: SamplingOptions, seen: Sequence[int] = (), counts: Sequence[int] = ()) -> Tensor:
    """The documented stages on the whole vocabulary in float64: probabilities [V], 0 where a filter excludes."""
    values = logits.double().clone()
    for token in set(seen):
        penalty = options.repetition_penalty
        values[token] = values[token] / penalty if values[token] > 0 else values[token] * penalty
    for token in set(counts):
        values[token] -= counts.count(token) * options.frequency_penalty + options.presence_penalty
    if options.temperature == 0:
        return torch.nn.functional.one_hot(values.argmax(), len(values)).double()
    values /= options.temperature
    if 0 < options.top_k < len(values):
        values[values < values.topk(options.top_k).values[-1]] = -math.inf
    ordered, ids = values.softmax(0).sort(descending=True, stable=True)
    before = ordered.cumsum(0) - ordered
    values[ids[before >= options.top_p]] = -math.inf
    values[values.softmax(0) < options.min_p * values.softmax(0).max()] = -math.inf
    return values.softmax(0)


@pytest.mark.parametrize(
    "options",
    [
        SamplingOptions(temperature=0.0, seed=1),
        SamplingOptions(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=1),
        SamplingOptions(temperature=0.5, top_k=3, top_p=1.0, min_p=0.0, seed=1),
        SamplingOptions(temperature=1.5, top_k=0, top_p=0.8, min_p=0.0, seed=1),
        SamplingOptions(temperature=1.5, top_k=0, top_p=1.0, min_p=0.1, seed=1),
        sampling_options(HOT),
        SamplingOptions(temperature=0.9, frequency_penalty=0.7, presence_penalty=0.4, seed=1),
    ],
)
def test_what_may_be_drawn_is_what_the_documented_stages_leave(options: SamplingOptions) -> None:
    generator = torch.Generator().manual_seed(3)
    for size in (5, 64, 1000):
        logits = torch.randn(size, generator=generator) * 2
        prompt = [0, 3]
        sampler = Sampler(options, prompt)
        sampler.accept(1)
        sampler.accept(1)
        ids, probabilities = sampler.distribution(logits)
        found = torch.zeros(size, dtype=torch.float64)
        found[torch.from_numpy(ids)] = torch.from_numpy(probabilities)
        torch.testing.assert_close(found, reference(logits, options, [*prompt, 1], [1, 1]), atol=1e-6, rtol=1e-5)
        assert sampler.sample(logits) in ids


def test_asking_what_may_be_drawn_draws_nothing() -> None:
    generator = torch.Generator().manual_seed(5)
    asked, not_asked = Sampler(SamplingOptions(seed=4)), Sampler(SamplingOptions(seed=4))
    for _step in range(50):
        logits = torch.randn(200, generator=generator)
        asked.distribution(logits)
        assert asked.sample(logits) == not_asked.sample(logits)


def test_the_plain_softmax_and_its_entropy_are_those_of_torch() -> None:
    logits = torch.randn(5000, generator=torch.Generator().manual_seed(2)) * 4
    logits[17] = -math.inf
    plain, softmax = logits.double().softmax(0), Softmax(logits)
    for token in (0, 17, 4999, int(plain.argmax())):
        assert softmax.of(token) == pytest.approx(float(plain[token]), rel=1e-5)
    assert softmax.likeliest(6) == plain.topk(6).indices.tolist()
    assert softmax.entropy() == pytest.approx(float(torch.special.entr(plain).sum()) / math.log(2), rel=1e-5)


def test_equal_tokens_have_all_the_entropy_there_can_be() -> None:
    softmax = Softmax(torch.zeros(8))
    assert softmax.entropy() == pytest.approx(3)
    assert softmax.likeliest(3) == [0, 1, 2]
    assert softmax.likeliest(99) == list(range(8))


def texts(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def recording_of(events: Sequence[Event]) -> Recording:
    (recorded,) = [event for event in events if isinstance(event, ReplyRecorded)]
    return Recording(**recorded.recording)


def test_every_token_of_a_reply_tells_the_probabilities_that_the_model_gave_it(
    engine: Engine, smollm2_folder: Path
) -> None:
    events = list(engine.reply(QUESTION, ReplyOptions(HOT, 12, probabilities=4)))
    tokens = [event for event in events if isinstance(event, TokenChosen)]
    recording = recording_of(events)
    assert [token.chosen.token for token in tokens] == list(recording.reply)

    loaded = load_model(smollm2_folder, context_length=512)
    cache = cache_for(loaded, 512)
    options = sampling_options(recording.sampling)
    unread = list(recording.prompt)
    for place, token in enumerate(tokens):
        with torch.inference_mode():
            logits = loaded.decoder(torch.tensor(unread), cache)
        plain = logits.double().softmax(0)
        sampled = reference(logits, options, [*recording.prompt, *recording.reply[:place]], recording.reply[:place])
        assert [each.token for each in token.alternatives] == plain.topk(4).indices.tolist()
        for each in (token.chosen, *token.alternatives):
            assert each.probability == pytest.approx(float(sampled[each.token]), abs=1e-5)
            assert each.plain_probability == pytest.approx(float(plain[each.token]), rel=1e-3)
        assert token.chosen.probability > 0
        assert token.entropy == pytest.approx(float(torch.special.entr(plain).sum()) / math.log(2), rel=1e-3)
        unread = [recording.reply[place]]


def test_a_reply_is_the_same_whether_or_not_probabilities_are_asked_for(engine: Engine) -> None:
    plain = list(engine.reply(QUESTION, ReplyOptions(HOT, 12)))
    asked = list(engine.reply(QUESTION, ReplyOptions(HOT, 12, probabilities=1)))
    assert not any(isinstance(event, TokenChosen) for event in plain)
    assert recording_of(plain).reply == recording_of(asked).reply
    assert texts(plain) == texts(asked)


def test_probabilities_that_were_asked_for_are_kept_in_few_bytes(engine: Engine) -> None:
    events = list(engine.reply(QUESTION, ReplyOptions(HOT, 12, probabilities=2)))
    tokens = [event for event in events if isinstance(event, TokenChosen)]
    recording = Recording.unpack(recording_of(events).pack())
    assert recording is not None
    assert len(recording.pack()) < 100 * len(tokens) + 600
    for kept, token in zip(recording.probabilities, tokens, strict=True):
        probability, plain, entropy, alternatives = kept
        assert probability == pytest.approx(token.chosen.probability, rel=1e-4)
        assert plain == pytest.approx(token.chosen.plain_probability, rel=1e-4)
        assert entropy == pytest.approx(token.entropy, rel=1e-4)
        assert [each[0] for each in alternatives] == [each.token for each in token.alternatives]


def test_what_is_known_of_a_token_crosses_the_pipe(engine: Engine) -> None:
    for event in engine.reply(QUESTION, ReplyOptions(HOT, 3, probabilities=2)):
        if isinstance(event, TokenChosen):
            assert event_from_json(to_json(event)) == event
        if isinstance(event, ReplyRecorded):
            assert Recording(**event.recording) == Recording(**event_from_json(to_json(event)).recording)  # type: ignore[union-attr]


def test_parts_of_characters_and_control_tokens_can_be_read(smollm2_folder: Path) -> None:
    tokenizer = load_chat_text(smollm2_folder).tokenizer
    pieces = [token_text(tokenizer, token) for token in tokenizer.encode("鲸")]
    assert len(pieces) > 1 and all(piece.startswith("\\x") or piece == " " for piece in pieces)
    assert token_text(tokenizer, min(tokenizer.stop_ids)).startswith("<|")
