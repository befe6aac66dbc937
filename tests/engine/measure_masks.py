"""What it costs to hold a reply to a form or a language, per token. Run by hand:

    python -m tests.engine.measure_masks MODEL [--tokens 96] [--rounds 7]

The same question is answered freely and held, in turn, so that a noisy machine is as noisy for all. Figures are
medians: tokens per second, the ratio to the free reply of the same round, and the processor's time for the masks as a
share of the time for a token.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from localchat.constraint import Constraint
from localchat.engine.constraint_mask import ConstraintMask
from localchat.engine.facade import Engine
from localchat.engine.language_mask import LanguageMask
from localchat.events import ReplyDone
from localchat.messages import Message, ReplyOptions

QUESTION = [Message("user", "Tell a long story about a lighthouse keeper and the sea.")]
STORY = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 40},
        "chapters": {
            "type": "array",
            "minItems": 40,
            "items": {
                "type": "object",
                "properties": {"number": {"type": "integer"}, "text": {"type": "string", "maxLength": 80}},
                "required": ["number", "text"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["title", "chapters"],
    "additionalProperties": False,
}
KINDS = {
    "free": ReplyOptions(),
    "schema": ReplyOptions(constraint=Constraint("schema", json.dumps(STORY))),
    "expression": ReplyOptions(constraint=Constraint("regex", r"([A-Z][a-z ,']{20,80}[.!?]\n?){60}")),
    "language zh": ReplyOptions(reply_language="zh"),
    "language en": ReplyOptions(reply_language="en"),
}


class Clock:
    """Adds up the processor's time in some methods."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def watch(self, owner: type[Any], name: str) -> None:
        method: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any) -> Any:
            began = time.thread_time()
            try:
                return method(*arguments)
            finally:
                self.seconds += time.thread_time() - began

        setattr(owner, name, timed)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    engine = Engine()
    engine.load(chosen.model, 1024)
    clock = Clock()
    for owner in (ConstraintMask, LanguageMask):
        for name in ("allowed", "accept"):
            clock.watch(owner, name)
    speeds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    masks: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(chosen.rounds + 1):
        for kind, options in KINDS.items():
            asked = replace(
                options, sampling={"temperature": 0.7, "seed": number}, max_tokens=chosen.tokens, speculate=False
            )
            before = clock.seconds
            *_events, done = engine.reply(QUESTION, asked)
            assert isinstance(done, ReplyDone)
            if number:  # the first round prepares
                speeds[kind].append(done.decode_tokens_per_second)
                masks[kind].append((clock.seconds - before) / max(done.completion_tokens, 1))
    print(f"{chosen.model.name}, {chosen.tokens} tokens, {chosen.rounds} rounds")
    for kind, found in speeds.items():
        ratio = statistics.median(a / b for a, b in zip(found, speeds["free"], strict=True))
        speed, mask = statistics.median(found), statistics.median(masks[kind])
        print(f"{kind:12} {speed:7.1f} tokens/s  ratio {ratio:5.2f}  mask {mask * 1e6:5.0f} us = {mask * speed:5.1%}")


if __name__ == "__main__":
    main()
