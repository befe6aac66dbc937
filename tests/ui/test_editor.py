"""The draft in the user's own editor, in a real terminal: the app must leave it and come back."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ui.conftest import Opener

if sys.platform == "win32":
    pytest.skip("needs a pseudo terminal", allow_module_level=True)

import pty

ROOT = Path(__file__).parents[2]
F4 = b"\x1bOS"


class Terminal:
    """The app in a pseudo terminal, with an editor that is a shell script."""

    def __init__(self, home: Path, editor: str) -> None:
        self.home = home
        script = home / "editor.sh"
        script.write_text(f"#!/bin/sh\n{editor}\n")
        script.chmod(0o700)
        self.master, slave = pty.openpty()
        environment = {**os.environ, "LOCALCHAT_HOME": str(home), "EDITOR": str(script), "TERM": "xterm-256color"}
        environment.pop("VISUAL", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.ui.run_fake"],
            cwd=ROOT,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        self.output = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while data := os.read(self.master, 65536):
                self.output += data
        except OSError:
            return

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def draft(self) -> str:
        """The newest draft on disk."""
        try:
            with sqlite3.connect(self.home / "data" / "history.db", timeout=5) as history:
                found = history.execute("SELECT draft FROM conversations ORDER BY seq DESC LIMIT 1").fetchone()
        except sqlite3.OperationalError:  # not made yet
            return ""
        return str(found[0]) if found else ""

    def until(self, condition: Callable[[], object], what: str) -> None:
        for _ in range(1200):
            if condition():
                return
            time.sleep(0.05)
        raise AssertionError(f"never came true: {what}")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    opened = Terminal(tmp_path, request.param)
    yield opened
    opened.close()


@pytest.mark.parametrize("terminal", ['printf "改过的 %s" "$(cat "$1")" > "$1.new" && mv "$1.new" "$1"'], indirect=True)
def test_the_draft_goes_through_the_editor_and_the_app_goes_on(terminal: Terminal) -> None:
    terminal.until(lambda: b"Ask anything" in terminal.output, "the first frame")
    terminal.type(b"draft")
    terminal.until(lambda: terminal.draft() == "draft", "the draft is saved")
    terminal.type(F4)
    terminal.until(lambda: terminal.draft() == "改过的 draft", "the editor's text is the draft")
    terminal.type(b"!")
    terminal.until(lambda: terminal.draft() == "改过的 draft!", "typing goes on at its end")


@pytest.mark.parametrize("terminal", ['echo lost > "$1"; exit 1'], indirect=True)
def test_an_editor_that_is_left_with_an_error_changes_nothing(terminal: Terminal) -> None:
    terminal.until(lambda: b"Ask anything" in terminal.output, "the first frame")
    terminal.type(b"draft")
    terminal.until(lambda: terminal.draft() == "draft", "the draft is saved")
    terminal.type(F4)
    terminal.until(lambda: b"draft stays" in terminal.output, "the notice")
    terminal.type(b"!")
    terminal.until(lambda: terminal.draft() == "draft!", "the draft is as before")


async def test_without_an_editor_it_is_said_which_variable_names_one(
    open_desk: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    async with open_desk() as desk:
        await desk.write("draft")
        await desk.pilot.press("f4")
        await desk.until(lambda: desk.notices())
        assert "EDITOR" in desk.notices()[0]
        assert desk.screen.composer.text == "draft"
