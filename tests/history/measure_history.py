"""How long a large history takes to open, to list and to search. Run by hand:

    python -m tests.history.measure_history [--conversations 1000] [--messages 100000] [--keep FOLDER]

The messages are pieces of the calibration texts, half of them Chinese. On a busy machine, the time of the processor
says what an idle one would take.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from localchat.history.migrations import MIGRATIONS, migrate
from localchat.history.store import HistoryStore
from localchat.ui.listing import Listing
from localchat.ui.private import PrivateChats

TEXTS = Path(__file__).parents[2] / "assets" / "calibration"
SEARCHES = (
    "的", "我", "山", "我们", "时间", "不知道", "中国人民", "。",
    "a", "th", "wa", "the", "people", "government", "water people", "我们 时间", "of the", "zzzz",
)  # fmt: skip


def fill(path: Path, conversations: int, messages: int) -> None:
    """A history as the first release would have left it: without an index."""
    chance = random.Random(1)
    texts = [(TEXTS / name).read_text(encoding="utf-8") for name in ("english.txt", "chinese.txt")]
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, MIGRATIONS[:1])
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN")
    now = time.time()
    each = messages // conversations
    for chat in range(conversations):
        at = now - (conversations - chat) * 7200
        ids = [f"{chat:06d}{number:06d}" for number in range(each)]
        language = texts[chat % 2]
        begin = chance.randrange(len(language) - 60)
        title = " ".join(language[begin : begin + 30].split()) or "untitled"
        connection.execute(
            "INSERT INTO conversations (id, title, created_at, updated_at, leaf_id) VALUES (?, ?, ?, ?, ?)",
            (f"c{chat}", title, at, at, ids[-1]),
        )
        for number, message_id in enumerate(ids):
            text = texts[chat % 2]
            length = chance.randint(20, 100) if number % 2 == 0 else chance.randint(100, 600)
            start = chance.randrange(max(1, len(text) - length))
            connection.execute(
                "INSERT INTO messages (id, conversation_id, parent_id, role, content, status, created_at)"
                " VALUES (?, ?, ?, ?, ?, 'complete', ?)",
                (
                    message_id,
                    f"c{chat}",
                    ids[number - 1] if number else None,
                    ("user", "assistant")[number % 2],
                    text[start : start + length],
                    at,
                ),
            )
    connection.execute("COMMIT")
    connection.close()


def measure(name: str, work: Callable[[], object], times: int = 7) -> None:
    taken, computed = [], []
    for _ in range(times):
        began, before = time.perf_counter(), time.thread_time()
        result = work()
        taken.append((time.perf_counter() - began) * 1000)
        computed.append((time.thread_time() - before) * 1000)
    size = f"{len(result)}" if isinstance(result, list) else ""
    middle, processor = statistics.median(taken), statistics.median(computed)
    print(f"{name:30} median {middle:6.1f} ms, of processor {processor:6.1f}   worst {max(taken):6.1f} ms   {size}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--conversations", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--keep", type=Path, help="a folder in which the history stays for the next time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = (arguments.keep or Path(temporary)) / "history.db"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            fill(path, arguments.conversations, arguments.messages)
        began = time.perf_counter()
        store = HistoryStore(path)
        print(f"opened, and migrated if need be, in {time.perf_counter() - began:.2f} s")
        began, waiting = time.perf_counter(), store.unindexed()
        while store.index_some(0.03):
            pass
        print(f"{waiting} titles and messages indexed in {time.perf_counter() - began:.1f} s")
        store.close()
        size = sum(file.stat().st_size for file in path.parent.glob("history.db*"))
        print(f"{size / 1e6:.0f} MB on disk")

        measure("open", lambda: HistoryStore(path).close())
        with HistoryStore(path) as store:
            listing = Listing(store, PrivateChats())
            measure("list", listing.groups)
            chats = store.conversations()
            measure("read a chat of 100 messages", lambda: store.branch(chats[len(chats) // 2].id))
            for search in SEARCHES:
                measure(f"search {search}", lambda search=search: store.find(search))  # type: ignore[misc]


if __name__ == "__main__":
    main()
