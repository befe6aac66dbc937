"""How fast a model reads and writes on this machine."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from localchat.engine.caches import cache_for
from localchat.engine.generate import prefill_steps
from localchat.engine.sampling import Sampler
from localchat.errors import InvalidSetting, LocalChatError
from localchat.messages import SamplingOptions
from localchat.model.decoder import Check
from localchat.model.load import LoadedModel
from localchat.translation import _

_LOOK_S = 0.1  # between two looks at whether to go on


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians over the repetitions; tokens per second and seconds."""

    prompt_tokens: int
    prefill_tokens_per_second: float
    generated_tokens: int
    decode_tokens_per_second: float
    time_to_first_token_s: float


@torch.inference_mode()
def measure_speed(
    model: LoadedModel,
    prompt: list[int],
    generate: int,
    repeat: int,
    *,
    on_round: Callable[[int], None] = lambda _: None,
) -> Speed:
    """Read `prompt` from an empty cache, then decode `generate` tokens greedily, `repeat` times after a warm-up.

    The prompt is read in chunks, as a conversation's is. Decoding goes on over end-of-text tokens, so that every run
    does the same work. The time to the first token is reading the prompt and choosing one token.

    Raises:
        InvalidSetting: prompt and reply together are longer than the model's context.
    """
    needed = len(prompt) + generate
    if needed > model.spec.context_length:
        raise InvalidSetting(
            _("{needed} tokens are asked for, but the model's context is {context_length}.").format(
                needed=needed, context_length=model.spec.context_length
            )
        )
    cache = cache_for(model, needed)
    prefill, decode, first = [], [], []
    for number in range(repeat + 1):
        cache.truncate(0)
        sampler = Sampler(SamplingOptions(temperature=0.0))
        began = time.perf_counter()
        *_earlier, (_count, logits) = prefill_steps(model.decoder, cache, prompt)
        token = sampler.sample(logits)
        read = time.perf_counter()
        for _round in range(generate):
            token = sampler.sample(model.decoder(torch.tensor([token]), cache))
        ended = time.perf_counter()
        if number:  # the first round warms up
            prefill.append(len(prompt) / (read - began))
            decode.append(generate / (ended - read))
            first.append(read - began)
            on_round(number)
    return Speed(
        prompt_tokens=len(prompt),
        prefill_tokens_per_second=statistics.median(prefill),
        generated_tokens=generate,
        decode_tokens_per_second=statistics.median(decode),
        time_to_first_token_s=statistics.median(first),
    )


def bench_apart(model: Path, *, repeat: int = 3, cache: str = "auto", check: Check = lambda: None) -> dict[str, Any]:
    """What `localchat bench --json` says of a model: its memory shows only in a process that does nothing else.

    Args:
        repeat: rounds; the medians count.
        cache: as of `load_model`.
        check: called several times a second; what it raises passes through, and the process is ended.

    Raises:
        LocalChatError: the model could not be measured; the message says why.
    """
    options = ["--repeat", str(repeat), "--generate", "64", "--cache", cache, "--json"]
    command = [sys.executable, "-m", "localchat", "bench", str(model), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            while process.poll() is None:  # it writes two lines at most, which the pipes hold
                check()
                time.sleep(_LOOK_S)
        except BaseException:
            process.kill()
            raise
        answer, complaint = process.communicate()
    if process.returncode:
        raise LocalChatError(
            _("The speed could not be measured: {complaint}").format(
                complaint=complaint.strip().removeprefix("localchat: ")
            )
        )
    result: dict[str, Any] = json.loads(answer)
    return result


def peak_rss_bytes() -> int:
    """Most memory that this process has held, in bytes."""
    if sys.platform == "linux":  # getrusage would also count what the process that started this one held
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
