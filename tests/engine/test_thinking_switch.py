"""A model that is told not to think: the real engine and command, with the template of a model that thinks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localchat.engine.beginning import encode_up_to
from localchat.engine.facade import Engine
from localchat.errors import InvalidSetting
from localchat.events import PromptFitted, ReplyDone
from localchat.messages import Message, ReplyOptions
from localchat.text.chat_text import ChatText, load_chat_text

QUESTION = [Message("user", "What is the capital of France?")]
CLOSED = "<think>\n\n</think>\n\n"


@pytest.fixture(scope="module")
def thinking_home(smollm2_folder: Path, shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with SmolLM2 in it, under the chat template of Qwen3, which uses the same control tokens."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "data/models/thinker"
    folder.mkdir(parents=True)
    for file in smollm2_folder.iterdir():
        (folder / file.name).symlink_to(file.resolve())
    (folder / "chat_template.jinja").unlink()
    source = (shared_dir / "oracles/templates/Qwen-Qwen3-0.6B.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").write_text(source, encoding="utf-8")
    return home


@pytest.fixture(scope="module")
def folder(thinking_home: Path) -> Path:
    return thinking_home / "data/models/thinker"


@pytest.fixture(scope="module")
def text(folder: Path) -> ChatText:
    return load_chat_text(folder)


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    loaded = Engine()
    assert loaded.load(folder, context_length=512).thinking_switch
    yield loaded
    loaded.unload()


def ask(engine: Engine, think: bool | None, prefill: str = "") -> tuple[PromptFitted, ReplyDone]:
    options = ReplyOptions({"temperature": 0.0}, 2, prefill=prefill, think=think)
    first, *_, last = engine.reply(QUESTION, options)
    assert isinstance(first, PromptFitted)
    assert isinstance(last, ReplyDone)
    return first, last


def test_a_reply_that_must_not_think_is_asked_for_behind_closed_thinking(engine: Engine, text: ChatText) -> None:
    usual, _done = ask(engine, None)
    thought, _done = ask(engine, True)
    at_once, _done = ask(engine, False)
    assert thought.prompt_tokens == usual.prompt_tokens
    assert at_once.prompt_tokens == usual.prompt_tokens + len(text.tokenizer.encode(CLOSED))
    again, _done = ask(engine, False)
    assert again.cached_tokens == again.prompt_tokens - 1


def test_a_reply_that_goes_on_follows_the_closed_thinking(text: ChatText) -> None:
    ids = encode_up_to(text, [], QUESTION, "Paris is", think=False)
    assert text.spell(ids).endswith(f"assistant\n{CLOSED}Paris is")


def test_thinking_that_is_there_was_switched_on(text: ChatText) -> None:
    ids = encode_up_to(text, [], QUESTION, "Paris", "A city.", think=False)
    assert text.spell(ids).endswith("assistant\n<think>\nA city.\n</think>\n\nParis")
    assert CLOSED not in text.spell(ids)


def test_a_model_without_the_switch_says_so(smollm2_folder: Path) -> None:
    engine = Engine()
    assert not engine.load(smollm2_folder, context_length=256).thinking_switch
    with pytest.raises(InvalidSetting, match="no switch"):
        ask(engine, False)
    ask(engine, None)


def run(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("LOCALCHAT_")}
    command = [sys.executable, "-m", "localchat", "ask", "--json", "-n", "2", "--temperature", "0", *arguments, "Hi"]
    environment = {**clean, "LOCALCHAT_HOME": str(home), **variables}
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False, timeout=300
    )


def test_ask_follows_the_flag_and_the_flag_goes_before_the_setting(thinking_home: Path, text: ChatText) -> None:
    by_setting = run(thinking_home, LOCALCHAT_THINKING="off")
    by_flag = run(thinking_home, "--thinking", LOCALCHAT_THINKING="off")
    without, usual = (json.loads(done.stdout)["prompt_tokens"] for done in (by_setting, by_flag))
    assert without == usual + len(text.tokenizer.encode(CLOSED))


def test_ask_says_in_a_sentence_that_a_model_has_no_switch(smollm2_home: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(smollm2_home / "data")
    model = str(smollm2_home / "data/models/smollm2-135m")
    refused = run(tmp_path, "-m", model, "--no-thinking", LOCALCHAT_DATA_DIR=str(tmp_path / "own"))
    assert refused.returncode == 1
    assert "has no switch for that" in refused.stderr
    assert "Traceback" not in refused.stderr
    ignored = run(tmp_path, "-m", model, LOCALCHAT_DATA_DIR=str(tmp_path / "own"), LOCALCHAT_THINKING="off")
    assert ignored.returncode == 0  # a setting is for all models, those that cannot be told included
