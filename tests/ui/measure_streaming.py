"""What a token costs the interface: `python -m tests.ui.measure_streaming [--tokens 400] [--rate 100]`, by hand.

A headless app at 200x60 with an engine that answers from a script, at a steady rate. Measured is the processor time of
the whole interface process, divided by the tokens, with short and with long transcripts above the reply and with a
reply that is itself short or long; and how long the event loop was away from its queue, which is what a key waits.
Other programs on the machine slow all of it down, so a loop of plain Python is timed beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import re
import tempfile
import time
from pathlib import Path

from localchat.config import Config
from localchat.history.store import HistoryStore
from localchat.ui.app import LocalChatApp
from localchat.ui.session import ChatSession
from localchat.ui.session_events import ReplyEnded
from tests.ui.conftest import TINY, FakeShelf
from tests.ui.fake_engine import FakeEngine, Script
from tests.ui.run_fake import SAMPLE

PROSE = (
    "Light rail lines were drawn along the river long before anyone had asked the people who lived there what they "
    "would need, and 这也是为什么后来的规划会议开得那么久。\n\n"
)
TICK_S = 0.002


def tokens_of(text: str, count: int) -> list[str]:
    """About `count` pieces of the size of tokens."""
    pieces = re.findall(r"\s*[^\s]{1,4}|\s+", text)
    return (pieces * (count // len(pieces) + 1))[:count]


class Pulse:
    """Wakes up every two milliseconds and notes how late it was: that long a key would have waited."""

    def __init__(self) -> None:
        self.delays: list[float] = []

    async def beat(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK_S)
            self.delays.append(time.perf_counter() - before - TICK_S)


def fill(store: HistoryStore, earlier: int, per_message: int = 400) -> str:
    """A conversation with `earlier` tokens in replies of `per_message`."""
    chat = store.create_conversation().id
    parent: str | None = None
    for index in range(-(-earlier // per_message) or 1):
        parent = store.add_message(chat, parent, "user", f"Question {index}").id
        reply = store.begin_reply(chat, parent, "tiny")
        store.finish(reply, "".join(tokens_of(SAMPLE + PROSE, min(per_message, earlier or 20))))
        parent = reply
    return chat


async def measure(earlier: int, before: int, count: int, rate: float, text: str) -> tuple[float, list[float]]:
    """Milliseconds of processor time a token, and the delays in seconds, while the last `count` tokens are written.

    Args:
        earlier: tokens of the conversation above the reply.
        before: tokens of the reply that are there when the measuring begins.
    """
    with tempfile.TemporaryDirectory() as folder, HistoryStore(Path(folder) / "history.db") as store:
        chat = fill(store, earlier)
        gate = asyncio.Event()
        head = "".join(tokens_of(text, before)) + "\n\n"
        engine = FakeEngine(Script([head, *tokens_of(text, count)], pause_s=1 / rate, hold={1: gate}))
        session = ChatSession(engine, store)
        app = LocalChatApp(engine, store, Config(), shelf=FakeShelf(TINY), session=session)
        async with app.run_test(size=(200, 60)) as pilot:
            await pilot.pause()
            await app.chat_screen.open_chat(chat)
            app.chat_screen.composer.insert("Go on")
            await pilot.press("enter")
            await asyncio.sleep(4.0)
            pulse = Pulse()
            beating = asyncio.create_task(pulse.beat())
            idle = await _idle_cost(1.0)
            pulse.delays.clear()
            gc.collect()
            gc.freeze()  # as `localchat` does when it has started
            began, cpu = time.perf_counter(), time.process_time()
            ended = asyncio.Event()
            session.listen(lambda event: ended.set() if isinstance(event, ReplyEnded) else None)
            gate.set()
            await ended.wait()
            spent = time.process_time() - cpu - idle * (time.perf_counter() - began)
            beating.cancel()
            await app.workers.wait_for_complete()
            return 1000 * spent / count, sorted(pulse.delays)


async def _idle_cost(seconds: float) -> float:
    """Processor time a second that the app and the pulse take while nothing is written."""
    cpu = time.process_time()
    await asyncio.sleep(seconds)
    return (time.process_time() - cpu) / seconds


def probe() -> float:
    """Seconds of processor time for five million additions: about 0.25 on a quiet machine of 2025."""
    began = time.process_time()
    total = 0
    for number in range(5_000_000):
        total += number
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--rate", type=float, default=100.0)
    options = parser.parse_args()
    print(f"five million additions: {probe():.2f} s")
    print("earlier   reply so far   text      ms/token   a key waits (ms): median   95 %   99 %   longest")
    code = "```python\n" + "def step(value):\n    return value + 1  # 加一\n\n" * 200
    for earlier, before, name, text in (
        (100, 20, "prose", PROSE),
        (20_000, 20, "prose", PROSE),
        (100, 20_000, "prose", PROSE),
        (100, 20, "mixed", SAMPLE),
        (20_000, 20, "mixed", SAMPLE),
        (100, 4_000, "mixed", SAMPLE),
        (100, 20, "code", code),
        (100, 1_000, "code", code),
    ):
        cost, delays = asyncio.run(measure(earlier, before, options.tokens, options.rate, text))
        at = [1000 * delays[min(len(delays) - 1, int(share * len(delays)))] for share in (0.5, 0.95, 0.99, 1.0)]
        row = f"{earlier:7}   {before:12}   {name:6} {cost:11.2f}   "
        print(row + f"{at[0]:24.1f} {at[1]:6.1f} {at[2]:6.1f} {at[3]:9.1f}", flush=True)


if __name__ == "__main__":
    main()
