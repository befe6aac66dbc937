"""Replies of the real engine that are held to a form or a language: to their end, after thinking, again, and over the
pipe."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from localchat.constraint import Constraint
from localchat.engine.facade import Engine
from localchat.engine.masking import Masks, masked
from localchat.engine.process import reply_options
from localchat.errors import BadConstraint
from localchat.events import ReplyDone, TextDelta
from localchat.messages import Message, ReplyOptions
from localchat.recording import Recording, Replayed, ReplyRecorded, TokenChosen
from localchat.text.byte_letters import LETTER_OF_BYTE
from localchat.text.chat_template import ChatTemplate
from localchat.text.chat_text import ChatText, load_chat_text
from localchat.text.load import tokenizer_from_gguf
from localchat.text.scripts import Script, scripts

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "size": {"enum": ["small", "large"]}},
    "required": ["city", "size"],
    "additionalProperties": False,
}
CITY = Constraint("schema", json.dumps(SCHEMA))
QUESTION = [Message("user", "Name a city of France.")]
WILD = {"temperature": 2.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}


def answer(
    engine: Engine, options: ReplyOptions, messages: Sequence[Message] = QUESTION
) -> tuple[str, ReplyDone, Recording]:
    events = list(engine.reply(messages, options))
    (recorded,) = [event for event in events if isinstance(event, ReplyRecorded)]
    assert isinstance(events[-1], ReplyDone)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    return text, events[-1], Recording(**recorded.recording)


@pytest.mark.parametrize("seed", range(3))
def test_a_wild_reply_is_json_that_follows_the_schema_and_ends_by_itself(engine: Engine, seed: int) -> None:
    text, done, _recording = answer(engine, ReplyOptions({**WILD, "seed": seed}, 100, constraint=CITY))
    found = json.loads(text)
    assert done.finish_reason == "stop"
    assert list(found) == ["city", "size"] and found["size"] in ("small", "large")


def test_every_sampler_keeps_to_the_form(engine: Engine) -> None:
    letters = Constraint("regex", "[ab]{12}")
    for sampling in (
        {"temperature": 0.0},
        {"temperature": 0.0, "repetition_penalty": 1.5, "frequency_penalty": 1.0},
        {"temperature": 1.0, "top_k": 40, "top_p": 0.5, "repetition_penalty": 1.3},
        {"temperature": 1.0, "top_k": 0, "min_p": 0.2},
    ):
        text, done, _recording = answer(engine, ReplyOptions({**sampling, "seed": 1}, 40, constraint=letters))
        assert re.fullmatch("[ab]{12}", text) and done.finish_reason == "stop"


def test_a_held_reply_is_made_again_to_the_last_token(engine: Engine) -> None:
    for options in (
        ReplyOptions({**WILD, "seed": 5}, 60, constraint=CITY),
        ReplyOptions({**WILD, "seed": 6}, 12, reply_language="zh"),
    ):
        _text, _done, recording = answer(engine, options)
        kept = Recording.unpack(recording.pack())
        assert kept is not None and kept.masked == recording.masked != {}
        *_progress, replayed = engine.replay(kept)
        assert isinstance(replayed, Replayed)
        assert (replayed.differs, replayed.tokens) == (False, len(recording.reply))


def test_the_probabilities_are_those_of_the_masked_choice(engine: Engine) -> None:
    options = ReplyOptions({**WILD, "seed": 2}, 20, constraint=Constraint("regex", "yes|no"), probabilities=3)
    first = next(event for event in engine.reply(QUESTION, options) if isinstance(event, TokenChosen))
    assert first.chosen.probability > 10 * first.chosen.plain_probability > 0
    assert first.chosen.text in ("yes", "no", "y", "n", "ye")


def test_a_reply_that_goes_on_keeps_to_the_form_from_its_beginning(engine: Engine) -> None:
    options = ReplyOptions({"temperature": 0.0}, 60, prefill='{"city": "Lyon", "', constraint=CITY)
    text, _done, recording = answer(engine, options)
    assert json.loads('{"city": "Lyon", "' + text)["city"] == "Lyon"
    *_progress, replayed = engine.replay(recording)
    assert isinstance(replayed, Replayed) and not replayed.differs
    with pytest.raises(BadConstraint, match="beginning of the reply does not match"):
        answer(engine, ReplyOptions({}, 20, prefill="Certainly! ", constraint=CITY))


def test_a_constraint_that_cannot_be_followed_leaves_the_engine_as_it_was(engine: Engine) -> None:
    with pytest.raises(BadConstraint):
        answer(engine, ReplyOptions({}, 5, constraint=Constraint("schema", '{"type": "person"}')))
    text, _done, _recording = answer(engine, ReplyOptions({"temperature": 0.0}, 5))
    assert text


@pytest.mark.parametrize(
    ("language", "foreign"), [("zh", {Script.OTHER}), ("en", {Script.HAN, Script.EAST, Script.OTHER})]
)
def test_a_wild_reply_stays_in_its_script(engine: Engine, language: str, foreign: set[Script]) -> None:
    free, _done, _recording = answer(engine, ReplyOptions({**WILD, "seed": 3}, 24))
    held, _done, _recording = answer(engine, ReplyOptions({**WILD, "seed": 3}, 24, reply_language=language))
    assert held != free
    assert not scripts(re.sub('[“‘"「『《].*|```.*|`.*', "", held, flags=re.DOTALL)) & foreign


def test_options_cross_the_pipe_whole() -> None:
    for options in (ReplyOptions(stop=("a",), constraint=CITY, reply_language="en"), ReplyOptions()):
        arrived = reply_options(json.loads(json.dumps(asdict(options))))
        assert (arrived.constraint, arrived.reply_language) == (options.constraint, options.reply_language)
        assert arrived.stop == options.stop


# ---- thinking first


def test_a_language_is_held_from_where_the_answer_begins() -> None:
    tokens = [*(LETTER_OF_BYTE[byte] for byte in range(256)), "<|im_start|>", "<|im_end|>", "<think>"]
    vocabulary = {"model": "gpt2", "pre": "qwen2", "tokens": tokens, "token_type": [1] * 256 + [3, 3, 4], "merges": []}
    ids = {"eos_token_id": 257}
    tokenizer = tokenizer_from_gguf({f"tokenizer.ggml.{key}": value for key, value in (vocabulary | ids).items()})
    source = "{% for m in messages %}{{ m.content }}{% endfor %}<|im_start|>{# <think> </think> #}"
    text = ChatText(tokenizer, ChatTemplate(source, bos_token="", eos_token="<|im_end|>"))
    mask = Masks(text, tokenizer.vocab_size).begin({"language": "en", "quotes": []}, [256], 0)
    assert mask is not None
    han, opening = tokenizer.encode("中")[0], tokenizer.encode_after("<think>")[0]
    assert (allowed := mask.allowed()) is not None and allowed[opening] and not allowed[han]
    mask.accept(opening)
    assert mask.allowed() is None
    for token in tokenizer.encode_after("中</think>\n\n"):
        mask.accept(token)
    assert (allowed := mask.allowed()) is not None and not allowed[han]


@pytest.fixture(scope="module")
def thinker(smollm2_folder: Path, shared_dir: Path) -> ChatText:
    """SmolLM2's vocabulary under the chat template of Qwen3; the marks are ordinary text in it."""
    source = (shared_dir / "oracles/templates/Qwen-Qwen3-0.6B.jinja").read_text(encoding="utf-8")
    return ChatText(
        load_chat_text(smollm2_folder).tokenizer, ChatTemplate(source, bos_token="", eos_token="<|im_end|>")
    )


def refused_at(text: ChatText, prompt: str, reply: str, constraint: Constraint) -> str | None:
    """The text of the first token of a reply that its mask does not allow; None when there is none."""
    tokenizer = text.tokenizer
    options = ReplyOptions(constraint=constraint)
    mask = Masks(text, tokenizer.vocab_size).begin(masked(options, []), tokenizer.encode_with_specials(prompt), 0)
    assert mask is not None
    for token in tokenizer.encode_after(reply):
        allowed = mask.allowed()
        if allowed is not None and not allowed[token]:
            return tokenizer.token_bytes(token).decode()
        mask.accept(token)
    return None


def test_thinking_is_free_and_the_answer_is_not(thinker: ChatText) -> None:
    turn, word = "<|im_start|>assistant\n", Constraint("regex", "[0-9]+")
    assert refused_at(thinker, turn, "<think>\nWell, two and two.\n</think>\n\n4", word) is None
    assert refused_at(thinker, turn, "4", word) is None
    assert refused_at(thinker, turn, "Four", word) == "Four"
    assert refused_at(thinker, turn, "<think>\nWell.\n</think>\n\nIt is 4", word) == "It"
    assert refused_at(thinker, turn + "<think>\n", "Two and two.\n</think>\n\n4", word) is None
    assert refused_at(thinker, turn + "<think>\n", "Two.\n</think>\n\nFour", word) == "Four"
    assert refused_at(thinker, turn, "<think>\n\n</think>\n\n\n\n\n\n4", word) is not None
