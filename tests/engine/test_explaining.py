"""How sure the model was of every token of a recorded reply, read once more: beside the reply and a reference."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from localchat.engine.caches import cache_for
from localchat.engine.client import EngineClient
from localchat.engine.facade import Engine
from localchat.errors import InvalidSetting, Stopped
from localchat.events import Event, PromptProgress, ReplyDone, TextDelta, event_from_json, to_json
from localchat.messages import Message, ReplyOptions, sampling_options
from localchat.model.load import load_model
from localchat.recording import (
    Recording,
    Replayed,
    ReplyExplained,
    ReplyRecorded,
    TokenChosen,
    TokenExplained,
)
from tests.engine.test_probabilities import HOT, QUESTION, reference

WARM = {"temperature": 1.1, "top_k": 40, "top_p": 0.95, "repetition_penalty": 1.1, "seed": 5}


def reply(
    engine: Engine, options: ReplyOptions, messages: Sequence[Message] = QUESTION
) -> tuple[Recording, list[Event]]:
    events = list(engine.reply(messages, options))
    (told,) = [event for event in events if isinstance(event, ReplyRecorded)]
    return Recording.of(told), events


def text_of(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def explained(engine: Engine, recording: Recording, alternatives: int = 4) -> list[TokenExplained]:
    *events, last = engine.explain(recording, alternatives)
    assert isinstance(last, ReplyExplained)
    progress = [event for event in events if isinstance(event, PromptProgress)]
    assert progress[-1].done == progress[-1].total
    return [event for event in events if isinstance(event, TokenExplained)]


def test_a_reply_read_once_more_has_the_very_probabilities_that_it_was_sampled_with(
    engine: Engine, smollm2_folder: Path
) -> None:
    recording, events = reply(engine, ReplyOptions(WARM, 40, probabilities=4))
    told = [event for event in events if isinstance(event, TokenChosen)]
    fresh = Engine()
    fresh.load(smollm2_folder, context_length=512)
    for each in (engine, fresh):
        found = explained(each, recording)
        assert [token.token for token in found if token.origin == "written"] == told
    fresh.unload()


def test_they_are_the_same_where_keys_and_values_are_quantized(smollm2_folder: Path) -> None:
    engine = Engine()
    engine.load(smollm2_folder, context_length=512, cache_kind="int8")
    recording, events = reply(engine, ReplyOptions(WARM, 40, probabilities=3))
    told = [event for event in events if isinstance(event, TokenChosen)]
    assert [token.token for token in explained(engine, recording, 3) if token.origin == "written"] == told
    engine.unload()


def test_the_probabilities_are_those_of_a_reference_in_float64(engine: Engine, smollm2_folder: Path) -> None:
    recording, _events = reply(engine, ReplyOptions(HOT, 16))
    loaded = load_model(smollm2_folder, context_length=512)
    cache = cache_for(loaded, 512)
    options = sampling_options(recording.sampling)
    with torch.inference_mode():
        rows = loaded.decoder(torch.tensor(recording.line), cache, all_logits=True)
    for token in explained(engine, recording):
        written = recording.line[len(recording.prompt) : token.before]
        logits = rows[token.before - 1]
        sampled = reference(logits, options, recording.line[: token.before], written)
        plain = logits.double().softmax(0)
        for each in (token.token.chosen, *token.token.alternatives):
            assert each.probability == pytest.approx(float(sampled[each.token]), abs=1e-5)
            assert each.plain_probability == pytest.approx(float(plain[each.token]), rel=1e-3)


def test_the_texts_of_the_tokens_are_the_reply_and_none_shows_half_a_character(engine: Engine) -> None:
    question = [Message("user", "Repeat exactly: 鲸鱼🌊 ok")]
    recording, events = reply(engine, ReplyOptions({"temperature": 0.0}, 24), question)
    found = explained(engine, recording)
    whole = "".join(token.text for token in found)
    assert text_of(events).startswith(whole) and "\ufffd" not in whole
    places = range(len(recording.prompt), len(recording.prompt) + len(found))
    assert [token.before for token in found] == list(places)


def test_a_reply_that_the_model_ended_has_an_end_with_its_probability(engine: Engine) -> None:
    recording, _events = reply(
        engine, ReplyOptions({"temperature": 0.0}, 60), [Message("user", "What is 1+1? Answer with one word.")]
    )
    assert recording.ended
    last = explained(engine, recording)[-1]
    assert (last.origin, last.text, last.token.chosen.text) == ("end", "", "<|im_end|>")
    assert last.token.chosen.probability == 1.0 and 0 < last.token.chosen.plain_probability < 1


def test_words_that_somebody_else_began_the_reply_with_are_explained_as_given(engine: Engine) -> None:
    prefill = "Once upon a time, 鲸"
    recording, _events = reply(engine, ReplyOptions(WARM, 8, prefill=prefill))
    found = explained(engine, recording)
    given = [token for token in found if token.origin == "given"]
    assert "".join(token.text for token in given) == prefill
    assert len(given) == recording.begun and found[len(given)].origin == "written"
    assert all(0 < token.token.chosen.plain_probability < 1 for token in given)


def test_every_token_has_the_time_that_it_took(engine: Engine) -> None:
    recording, events = reply(engine, ReplyOptions(WARM, 20))
    done = events[-1]
    assert isinstance(done, ReplyDone)
    assert len(recording.times) == len(recording.reply)
    spoken = (len(recording.reply) - 1) / (sum(recording.times[1:]) / 10_000)
    assert spoken == pytest.approx(done.decode_tokens_per_second, rel=0.2)
    plain = replace(recording, times=[])
    assert len(recording.pack()) - len(plain.pack()) < 3 * len(recording.reply) + 16


# ---- going on from exact tokens


def test_a_reply_goes_on_from_exact_tokens_as_if_it_had_never_stopped(engine: Engine) -> None:
    greedy = {"temperature": 0.0}
    recording, events = reply(engine, ReplyOptions(greedy, 30))
    cut = len(recording.prompt) + 11
    options = ReplyOptions(greedy, 30 - 11, line=recording.line[:cut], begun=11)
    again, on = reply(engine, options, [])
    assert again.line == recording.line and again.begun == 11
    assert text_of(on) == text_of(events)


def test_another_token_at_a_place_is_kept_though_it_is_part_of_a_character(engine: Engine) -> None:
    recording, _events = reply(engine, ReplyOptions({"temperature": 0.0}, 10))
    parts = engine._ready().text.tokenizer.encode("鲸")
    assert len(parts) > 1
    line = [*recording.line[: len(recording.prompt) + 3], *parts[:1]]
    again, events = reply(engine, ReplyOptions({"temperature": 0.0}, 6, line=line, begun=4), [])
    assert again.line[: len(line)] == line
    first = next(event for event in events if isinstance(event, TextDelta))
    assert first.tokens == 0 and "\ufffd" not in first.text


def test_a_branch_whose_token_ends_the_reply_ends_there(engine: Engine) -> None:
    recording, _events = reply(engine, ReplyOptions({"temperature": 0.0}, 10))
    (stop,) = set(engine._ready().text.tokenizer.stop_ids) & {2}  # <|im_end|>
    line = [*recording.line[: len(recording.prompt) + 5], stop]
    again, events = reply(engine, ReplyOptions({"temperature": 0.0}, 10, line=line, begun=6), [])
    done = events[-1]
    assert isinstance(done, ReplyDone)
    assert (list(again.reply), done.finish_reason, done.completion_tokens) == ([], "stop", 0)
    assert text_of(events)


def test_a_beginning_is_made_of_the_tokens_that_it_was_written_with_when_those_are_known(
    engine: Engine, smollm2_folder: Path
) -> None:
    """Such as after a restart: the tokenizer cuts the same words in another way than the model wrote them."""
    tokenizer = engine._ready().text.tokenizer
    bare = engine._ready().text.encode(QUESTION)
    spelled = [id for letter in "whales sing" for id in tokenizer.encode_after(letter)]
    assert spelled != tokenizer.encode_after("whales sing")
    fresh = Engine()
    fresh.load(smollm2_folder, context_length=512)
    options = ReplyOptions({"temperature": 0.0}, 3, prefill="whales sing")
    unknown, _events = reply(fresh, options)
    known, _events = reply(fresh, replace(options, known=[*bare, *spelled]))
    other, _events = reply(fresh, replace(options, known=[*bare, *tokenizer.encode_after("a cat")]))
    fresh.unload()
    assert list(known.prompt) == [*bare, *spelled] and known.begun == len(spelled)
    assert list(unknown.prompt) == list(other.prompt) == [*bare, *tokenizer.encode_after("whales sing")]


# ---- replies that were written in parts


@pytest.fixture(scope="module")
def parted(engine: Engine) -> Recording:
    """A reply that went on: drawn hot, stopped, another token put there, and drawn on with another seed."""
    first, _events = reply(engine, ReplyOptions(WARM, 12))
    cut = first.cut(len(first.prompt) + 9)
    assert cut is not None
    line = [*cut.line, 504]
    events = list(engine.reply([], ReplyOptions({**WARM, "seed": 77}, 10, line=line, begun=10)))
    (told,) = [event for event in events if isinstance(event, ReplyRecorded)]
    return Recording.of(told, cut)


def test_all_parts_are_made_again(engine: Engine, parted: Recording) -> None:
    *progress, replayed = engine.replay(parted)
    assert isinstance(replayed, Replayed) and all(isinstance(event, PromptProgress) for event in progress)
    assert (replayed.differs, replayed.tokens) == (False, 9 + len(parted.reply)) and parted.tokens == replayed.tokens


def test_a_difference_in_an_earlier_part_is_found_there(engine: Engine, parted: Recording) -> None:
    assert parted.earlier is not None
    wrong = replace(parted.earlier, reply=[*parted.earlier.reply[:4], 504, *parted.earlier.reply[5:]])
    *_progress, replayed = engine.replay(replace(parted, earlier=wrong))
    assert isinstance(replayed, Replayed) and (replayed.differs, replayed.tokens) == (True, 4)
    later = replace(parted, reply=[*parted.reply[:2], 504, *parted.reply[3:]])
    *_progress, replayed = engine.replay(later)
    assert isinstance(replayed, Replayed) and (replayed.differs, replayed.tokens) == (True, 9 + 2)
    assert replayed.then.startswith("The")


def test_the_parts_are_explained_one_after_the_other(engine: Engine, parted: Recording) -> None:
    found = explained(engine, parted)
    assert [token.origin for token in found[:11]] == ["written"] * 9 + ["given", "written"]
    assert [token.part for token in found[:11]] == [0] * 9 + [1, 1]
    assert found[9].token.chosen.token == 504
    for token in found:
        if token.origin != "end":
            assert parted.parts[token.part].line[token.before] == token.token.chosen.token


def test_parts_are_packed_and_read_back(parted: Recording) -> None:
    assert Recording.unpack(parted.pack()) == parted
    line = list(parted.prompt[:5])
    packed = parted.pack(line)
    assert Recording.unpack(packed, line) == parted and Recording.unpack(packed) is None
    assert Recording.from_object(parted.as_object()) == parted
    assert parted.earlier is not None
    assert len(packed) < len(parted.earlier.pack(line)) + 400  # what the parts share is kept once


def test_a_cut_recording_is_what_it_was_at_that_place(parted: Recording) -> None:
    first = parted.parts[0]
    cut = first.cut(len(first.prompt) + 3)
    assert cut is not None and list(cut.reply) == list(first.reply[:3]) and len(cut.times) == 3 and not cut.ended
    assert first.cut(len(first.prompt)) is None
    assert parted.cut(len(parted.prompt)) == parted.earlier
    assert list(parted.given) == [504] and list(first.given) == []


# ---- refusals, and the pipe


def test_other_weights_are_refused_unless_the_probabilities_were_kept(engine: Engine) -> None:
    recording, events = reply(engine, ReplyOptions(WARM, 6, probabilities=3))
    other = replace(recording, circumstances={**recording.circumstances, "weights": "f" * 64})
    found = list(engine.explain(other, 8))
    assert found[-1] == ReplyExplained(kept=True)
    tokens = [event for event in found if isinstance(event, TokenExplained)]
    told = [event for event in events if isinstance(event, TokenChosen)]
    assert [each.token.chosen.token for each in tokens] == [each.chosen.token for each in told]
    for each, was in zip(tokens, told, strict=True):
        assert each.token.entropy == pytest.approx(was.entropy, rel=1e-4)
        assert [a.text for a in each.token.alternatives] == [a.text for a in was.alternatives]
    with pytest.raises(InvalidSetting, match="other weights"):
        list(engine.explain(replace(other, probabilities=[]), 8))


def test_reading_once_more_can_be_stopped_and_the_conversation_goes_on(engine: Engine) -> None:
    greedy = ReplyOptions({"temperature": 0.0}, 12)
    recording, before = reply(engine, greedy)
    stop = threading.Event()
    events = engine.explain(recording, 4, stop=stop)
    assert next(event for event in events if isinstance(event, TokenExplained))
    stop.set()
    with pytest.raises(Stopped):
        list(events)
    assert text_of(reply(engine, greedy)[1]) == text_of(before)


async def test_a_reply_is_explained_and_made_again_over_the_pipe(
    engine: Engine, parted: Recording, smollm2_folder: Path, tmp_path: Path
) -> None:
    expected = [event for event in engine.explain(parted, 3) if isinstance(event, TokenExplained)]
    for event in expected[:3]:
        assert event_from_json(to_json(event)) == event
    client = EngineClient(log=tmp_path / "engine.log")
    try:
        async for _loading in client.load(str(smollm2_folder), 512):
            pass
        found = [event async for event in client.explain(parted, 3)]
        assert [event for event in found if isinstance(event, TokenExplained)] == expected
        replayed = [event async for event in client.replay(parted)][-1]
        assert isinstance(replayed, Replayed) and not replayed.differs
        with pytest.raises(InvalidSetting, match="another vocabulary"):
            async for _event in client.explain(replace(parted, reply=[10**6]), 3):
                pass
    finally:
        await client.close()
