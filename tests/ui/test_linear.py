"""The conversation as plain lines: everything in the order in which it happens, and every command by its name."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localchat.config import Config, load_config
from localchat.errors import NotEnoughMemory
from localchat.history.store import HistoryStore
from localchat.ui.app_looks import speak
from localchat.ui.linear import LinearChat
from localchat.ui.linear_commands import COMMANDS
from localchat.ui.linear_input import Keyboard
from tests.ui.conftest import LARGER, TINY, FakeShelf
from tests.ui.fake_engine import FakeEngine, Script


class Lines(Keyboard):
    """A keyboard on which these lines are typed. A reply is stopped when the test says so."""

    def __init__(self, lines: list[str], when: Callable[[], bool] = lambda: False) -> None:
        super().__init__()
        self.prompts: list[str] = []
        self._lines = lines
        self._when = when

    def read(self, prompt: str) -> str | None:
        self.prompts.append(prompt)
        return self._lines.pop(0) if self._lines else None

    @contextlib.contextmanager
    def stops(self, stop: Callable[[], None]) -> Iterator[None]:
        async def watch() -> None:
            while not self._when():
                await asyncio.sleep(0.001)
            stop()

        task = asyncio.get_running_loop().create_task(watch())
        yield
        task.cancel()


async def talk(
    store: HistoryStore, *lines: str, engine: FakeEngine | None = None, config: Config | None = None, stop: str = ""
) -> str:
    """What is written when these lines are typed."""
    out = io.StringIO()
    keyboard = Lines(list(lines), when=lambda: bool(stop) and stop in out.getvalue())
    shelf = FakeShelf(TINY, offers=(LARGER,))
    chat = LinearChat(engine or FakeEngine(), store, config or Config(), shelf=shelf, keyboard=keyboard, out=out)
    await asyncio.wait_for(chat.run([]), 20)
    return out.getvalue()


async def test_a_question_and_its_reply_are_lines_and_both_are_kept(store: HistoryStore) -> None:
    engine = FakeEngine(Script(["Hel", "lo", "\x1b[31m", " 你好\n", "there."]))
    said = await talk(store, "Hi", engine=engine)
    lines = said.splitlines()
    assert lines[1] == "(Loading tiny)"
    assert lines[2] == "(tiny is ready: int4, 8192 tokens of context.)"
    assert lines[3:5] == ["tiny: Hello[31m 你好", "there."]  # the control character is gone
    assert re.fullmatch(r"\(5 tokens · [\d.]+ s · 84 tok/s\)", lines[5])
    (chat,) = store.conversations()
    assert [(m.role, m.content) for m in store.branch(chat.id)] == [
        ("user", "Hi"),
        ("assistant", "Hello\x1b[31m 你好\nthere."),
    ]


async def test_nothing_is_drawn_over_and_nothing_is_said_by_colour(store: HistoryStore) -> None:
    said = await talk(store, "Hi", "/help", "/chats", "/settings", "/again", engine=FakeEngine(load_s=0.1))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f]", said)


async def test_a_reply_is_stopped_and_what_was_written_stays(store: HistoryStore) -> None:
    engine = FakeEngine(Script(["word "] * 1000, pause_s=0.002))
    said = await talk(store, "Hi", engine=engine, stop="word word word")
    assert "(stopped)" in said or "· stopped)" in said
    assert 3 <= said.count("word") < 1000
    (chat,) = store.conversations()
    assert store.branch(chat.id)[-1].status == "stopped"


async def test_every_command_answers_something(store: HistoryStore) -> None:
    for command, (argument, _explanation) in COMMANDS.items():
        said = await talk(store, "Hi", f"/{command} {'x' if argument else ''}".strip())
        assert "There is no command" not in said, command
        assert command == "quit" or len(said.splitlines()) > 5, command


async def test_an_unknown_command_is_said_and_not_sent(store: HistoryStore) -> None:
    engine = FakeEngine()
    said = await talk(store, "/hepl", "//a path", engine=engine)
    assert "There is no command /hepl; /help lists them." in said
    assert [messages[-1].content for messages in engine.asked] == ["/a path"]


async def test_chats_are_listed_found_opened_read_and_deleted(store: HistoryStore) -> None:
    for text in ("写一首关于春天的诗", "Plan the week"):
        await talk(store, text)
    said = await talk(store, "/chats", "/chats 春天", "/open 1", "/read", "/delete", "/undelete", "/open 7")
    assert "1. Plan the week" in said
    assert "2. 写一首关于春天的诗" in said
    assert "“写一首关于春天的诗” is open.\n2 messages.\nYou: 写一首关于春天的诗\n" in said
    assert "“写一首关于春天的诗” was deleted." in said
    assert "Say the number of a chat" in said
    assert len(store.conversations()) == 2


async def test_a_private_chat_is_not_kept(store: HistoryStore) -> None:
    said = await talk(store, "/private", "Secret", "/read")
    assert "You: Secret" in said
    assert store.conversations() == []


async def test_settings_are_changed_by_name_and_mistakes_are_named(store: HistoryStore) -> None:
    engine = FakeEngine()
    lines = ("/set temperature 0.2", "/set temperature 9", "/set colour red", "/set titles no", "/set top_k", "Hi")
    said = await talk(store, *lines, engine=engine, config=Config(sampling={"top_k": 3}))
    assert "temperature is 0.2 now." in said
    assert "! temperature must be a number from 0 to 5." in said
    assert "There is no setting colour" in said
    assert "titles is no now." in said
    assert engine.options[-1].sampling == {"temperature": 0.2}
    assert load_config().sampling == {"temperature": 0.2}
    assert load_config().titles is False


async def test_the_system_prompt_and_an_edited_question_reach_the_model(store: HistoryStore) -> None:
    engine = FakeEngine()
    await talk(store, "Hi", "/system Be brief.", "/edit Hello", "/again", engine=engine)
    assert [message.content for message in engine.asked[-1]] == ["Be brief.", "Hello"]
    assert len(engine.asked) == 3


async def test_a_model_that_cannot_be_loaded_is_said_and_the_question_is_kept(store: HistoryStore) -> None:
    engine = FakeEngine()
    engine.load_error = NotEnoughMemory("tiny needs 45 GB.", "Close other programs.")
    said = await talk(store, "Hi", engine=engine)
    assert "tiny needs 45 GB. Close other programs." in said
    (chat,) = store.conversations()
    assert store.branch(chat.id)[0].content == "Hi"


async def test_it_speaks_chinese(store: HistoryStore) -> None:
    speak("zh")
    try:
        said = await talk(store, "你好", "/help")
    finally:
        speak("en")
    assert "（正在载入 tiny）" in said or "(正在载入 tiny)" in said
    assert "/chats [词语]" in said


def test_lines_go_on_after_a_backslash_and_end_with_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["one\\", "two", "last\\"])

    def line(_prompt: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", line)
    keyboard = Keyboard()
    assert keyboard.read("You: ") == "one\ntwo"
    assert keyboard.read("You: ") == "last"
    assert keyboard.read("You: ") is None


PROGRAM = """
import asyncio
from pathlib import Path
from localchat.config import Config
from localchat.history.store import HistoryStore
from localchat.paths import history_file
from localchat.ui.linear import LinearChat
from localchat.ui.model_shelf import ModelChoice, ModelShelf
from tests.ui.fake_engine import FakeEngine, Script

class Shelf(ModelShelf):
    def to_start(self, wanted):
        return ModelChoice("tiny", "Tiny", "int4", 1, 1, path=Path("/nowhere"))

engine = FakeEngine(Script(["word "] * 100000, pause_s=0.005))
asyncio.run(LinearChat(engine, HistoryStore(history_file()), Config(), shelf=Shelf()).run([]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a pseudo-terminal")
@pytest.mark.parametrize("key", [b"\x1b", b"\x03"])
def test_on_a_terminal_escape_and_ctrl_c_stop_a_reply_and_typing_ahead_is_kept(home: Path, key: bytes) -> None:
    master, slave = pty.openpty()
    environment = {**os.environ, "LOCALCHAT_HOME": str(home), "TERM": "dumb"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
    )
    os.close(slave)
    try:
        heard = _until(master, "You: ")
        os.write(master, b"Hi\n")
        heard = _until(master, "word word word")
        os.write(master, b"/quit")
        time.sleep(0.05)
        if key == b"\x03":
            process.send_signal(signal.SIGINT)
        else:
            os.write(master, key)
        heard = _until(master, "You: ")
        assert "stopped)" in heard
        os.write(master, b"\n")
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)


def _until(master: int, words: str) -> str:
    heard = ""
    while words not in heard:
        ready, _, _ = select.select([master], [], [], 30)
        assert ready, heard
        heard += os.read(master, 4096).decode(errors="replace")
    return heard
