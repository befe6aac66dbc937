"""`localchat write` as people and editors use it, with a model that corrects two words."""

from __future__ import annotations

import io
import json
import os
import pty
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from localchat.commands.app import run
from localchat.commands.edge import guarded
from localchat.events import Event, ReplyDone, TextDelta
from localchat.messages import Message, ReplyOptions
from tests.ui.fake_engine import INFO

DONE = ReplyDone("stop", 1, 0, 1, 0, 0.0, 0.0, 0.0, 2, 8192, 0, {})


class Corrector:
    """An engine that knows two mistakes; it is stopped before its `stops_at`th reply."""

    asked: list[Sequence[Message]]
    stops_at = 99

    def __init__(self) -> None:
        Corrector.asked = []

    def load(self, *_arguments: Any, **_more: Any) -> object:
        return INFO

    def reply(self, messages: Sequence[Message], _options: ReplyOptions) -> Iterator[Event]:
        Corrector.asked.append(messages)
        if len(Corrector.asked) == Corrector.stops_at:
            raise KeyboardInterrupt
        text = messages[-1].content.rsplit("\n\n", 1)[-1]
        yield TextDelta(text.replace("secnd", "second").replace("他门", "他们"), 1, 1.0)
        yield DONE


@pytest.fixture(autouse=True)
def engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("localchat.engine.facade.Engine", Corrector)
    monkeypatch.setattr(Corrector, "stops_at", 99)
    monkeypatch.setattr("localchat.commands.write.chosen_model", lambda _wanted: Path("tiny"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    return home


TEXT = "The secnd line.\r\n\r\n今天他门来了。\r\n\r\nNothing is wrong here, nothing.".encode("gb18030")
RIGHT = TEXT.replace(b"secnd", b"second").replace("他门".encode("gb18030"), "他们".encode("gb18030"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT)
    return path


def status(*arguments: str) -> int:
    return guarded(lambda: run(["write", *arguments]), debug=False)


def given(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_filter_keeps_the_encoding_and_the_line_ends(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    given(monkeypatch, TEXT)
    assert status("proofread", "-") == 0
    assert capfdbinary.readouterr().out == RIGHT


def test_in_place_changes_the_file_and_nothing_else_in_it(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert status("proofread", str(file), "--in-place") == 0
    assert file.read_bytes() == RIGHT
    assert capfd.readouterr().out == ""


def test_a_diff_leaves_the_file_and_marks_words_and_characters(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert status("proofread", str(file), "--diff") == 0
    out = capfd.readouterr().out
    assert "The [-secnd-]{+second+} line." in out
    assert "今天他[-门-]{+们+}来了。" in out
    assert "Nothing is wrong here, nothing." in out
    assert file.read_bytes() == TEXT


def test_json_says_where_each_change_is(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert status("proofread", str(file), "--json") == 0
    answer = json.loads(capfd.readouterr().out)
    assert set(answer) == {"action", "model", "result", "text", "changes", "left", "stopped"}
    assert answer["text"] == RIGHT.decode("gb18030")
    assert answer["changes"] == [
        {"start": 4, "end": 9, "old": "secnd", "new": "second"},
        {"start": 22, "end": 23, "old": "门", "new": "们"},
    ]
    assert file.read_bytes() == TEXT


def test_a_stop_in_the_middle_leaves_the_file_as_it_was(
    file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Corrector, "stops_at", 2)
    assert status("proofread", str(file), "--in-place") == 130
    assert file.read_bytes() == TEXT
    assert "Stopped" in capfd.readouterr().err


def test_a_stop_in_the_middle_still_shows_what_is_done(
    file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Corrector, "stops_at", 2)
    assert status("proofread", str(file), "--diff") == 130
    seen = capfd.readouterr().out
    assert "{+second+}" in seen
    assert "{+们+}" not in seen


def test_answers_that_are_not_taken_are_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    given(monkeypatch, "这家图书馆每周一都不开门，请大家周二再来还书。\n".encode())
    assert status("translate") == 0
    seen = capfd.readouterr()
    assert seen.out == "这家图书馆每周一都不开门，请大家周二再来还书。\n"
    assert "1 of 1 parts stays as it is: the answer is in another language" in seen.err


def test_when_nothing_came_of_it_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    given(monkeypatch, "这家图书馆每周一都不开门，请大家周二再来还书。\n".encode())
    assert status("summarise", "--to", "en") == 1
    assert "Nothing came of it" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["profread", "FILE"], 1, "Did you mean proofread?"),
        (["proofread", "FILE", "--tone", "polite"], 1, "no variable tone"),
        (["summarise", "FILE", "--in-place"], 1, "a text of its own"),
        (["proofread", "--in-place"], 2, "--in-place needs a file"),
        (["proofread", "FILE", "--interactive", "--json"], 2, "exclude each other"),
        (["proofread", "FILE", "--set", "x"], 2, "NAME=VALUE"),
        (["proofread", "/no/such/file"], 1, "/no/such/file"),
        (["proofread", "-"], 1, "empty"),
    ],
)
def test_mistakes_are_said_before_a_model_is_loaded(
    file: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int, sentence: str
) -> None:
    Corrector.asked = []
    assert status(*(str(file) if argument == "FILE" else argument for argument in arguments)) == code
    assert sentence in capfd.readouterr().err
    assert Corrector.asked == []


def test_without_an_action_all_are_listed_with_ones_own(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (home / "config").mkdir(parents=True)
    (home / "config/actions.toml").write_text('[pirate]\ndescription = "Arr"\nprompt = "Arr!"\n', encoding="utf-8")
    assert status() == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines][:4] == ["rewrite", "shorten", "expand", "proofread"]
    assert lines[-1].split() == ["pirate", "Arr", "(yours)"]


# ---- at a terminal


def at_terminal(file: Path, typed: str, *options: str) -> str:
    """Run the command in a process of its own on a pseudo-terminal, with these answers; returns what was shown."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm-256color"
        code = 1
        try:
            sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
            sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
            sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True)
            code = status("proofread", str(file), "--interactive", *options)
        finally:
            os._exit(code)
    os.write(terminal, typed.encode())
    shown = b""
    try:
        while chunk := os.read(terminal, 4096):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    os.waitpid(child, 0)
    os.close(terminal)
    return shown.decode()


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        ("y\ny\n", RIGHT),
        ("n\nn\n", TEXT),
        ("n\ny\n", RIGHT.replace(b"second", b"secnd")),
        ("y\nq\n", TEXT.replace(b"secnd", b"second")),
        ("a\n", RIGHT),
        ("q\n", TEXT),
        ("y\nu\nn\nn\n", TEXT),
        ("what\nn\nn\n", TEXT),
    ],
)
def test_each_change_is_asked_about(file: Path, typed: str, left: bytes) -> None:
    before = file.stat().st_ino
    shown = at_terminal(file, typed, "--in-place")
    assert "1/2" in shown
    assert file.read_bytes() == left
    assert (file.stat().st_ino == before) == (left == TEXT)
