"""A window of its own process, for the tests of crashes and company. Run with a verb and a path.

It prints a line after each thing that it has saved, so that a test knows what must not be lost.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from localchat.history.store import HistoryStore

ANSWER = "".join(f"{number} 字\n" for number in range(4000))
PIECE = 37  # characters between two checkpoints; prime, so that they end anywhere in a line


def start(verb: str, path: Path) -> subprocess.Popen[str]:
    """The window, with its lines on `stdout`; it waits for a line on `stdin` before it opens the history."""
    command = [sys.executable, __file__, verb, str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")


def go(window: subprocess.Popen[str]) -> None:
    assert window.stdin is not None
    window.stdin.write("go\n")
    window.stdin.flush()


def read_line(window: subprocess.Popen[str]) -> str:
    assert window.stdout is not None
    return window.stdout.readline().strip()


def end(window: subprocess.Popen[str], *, kill: bool = False) -> int:
    """Its exit status, after kill -9 if asked."""
    if kill:
        window.kill()
    status = window.wait()
    for stream in (window.stdin, window.stdout):
        if stream is not None:
            stream.close()
    return status


def _say(text: object) -> None:
    print(text, flush=True)


def _converse(path: Path, turns: int = 25) -> None:
    """Talk in a conversation of its own and add to the oldest one, which all windows share."""
    with HistoryStore(path) as store:
        own = store.create_conversation(title="own")
        _say(own.id)
        shared = next(c for c in store.conversations() if c.title == "shared")
        parent = None
        for turn in range(turns):
            question = store.add_message(own.id, parent, "user", f"question {turn}")
            reply = store.begin_reply(own.id, question.id, "m")
            for length in (1, 2, 3):
                store.checkpoint(reply, f"answer {turn} "[: length * 3])
            parent = store.finish(reply, f"answer {turn}").id
            store.add_message(shared.id, None, "user", f"{own.id} {turn}")
            store.set_draft(own.id, f"draft {turn}")


def _grow(path: Path) -> None:
    """Write one reply, checkpoint by checkpoint, and say how many characters are saved."""
    with HistoryStore(path) as store:
        conversation = store.create_conversation()
        question = store.add_message(conversation.id, None, "user", "Count!")
        reply = store.begin_reply(conversation.id, question.id, "m")
        _say(reply)
        for length in range(PIECE, len(ANSWER), PIECE):
            store.checkpoint(reply, ANSWER[:length])
            _say(length)


def _hold(path: Path) -> None:
    """Begin a reply and go on living until a line comes."""
    with HistoryStore(path) as store:
        conversation = store.create_conversation()
        reply = store.begin_reply(conversation.id, None, "m")
        store.checkpoint(reply, "half")
        _say(reply)
        sys.stdin.readline()
        store.finish(reply, "half and half")


def _open_many(folder: Path) -> None:
    """Make one history after the other."""
    for number in range(1000):
        HistoryStore(folder / f"{number}.db").close()
        _say(number)


if __name__ == "__main__":
    sys.stdin.readline()
    {"converse": _converse, "grow": _grow, "hold": _hold, "open-many": _open_many}[sys.argv[1]](Path(sys.argv[2]))
