"""What besides prompt, sampling and seed decides which tokens a reply is made of."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict

import torch

from localchat import __version__
from localchat.engine.open_model import OpenModel
from localchat.engine.reply import Reply
from localchat.messages import SamplingOptions
from localchat.recording import Recording, TokenChosen

_DIGITS = 5  # of a probability that is kept


def circumstances(model: OpenModel, *, wait: bool = True) -> Mapping[str, str]:
    """By the names of `localchat.recording.CIRCUMSTANCES`.

    Args:
        wait: for the model's digests; of large files that is seconds, once.
    """
    info = model.info
    return {
        **model.digests.known(wait=wait),
        "precision": info.precision,
        "cache": str(model.cache.dtype).removeprefix("torch.") if model.cache.kind == "full" else model.cache.kind,
        "kernel": info.kernel,
        "device": _device(info.device),
        "threads": str(info.threads),
        "localchat": __version__,
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def recorded(
    reply: Reply,
    prompt: list[int],
    begun: int,
    sampling: SamplingOptions,
    around: Mapping[str, str],
    held: Mapping[str, object],
) -> Recording:
    """What makes a reply again.

    Args:
        begun: see `Recording`.
        around: its `circumstances`.
        held: what it was masked by.
    """
    probabilities = [_compact(token) for token in reply.chosen]
    return Recording(
        prompt, reply.written, reply.ended, asdict(sampling), around, probabilities, reply.times, begun, held
    )


def _device(name: str) -> str:
    return f"{name} {torch.cuda.get_device_name(name)}" if name.startswith("cuda") else name


def _compact(token: TokenChosen) -> list[object]:
    alternatives = [[a.token, _short(a.probability), _short(a.plain_probability)] for a in token.alternatives]
    chosen = token.chosen
    return [_short(chosen.probability), _short(chosen.plain_probability), _short(token.entropy), alternatives]


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
