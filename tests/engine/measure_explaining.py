"""What the token view costs: `python -m tests.engine.measure_explaining MODEL [TOKENS]`.

A reply is written, and then read once more for the probabilities of its tokens. Printed for each of three runs: how
fast it was written, how long the reading took from an empty cache and from one that holds the prompt, and how many
bytes are kept of the reply, with and without the times of its tokens.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from localchat.engine.facade import Engine
from localchat.events import ReplyDone
from localchat.hub.installed import find_model
from localchat.messages import Message, ReplyOptions
from localchat.recording import Recording, ReplyRecorded, TokenChosen, TokenExplained

QUESTION = Message("user", "Explain in detail how a lighthouse works, 请先用中文概括一句。")
RUNS = 3


def main() -> None:
    model, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200
    engine = Engine()
    engine.load(find_model(model), 4096)
    for seed in range(RUNS):
        options = ReplyOptions({"temperature": 1.0, "seed": seed}, count, probabilities=8)
        events = list(engine.reply([QUESTION], options))
        done = next(event for event in events if isinstance(event, ReplyDone))
        recording = Recording.of(next(event for event in events if isinstance(event, ReplyRecorded)))
        told = [event for event in events if isinstance(event, TokenChosen)]
        engine.unload()
        engine.load(find_model(model), 4096)
        cold, _tokens = timed(engine.explain(recording, 8))
        warm, tokens = timed(engine.explain(recording, 8))
        same = [token.token for token in tokens if token.origin == "written"] == told
        bare = replace(recording, probabilities=[])
        kept, without = len(bare.pack()), len(replace(bare, times=[]).pack())
        print(
            f"written: {done.completion_tokens} tokens at {done.decode_tokens_per_second:.1f} tok/s; read once more: "
            f"{cold:.2f} s, {warm:.2f} s with the prompt in the cache; the same probabilities: {same}; "
            f"kept: {kept} bytes, {without} without times"
        )


def timed(events: Iterator[Any]) -> tuple[float, list[TokenExplained]]:
    began = time.perf_counter()
    tokens = [event for event in events if isinstance(event, TokenExplained)]
    return time.perf_counter() - began, tokens


if __name__ == "__main__":
    main()
