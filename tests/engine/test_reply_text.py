"""Replies of a model that thinks before it answers, with the real small model under templates that make it do so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from localchat.engine.beginning import encode_up_to
from localchat.engine.facade import Engine
from localchat.engine.reply_text import ReplyText
from localchat.events import Event, ReplyDone, TextDelta
from localchat.messages import Message, ReplyOptions
from localchat.recording import Recording, ReplyRecorded, TokenExplained
from localchat.text.chat_text import ChatText, load_chat_text

QUESTION = [Message("user", "What is the capital of France?")]
OPENS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{{ '<|im_start|>assistant\n<think>\n' }}{# </think> #}"
)


@pytest.fixture(scope="module")
def thinker(smollm2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model with a template that opens the thinking."""
    folder = tmp_path_factory.mktemp("models") / "thinker"
    shutil.copytree(smollm2_folder, folder, copy_function=lambda source, target: Path(target).symlink_to(source))
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    (folder / "chat_template.jinja").write_text(OPENS)
    return folder


@pytest.fixture(scope="module")
def text(thinker: Path) -> ChatText:
    return load_chat_text(thinker)


@pytest.fixture(scope="module")
def engine(thinker: Path) -> Iterator[Engine]:
    loaded = Engine()
    loaded.load(thinker, context_length=512)
    yield loaded
    loaded.unload()


def parts(events: Sequence[Event]) -> tuple[str, str]:
    deltas = [event for event in events if isinstance(event, TextDelta)]
    return "".join(d.text for d in deltas if d.thinking), "".join(d.text for d in deltas if not d.thinking)


def greedy(tokens: int, **options: str) -> ReplyOptions:
    return ReplyOptions({"temperature": 0.0}, tokens, **options)  # type: ignore[arg-type]


def test_a_reply_to_a_prompt_that_opens_thinking_is_thinking_until_it_is_closed(engine: Engine) -> None:
    events = list(engine.reply(QUESTION, greedy(12)))
    done = events[-1]
    assert isinstance(done, ReplyDone)
    thinking, answer = parts(events)
    assert thinking and not answer
    assert done.thinking_tokens == done.completion_tokens
    assert 0 < done.thinking_seconds < 600


def test_a_given_beginning_ends_the_thinking(engine: Engine) -> None:
    events = list(engine.reply(QUESTION, greedy(6, prefill="In one word, it is called")))
    thinking, answer = parts(events)
    assert answer and not thinking


def test_what_was_thought_is_gone_on_with(engine: Engine, text: ChatText) -> None:
    prompt = text.encode(QUESTION)
    ids = encode_up_to(text, [], QUESTION, "", "The capital is")
    assert text.spell(ids[len(prompt) :]) == "The capital is"
    ids = encode_up_to(text, [], QUESTION, "Well,", "<|im_end|> it")
    assert text.spell(ids[len(prompt) :]) == "<|im_end|> it\n</think>\n\nWell,"
    assert not text.tokenizer.control_ids & set(ids[len(prompt) :])
    thinking, answer = parts(list(engine.reply(QUESTION, greedy(4, thinking="The capital of France is"))))
    assert thinking and not answer


def test_thinking_and_answer_come_apart_token_by_token(text: ChatText) -> None:
    reply = ReplyText(text, ["STOP"], opened=True)
    ids = text.tokenizer.encode("Hm, 法国.\n</think>\n\nParis. STOP and more")
    shown = [part for token in ids if not reply.ended for part in reply.push(token)] + reply.rest()
    assert "".join(part.text for part in shown if part.thinking) == "Hm, 法国."
    assert "".join(part.text for part in shown if not part.thinking) == "Paris. "
    assert reply.ended
    assert reply.thinking_tokens == len(text.tokenizer.encode("Hm, 法国.\n</think>"))


def test_a_stop_string_does_not_end_thinking(text: ChatText) -> None:
    reply = ReplyText(text, ["STOP"], opened=True)
    shown = [part for token in text.tokenizer.encode("do not STOP yet") for part in reply.push(token)] + reply.rest()
    assert "".join(part.text for part in shown) == "do not STOP yet"
    assert not reply.ended


def test_tokens_that_are_thought_are_told_from_the_answer_when_they_are_explained(
    engine: Engine, text: ChatText
) -> None:
    begun = text.tokenizer.encode("France is a country.\n</think>\n\nIt is")
    line = [*text.encode(QUESTION), *begun]
    events = list(engine.reply([], ReplyOptions({"temperature": 0.0}, 6, line=line, begun=len(begun))))
    thinking, answer = parts(events)
    assert thinking == "France is a country." and answer.startswith("It is")
    recording = Recording.of(next(event for event in events if isinstance(event, ReplyRecorded)))
    tokens = [event for event in engine.explain(recording, 2) if isinstance(event, TokenExplained)]
    thought = "".join(token.text for token in tokens if token.thinking)
    said = "".join(token.text for token in tokens if not token.thinking)
    assert thought.startswith("France is a country.") and "</think" in thought
    assert said.strip().startswith("It is") and said.strip().removeprefix("It is") == answer.removeprefix("It is")


def test_another_token_within_the_thinking_lets_the_model_think_on_from_there(engine: Engine, text: ChatText) -> None:
    begun = text.tokenizer.encode("The user asks")
    line = [*text.encode(QUESTION), *begun]
    thinking, answer = parts(list(engine.reply([], ReplyOptions({"temperature": 0.0}, 4, line=line, begun=len(begun)))))
    assert thinking.startswith("The user asks") and len(thinking) > len("The user asks") and not answer
