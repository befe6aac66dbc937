"""How many real loops the guard finds, how soon, and how often it stops what is none, in the tokens of real models.

python -m tests.engine.measure_loop_guard MODEL_FOLDER...
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from localchat.text.chat_text import load_chat_text
from tests.engine.loop_samples import loops, no_loops, watched


def main(folders: list[str]) -> None:
    for folder in folders:
        tokenizer = load_chat_text(Path(folder)).tokenizer
        found, missed, late = 0, [], []
        for name, text in loops().items():
            verdict = watched(tokenizer.encode(text), tokenizer.token_bytes)
            if verdict is None:
                missed.append(name)
            else:
                found += 1
                late.append(verdict[0] - verdict[1])
        began, tokens, stopped = time.perf_counter(), 0, []
        for name, text in no_loops().items():
            ids = tokenizer.encode(text)
            tokens += len(ids)
            if watched(ids, tokenizer.token_bytes) is not None:
                stopped.append(name)
        seconds = time.perf_counter() - began
        print(f"{Path(folder).name}: {found} of {len(loops())} loops found, missed: {missed or 'none'}")
        print(f"  taken back: {statistics.median(late):.0f} tokens in the median, {max(late)} at most")
        print(f"  {len(stopped)} of {len(no_loops())} other texts stopped: {stopped or 'none'}")
        print(f"  {seconds / tokens * 1e6:.1f} µs a token")


if __name__ == "__main__":
    main(sys.argv[1:])
