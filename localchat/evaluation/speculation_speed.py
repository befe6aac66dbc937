"""What guessing ahead gains on this machine: the same tokens, written with guesses and without."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from localchat.engine.caches import cache_for
from localchat.engine.generate import Generation, prefill_steps
from localchat.engine.sampling import Sampler
from localchat.engine.speculation import Speculation, Speculator
from localchat.errors import InvalidSetting
from localchat.messages import SamplingOptions
from localchat.model.load import LoadedModel
from localchat.translation import _

_BEGUN = 32  # tokens of the text that the model is to copy


@dataclass(frozen=True, slots=True)
class SpeculationSpeed:
    """Tokens per second, medians over the repetitions; of the guesses, how many were read and how many were right."""

    plain_tokens_per_second: float
    tokens_per_second: float
    drafted_tokens: int
    accepted_tokens: int


@torch.inference_mode()
def measure_speculation(
    model: LoadedModel,
    speculator: Speculator,
    prompt: list[int],
    generate: int,
    repeat: int,
    *,
    on_round: Callable[[int], None] = lambda _: None,
) -> dict[str, SpeculationSpeed]:
    """Write `generate` tokens greedily with and without guesses, one after the other, `repeat` times after a warm-up.

    Returns:
        "open": after the prompt, where little repeats itself; "copying": after the prompt and its beginning once more,
        so that the model goes on copying it.

    Raises:
        InvalidSetting: there is no guessing ahead of this model, or its context is too short.
    """
    if speculator.refusal is not None:
        raise InvalidSetting(_("Tokens are not guessed here: {reason}.").format(reason=speculator.refusal))
    prompts = {"open": prompt, "copying": prompt + prompt[:_BEGUN]}
    needed = len(prompts["copying"]) + generate
    if needed > model.spec.context_length:
        raise InvalidSetting(
            _("{needed} tokens are asked for, but the model's context is {context_length}.").format(
                needed=needed, context_length=model.spec.context_length
            )
        )
    plain: dict[str, list[float]] = {name: [] for name in prompts}
    guessed: dict[str, list[float]] = {name: [] for name in prompts}
    counts: dict[str, Speculation] = {}
    cache = cache_for(model, needed)
    for number in range(repeat + 1):
        for name, ids in prompts.items():
            cache.truncate(0)
            *_earlier, (_count, logits) = prefill_steps(model.decoder, cache, ids)
            for guesses, speeds in ((None, plain[name]), (speculator.begin(ids), guessed[name])):
                if (kept := cache.truncate(len(ids))) < len(ids):  # as far as a quantized cache goes back
                    logits = model.decoder(torch.tensor(ids[kept:]), cache)
                sampler = Sampler(SamplingOptions(temperature=0.0))
                tokens = Generation(
                    model.decoder, cache, logits, sampler, stop_ids=(), max_tokens=generate, guesses=guesses
                )
                began = time.perf_counter()
                for _token in tokens:
                    pass
                speeds.append(generate / (time.perf_counter() - began))
                tokens.close()
                if guesses is not None:
                    counts[name] = guesses
        if number:
            on_round(number)
    return {
        name: SpeculationSpeed(
            statistics.median(plain[name][1:]),  # the first round warms up
            statistics.median(guessed[name][1:]),
            counts[name].drafted,
            counts[name].accepted,
        )
        for name in prompts
    }
