"""A private chat in a process of its own, at a terminal: its home is searched while it runs and after."""

from __future__ import annotations

import os
import select
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.ui.test_private import files_with

fcntl, pty, termios = (
    pytest.importorskip(name, reason="needs a POSIX terminal") for name in ("fcntl", "pty", "termios")
)

QUESTION = "hortensia-in-the-cellar"
ALT_N, CTRL_N, CTRL_Q = b"\x1bn", b"\x0e", b"\x11"
PATIENCE_S = 40


class Terminal:
    """The app with a pretended engine, typed at and read like a person would."""

    def __init__(self, home: Path) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        own = {key: value for key, value in os.environ.items() if not key.startswith("LOCALCHAT_")}
        own |= {"LOCALCHAT_HOME": str(home), "HOME": str(home), "TMPDIR": str(home / "tmp")}
        own |= {"TERM": "xterm-256color", "LANG": "C.UTF-8", "TEXTUAL_ANIMATIONS": "none"}
        (home / "tmp").mkdir(parents=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.ui.run_fake"], stdin=slave, stdout=slave, stderr=slave, env=own
        )
        os.close(slave)
        self._seen = b""

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def wait_for(self, text: str) -> None:
        """Until the terminal was sent this."""
        until = time.monotonic() + PATIENCE_S
        while text.encode() not in self._seen:
            assert time.monotonic() < until, f"never shown: {text}"
            self._read(0.1)
        self._seen = b""

    def end(self) -> int:
        until = time.monotonic() + PATIENCE_S
        while self.process.poll() is None and time.monotonic() < until:
            self._read(0.1)
        return self.process.wait(1)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _read(self, seconds: float) -> None:
        if select.select([self._master], [], [], seconds)[0]:
            try:
                self._seen += os.read(self._master, 65536)
            except OSError:  # the other end is gone
                time.sleep(seconds)


def test_a_private_chat_leaves_nothing_in_any_file(tmp_path: Path) -> None:
    home = tmp_path / "home"
    terminal = Terminal(home)
    try:
        terminal.wait_for("sk anything")
        terminal.press(b"an open question\r")
        terminal.wait_for(" tokens · ")
        terminal.press(ALT_N)
        terminal.wait_for("Private")
        terminal.press(QUESTION.encode() + b"\r")
        terminal.wait_for(" tokens · ")
        terminal.press(f"{QUESTION} as a draft".encode())
        terminal.wait_for("draft")
        time.sleep(1.0)  # drafts are saved after a pause
        assert files_with(home, "an open question")
        assert not files_with(home, QUESTION)
        terminal.press(CTRL_N + CTRL_Q)
        assert terminal.end() == 0
    finally:
        terminal.close()
    assert files_with(home, "an open question")
    assert not files_with(home, QUESTION)
