"""Does a model find a sentence in a long text, with each kind of cache?

    python -m tests.engine.measure_needle MODEL --text FILE [--sizes 1000,2000,4000,8000] [--depths 0.1,0.5,0.9]

A number is hidden in FILE's text at several depths, and then asked for. What counts is whether the reply names it; the
probability of its digits says how close it was. The context in full is the measure: a small model does not find all.
"""

from __future__ import annotations

import argparse
import math
import random
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from localchat.commands.model_choice import chosen_model
from localchat.engine.caches import cache_for
from localchat.engine.generate import prefill_steps
from localchat.engine.kv_cache import KVCache
from localchat.messages import Message
from localchat.model.cache_room import CacheKind
from localchat.model.decoder import Forward
from localchat.model.device import configure_threads
from localchat.model.load import load_model
from localchat.text.chat_text import ChatText, load_chat_text

KINDS: tuple[CacheKind, ...] = ("full", "int8", "int4")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--sizes", default="1000,2000,4000,8000")
    parser.add_argument("--depths", default="0.1,0.5,0.9")
    asked = parser.parse_args()
    configure_threads()
    path = chosen_model(asked.model)
    model, text = load_model(path), load_chat_text(path)
    hay = asked.text.read_text("utf-8")
    depths = [float(each) for each in asked.depths.split(",")]
    for size in (int(each) for each in asked.sizes.split(",")):
        if size + 100 > model.context_length:
            continue
        found: dict[CacheKind, list[float]] = {kind: [] for kind in KINDS}
        for number, depth in enumerate(depths):
            prompt, digits = hidden(text, hay, size, depth, number)
            for kind in KINDS:
                cache = cache_for(model, len(prompt) + len(digits) + 16, kind)
                *_earlier, (_count, logits) = prefill_steps(model.decoder, cache, prompt)
                found[kind].append(_log_probability(model.decoder, cache, logits, digits))
        shown = ", ".join(
            f"{kind} {sum(each > math.log(0.5) for each in logs)} of {len(logs)} (mean log {fmean(logs):.2f})"
            for kind, logs in found.items()
        )
        print(f"{model.name}, {size} tokens: {shown}", flush=True)


def hidden(text: ChatText, hay: str, size: int, depth: float, seed: int) -> tuple[list[int], list[int]]:
    """A prompt of about `size` tokens up to where its answer begins, and the tokens of the answer."""
    secret = str(random.Random(seed).randrange(10_000, 100_000))
    words = hay[: 6 * size]
    ids = text.tokenizer.encode(words)[: size - 60]
    cut = text.tokenizer.decode(ids[: int(depth * len(ids))]), text.tokenizer.decode(ids[int(depth * len(ids)) :])
    filled = f"{cut[0]}\n\nThe secret number of the lighthouse is {secret}.\n\n{cut[1]}"
    question = f"{filled}\n\nWhat is the secret number of the lighthouse?"
    asked = text.encode([Message("user", question)])
    begun = text.tokenizer.encode("The secret number of the lighthouse is ")
    answer = text.tokenizer.encode(f"The secret number of the lighthouse is {secret}.")
    shared = next((i for i, (a, b) in enumerate(zip(begun, answer, strict=False)) if a != b), len(begun))
    return [*asked, *answer[:shared]], answer[shared:-1]


@torch.inference_mode()
def _log_probability(decoder: Forward, cache: KVCache, logits: Tensor, tokens: list[int]) -> float:
    """Of `tokens` after what was read."""
    total = 0.0
    for token in tokens:
        total += float(logits.log_softmax(-1)[token])
        logits = decoder(torch.tensor([token]), cache)
    return total


if __name__ == "__main__":
    main()
