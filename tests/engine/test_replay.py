"""Replies that are made again: identical, or different from one token on that is found."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from localchat.engine.digests import weights_digest
from localchat.engine.facade import Engine
from localchat.errors import InvalidSetting
from localchat.events import Event, PromptProgress, ReplyDone, TextDelta
from localchat.messages import Message, ReplyOptions
from localchat.recording import CIRCUMSTANCES, Recording, Replayed, ReplyRecorded, changed

LIGHTHOUSE = Message("user", "Tell me a story about a lighthouse.")
DRAWN = {"temperature": 1.2, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 11}


def answer(engine: Engine, options: ReplyOptions, messages: Sequence[Message] = (LIGHTHOUSE,)) -> tuple[str, Recording]:
    events: list[Event] = list(engine.reply(messages, options))
    (recorded,) = [event for event in events if isinstance(event, ReplyRecorded)]
    assert isinstance(events[-1], ReplyDone)
    return "".join(e.text for e in events if isinstance(e, TextDelta)), Recording(**recorded.recording)


def again(engine: Engine, recording: Recording) -> Replayed:
    *progress, replayed = engine.replay(recording)
    assert progress and all(isinstance(event, PromptProgress) for event in progress)
    assert isinstance(replayed, Replayed)
    return replayed


def test_a_reply_drawn_at_random_is_made_again_to_the_last_token(engine: Engine) -> None:
    _text, recording = answer(engine, ReplyOptions(DRAWN, 40))
    assert len(recording.reply) == 40
    _other, _recording = answer(engine, ReplyOptions({"seed": 3}, 5), [Message("user", "Something else.")])
    replayed = again(engine, recording)
    assert (replayed.differs, replayed.tokens) == (False, 40)
    assert changed(recording.circumstances, replayed.circumstances) == []


def test_a_reply_is_the_same_when_its_prompt_is_read_anew(engine: Engine, smollm2_folder: Path) -> None:
    """What the cache held when it was written was read in other pieces, or written token by token."""
    text, first = answer(engine, ReplyOptions(DRAWN, 20))
    second = Message("user", "And then?")
    _text, recording = answer(engine, ReplyOptions(DRAWN, 20), [LIGHTHOUSE, Message("assistant", text), second])
    fresh = Engine()
    fresh.load(smollm2_folder, context_length=512)
    assert not again(fresh, recording).differs
    fresh.unload()
    fresh.load(smollm2_folder, context_length=512)
    assert not again(fresh, first).differs


def test_a_seed_that_was_not_chosen_is_recorded(engine: Engine) -> None:
    _text, recording = answer(engine, ReplyOptions({"temperature": 1.5}, 20))
    assert isinstance(recording.sampling["seed"], int)
    assert not again(engine, recording).differs


def test_the_end_of_a_reply_is_compared_too(engine: Engine) -> None:
    question = [Message("user", "What is 1+1? Answer with one word.")]
    _text, recording = answer(engine, ReplyOptions({"temperature": 0.0}, 60), question)
    assert recording.ended
    assert again(engine, recording).tokens == len(recording.reply)
    earlier = again(engine, replace(recording, reply=recording.reply[:1]))
    assert (earlier.differs, earlier.tokens, earlier.then, earlier.chosen_then) == (True, 1, "", None)
    later = again(engine, replace(recording, reply=[*recording.reply, 504]))
    assert (later.differs, later.tokens, later.now) == (True, len(recording.reply), "")
    assert later.chosen_now is not None and later.chosen_now.text == "<|im_end|>"


@pytest.mark.parametrize("options", [{"stop": (" the",)}, {"max_tokens": 3}])
def test_a_reply_that_was_cut_is_compared_up_to_there(engine: Engine, options: dict[str, object]) -> None:
    _text, recording = answer(engine, replace(ReplyOptions(DRAWN, 40), **options))  # type: ignore[arg-type]
    assert not recording.ended
    assert again(engine, recording).tokens == len(recording.reply)


def test_a_reply_that_was_stopped_is_recorded(engine: Engine) -> None:
    stop = threading.Event()
    recordings = []
    for event in engine.reply([LIGHTHOUSE], ReplyOptions(DRAWN, 40), stop=stop):
        if isinstance(event, TextDelta) and event.tokens == 5:
            stop.set()
        if isinstance(event, ReplyRecorded):
            recordings.append(Recording(**event.recording))
    assert len(recordings[0].reply) == 5 and not recordings[0].ended
    assert not again(engine, recordings[0]).differs


def test_a_reply_that_went_on_is_made_again_from_there(engine: Engine) -> None:
    _text, recording = answer(engine, ReplyOptions(DRAWN, 10, prefill="Once upon a time, a whale"))
    assert not again(engine, recording).differs


def test_the_first_token_that_differs_is_shown_with_both_texts(engine: Engine) -> None:
    text, recording = answer(engine, ReplyOptions({"temperature": 0.0}, 30))
    wrong = [*recording.reply[:9], 504, *recording.reply[10:]]
    replayed = again(engine, replace(recording, reply=wrong))
    assert (replayed.differs, replayed.tokens) == (True, 9)
    assert text.startswith(replayed.same + replayed.now)
    assert replayed.then.startswith("The") and not replayed.now.startswith("The")
    assert replayed.chosen_then is not None and replayed.chosen_now is not None
    assert (replayed.chosen_then.text, replayed.chosen_then.probability) == ("The", 0.0)
    assert replayed.chosen_now.probability == 1.0
    assert replayed.chosen_now.plain_probability > replayed.chosen_then.plain_probability > 0


def test_another_seed_is_noticed(engine: Engine) -> None:
    _text, recording = answer(engine, ReplyOptions(DRAWN, 40))
    assert again(engine, replace(recording, sampling={**recording.sampling, "seed": 12})).differs


def test_the_conversation_goes_on_after_a_replay(engine: Engine) -> None:
    options = ReplyOptions({"temperature": 0.0}, 12)
    text, recording = answer(engine, options)
    again(engine, recording)
    assert answer(engine, options)[0] == text


def test_a_replay_can_be_stopped(engine: Engine) -> None:
    from localchat.errors import Stopped

    _text, recording = answer(engine, ReplyOptions(DRAWN, 10))
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        list(engine.replay(recording, stop=stop))


def test_a_reply_of_another_vocabulary_or_too_long_is_refused(engine: Engine) -> None:
    _text, recording = answer(engine, ReplyOptions(DRAWN, 4))
    with pytest.raises(InvalidSetting, match="another vocabulary"):
        list(engine.replay(replace(recording, reply=[10**6])))
    with pytest.raises(InvalidSetting, match="has room for 512"):
        list(engine.replay(replace(recording, prompt=[1] * 600)))


def test_every_circumstance_is_known(engine: Engine) -> None:
    _text, recording = answer(engine, ReplyOptions(DRAWN, 2))
    assert set(recording.circumstances) == set(CIRCUMSTANCES)
    assert all(recording.circumstances.values())


def test_what_changed_is_named_and_what_is_not_known_is_not() -> None:
    then = {"weights": "a", "kernel": "avx512", "torch": "", "device": "cpu"}
    now = {"weights": "b", "kernel": "avx512", "torch": "2.13", "device": "cuda"}
    assert changed(then, now) == ["weights", "device"]


def test_a_model_folder_knows_the_digest_of_its_weights(smollm2_folder: Path, tmp_path: Path) -> None:
    content = (smollm2_folder / "model.safetensors").read_bytes()
    assert weights_digest(smollm2_folder) == hashlib.sha256(content).hexdigest()
    (tmp_path / "one.gguf").write_bytes(content[:100])
    assert weights_digest(tmp_path / "one.gguf") == hashlib.sha256(content[:100]).hexdigest()


def test_the_digest_of_several_files_depends_on_each(tmp_path: Path) -> None:
    seen = set()
    for contents in ((b"a", b"b"), (b"a", b"c"), (b"b", b"a")):
        for name, content in zip(("1.safetensors", "2.safetensors"), contents, strict=True):
            (tmp_path / name).write_bytes(content)
        seen.add(weights_digest(tmp_path))
    assert len(seen) == 3
